test-faults: ## fail every system call of every tool, one at a time, with every error
	$(CARGO) build --workspace
	FAULTS=whole $(CARGO) test -p catena-tests --test faults
