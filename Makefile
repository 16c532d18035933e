# Catena: containers as chains of small tools. `make demo` shows one, `make help` lists the rest.

CARGO ?= cargo
# Where cargo puts what it builds for this machine (.cargo/config.toml names the target).
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE := target/$(TARGET)/release
# What is worth a second kernel: all that touches cgroups, namespaces and mounts.
TESTS ?= cg_enter cg_limits cg_signal cg_stat chains exit_codes fs_pivot mini_init ns_unshare priv_drop

.PHONY: help build demo test test-vm lint

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## build the tools, statically linked, into target/
	$(CARGO) build --release

demo: build ## run a container on a throw-away copy of this machine's own system
	@examples/demo $(RELEASE)

test: ## run the tests; what they miss on this machine is named, and skipped
	@tests/needs
	$(CARGO) build --workspace
	$(CARGO) test --workspace

test-vm: ## run the tests on another kernel, with all cgroup v2 controllers: make test-vm TESTS="cg_enter chains"
	tests/vm/run $(TESTS)

lint: ## formatting, compiler and shell warnings
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	shellcheck $$(git ls-files -z | xargs -0 grep -lE '^#!(/usr)?/bin/(env )?(ba|da)?sh( |$$)')

-include */*.mk
