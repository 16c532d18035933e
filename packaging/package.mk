# What is given to others: a Debian package, and a tarball of the same for any other system. In both are the tools
# that `make dist` builds.

.PHONY: deb tarball

# The folder whose tools are packed.
SHIPPED ?= dist
TARBALL := catena-$(VERSION)-$(TARGET)

# The architecture as Debian names it: what the tools are built for is what this machine is.
deb: export CATENA_VERSION = $(NAMED_VERSION)
deb: $(filter dist,$(SHIPPED)) ## make a Debian package in dist/
	rm -rf $(DIST)/deb
	$(MAKE) install FROM=$(SHIPPED) PREFIX=/usr DESTDIR=$(DIST)/deb
	install -d $(DIST)/deb/DEBIAN $(DIST)/deb/usr/share/doc/catena $(DIST)/deb/usr/share/catena
	install -m 644 README.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE packaging/copyright \
		$(DIST)/deb/usr/share/doc/catena
	cp -r docs/*.md docs/schemas examples $(DIST)/deb/usr/share/doc/catena
	install -m 644 packaging/apparmor $(DIST)/deb/usr/share/catena
	install -m 755 packaging/postinst packaging/prerm $(DIST)/deb/DEBIAN
	sed -e 's/@VERSION@/$(VERSION)/' -e "s/@ARCHITECTURE@/$$(dpkg --print-architecture)/" \
		packaging/control >$(DIST)/deb/DEBIAN/control
	dpkg-deb $(DEBFLAGS) --root-owner-group --build $(DIST)/deb $(DIST)

tarball: export CATENA_VERSION = $(NAMED_VERSION)
tarball: $(filter dist,$(SHIPPED)) ## make a tarball in dist/: unpack it in /usr/local, or anywhere and put its bin into PATH
	rm -rf $(DIST)/$(TARBALL)
	$(MAKE) install FROM=$(SHIPPED) PREFIX= DESTDIR=$(DIST)/$(TARBALL)
	install -m 644 README.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE $(DIST)/$(TARBALL)
	cp -r docs examples $(DIST)/$(TARBALL)
	tar -C $(DIST) --owner=0 --group=0 --sort=name -czf $(DIST)/$(TARBALL).tar.gz $(TARBALL)
	rm -rf $(DIST)/$(TARBALL)
