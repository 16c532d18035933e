.PHONY: bench bench-quick bench-vm

BENCH = $(CARGO) build --release -p catena-benches && $(RELEASE)/bench --tools dist

bench: dist ## measure the tools beside others of their kind (minutes), for docs/
	$(BENCH) all --live 200 --live 1000 --json docs/performance.json --svg docs/performance.svg \
		--document docs/performance.md

bench-quick: dist ## the same with few runs, on the terminal only
	$(BENCH) --quick

bench-vm: dist ## two suites where there is cgroup v2 and nothing else, in a virtual machine; the ratios count
	$(CARGO) build --release -p catena-benches
	benches/vm dist $(RELEASE)/bench
