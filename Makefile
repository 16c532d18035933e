# Catena: containers as chains of small tools. `make demo` shows one, `make help` lists the rest.

CARGO ?= cargo
# Where cargo puts what it builds for this machine (.cargo/config.toml names the target).
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE := target/$(TARGET)/release
# What the machines with the second kernel are for: cgroups, and what differs before Linux 6.2. Others run
# there too (make test-vm TESTS="chains fs_pivot"), but slowly: on a busy host a pipeline's links wait for
# each other for so long that they say so, which the tests of pipelines take for a fault.
TESTS ?= cg_enter cg_felt cg_leftovers cg_limits cg_shared cg_signal cg_stat cg_swap time_namespaces

# Where `make install` puts things; DESTDIR stands before all of it.
PREFIX ?= /usr/local
DESTDIR ?=
# The folder whose tools it installs.
FROM ?= $(RELEASE)
# Where manual pages, completions and packages are made.
DIST ?= $(CURDIR)/dist
XTASK ?= $(RELEASE)/xtask
TOOLS := cg-enter cg-signal cg-stat chain-doctor fs-pivot listen-fds mini-init notify-bridge ns-enter \
	ns-unshare priv-drop
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null)
# What the tools that are given to others call themselves.
NAMED_VERSION := $(VERSION)$(if $(COMMIT), ($(COMMIT)))

.PHONY: help build demo man install test test-vm lint

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## build the tools, statically linked, into target/
	$(CARGO) build --release --workspace --exclude catena-tests --exclude catena-benches

demo: build ## run a container on a throw-away copy of this machine's own system
	@examples/demo $(RELEASE)

man: ## write manual pages and completions into dist/
	$(CARGO) build --release --package xtask
	$(XTASK) man $(DIST)/man
	$(XTASK) completions $(DIST)/completions

install: export CATENA_VERSION = $(NAMED_VERSION)
install: $(if $(filter $(RELEASE),$(FROM)),build) man ## install tools, manual pages and completions below PREFIX
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man7
	cp --remove-destination --preserve=links $(addprefix $(FROM)/,$(TOOLS)) $(DESTDIR)$(PREFIX)/bin
	chmod 755 $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(TOOLS))
	install -m 644 $(DIST)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(DIST)/man/*.7 $(DESTDIR)$(PREFIX)/share/man/man7
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 $(DIST)/completions/bash/* $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -d $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 644 $(DIST)/completions/zsh/* $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 644 $(DIST)/completions/fish/* $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

test: ## run the tests; what they miss on this machine is named, and skipped
	@tests/needs
	$(MAKE) weakened
	$(CARGO) test --workspace --no-fail-fast

test-vm: ## run the tests on another kernel, with all cgroup v2 controllers: make test-vm TESTS="cg_enter exit_codes"
	tests/vm/run $(TESTS)

lint: ## formatting, compiler and shell warnings
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	shellcheck -x -a $$(git ls-files -z | xargs -0 grep -lE '^#!(/usr)?/bin/(env )?(ba|da)?sh( |$$)')

-include */*.mk
