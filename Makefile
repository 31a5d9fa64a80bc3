# `make` is the one door: `make demo`, `make test`, `make check`.
CARGO ?= cargo

.PHONY: test check
test:
	$(CARGO) test --workspace

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
