BUILT := target/$(TARGET)/debug

.PHONY: test-faults test-races test-initramfs weakened

test-faults: ## fail every system call of every tool, one at a time, with every error
	$(CARGO) build --workspace
	FAULTS=whole $(CARGO) test -p catena-tests --test faults

test-races: weakened ## exchange links and folders under fs-pivot for minutes
	RACES=long $(CARGO) test -p catena-tests --test threats_races

test-initramfs: ## start chains on an initramfs, in a virtual machine
	tests/vm/initramfs

# Beside the tools and before them, since both are built in the same place.
weakened:
	$(CARGO) build --workspace --features pivot-tool/weakened
	install -D $(BUILT)/fs-pivot $(BUILT)/weakened/fs-pivot
	$(CARGO) build --workspace
