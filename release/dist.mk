.PHONY: dist test-dist

dist: export CATENA_VERSION = $(NAMED_VERSION)
dist: ## build small, quickly starting static binaries into dist/
	@CARGO='$(CARGO)' release/build dist

test-dist: dist ## run all tests on what dist/ holds
	@tests/needs
	$(CARGO) build --workspace
	CATENA_BIN=$(CURDIR)/dist $(CARGO) test --workspace --no-fail-fast
