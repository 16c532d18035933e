# Seconds for each fuzz target.
FUZZ_TIME ?= 60
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZ_TIME seconds: needs the nightly compiler and cargo-fuzz
	cd fuzz && $(CARGO) +nightly fuzz build
	cd fuzz && for target in $(FUZZ_TARGETS); do \
		mkdir -p found/$$target && \
		$(CARGO) +nightly fuzz run $$target found/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_TIME) -print_final_stats=1 || exit; \
	done
