.PHONY: test-systemd test-without-openat2

test-systemd: ## run the tests below real systemds: this machine's, and that of Debian 13
	$(CARGO) build --workspace
	$(CARGO) test -p catena-tests --no-fail-fast --test systemd --test systemd_users \
		--test systemd_protocol --test systemd_inside --test systemd_newer

test-without-openat2: ## test what resolves paths where a filter hides openat2(2), as root
	$(CARGO) build --workspace
	tests/systemd/without-openat2 $(CARGO) test -p catena-tests --no-fail-fast --test fs_pivot \
		--test fs_pivot_layers --test fs_pivot_mounts --test fs_pivot_options \
		--test threats_fs_pivot --test ns_unshare --test cg_enter
