# `make` is the one door: `make demo`, `make test`, `make check`. docs/testing.md says what each lane costs.

CARGO ?= cargo
BIN := $(or $(CARGO_TARGET_DIR),target)/debug/foretoken

# Features of dependencies are joined over all that is built together, and tests want more of them (tokio's paused
# clock). Naming one small test beside the program makes cargo choose the features of the tests for both, so that
# `make demo` and `make test` share every build of every dependency. RUSTFLAGS stays unset for the same reason, and
# because rustc already links with lld.
BUILD := $(CARGO) build --workspace --bin foretoken --test arrows

# nextest runs each test in a process of its own, several at once, by the rules in .config/nextest.toml.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
# Tests that take processor time away: others beside them would take more of it, so they come last.
RATIONED := test(/cpu_that_is_taken_away|quota_of_cpu/)
TEST := $(CARGO) $(if $(NEXTEST),nextest run,test) --workspace

.PHONY: help setup build demo test e2e failover streams soak unsafe-rules sim mutants fuzz container manifests check advisories compat compat-setup train bench bench-failover bench-layers bench-predict profile

help:
	@echo "make demo            three real Redis servers, faults on purpose, and a table of what was promised and kept"
	@echo "make test            everything that must pass before a change goes in"
	@echo "make e2e             only the tests of the data path against real servers"
	@echo "make failover        only the tests of the whole program: switchovers, crashes, freezes, two sidecars"
	@echo "make streams         only random streams of commands: direct and through the sidecar the replies are the same"
	@echo "make soak            the same for an hour: make soak SECONDS=3600 SEED=1"
	@echo "make unsafe-rules    the proof that the history checker notices a broken safety rule"
	@echo "make sim             thousands of simulated stores with two sidecars: make sim SEEDS=5000 FIRST=0"
	@echo "make mutants         breaks five crates, one small change at a time: a test must notice each (hours; MUTANTS=\"-f FILE\")"
	@echo "make fuzz            bytes that nobody sends, an hour of them: parsers, sessions, relays (nightly toolchain; FUZZ_SECONDS=900 each)"
	@echo "make check           formatting, lints, documentation, licences, arrows between crates"
	@echo "make advisories      known vulnerabilities of dependencies (cargo-deny, needs the network)"
	@echo "make container       builds the image and runs it as a sidecar beside two Redis, in one network namespace (root)"
	@echo "make manifests       compose.yaml and config/kubernetes against published schemas and the program"
	@echo "make compat          redis-py, node-redis, ioredis and Redis' own tests, through the sidecar (fetches them once)"
	@echo "make bench           load: direct, us and the peers (ROUNDS=5; ARGS=--quick to try, ARGS=TLS for some cells)"
	@echo "make bench-failover  how long switchovers and failovers take"
	@echo "make bench-layers    what a layer of the data path costs by itself (criterion)"
	@echo "make profile         where our CPU goes, by system call and crate (perf)"
	@echo "make bench-predict   how long the model of risk takes"
	@echo "make train           the model of risk, its card, thresholds and sweep (Python 3.11; ARGS=--small --out DIR to try)"
	@echo "make setup           only the system packages (apt), when they are missing"

setup:
	@.ci/setup

build: setup
	$(BUILD)

# `make demo ARGS="--seed 7"`
demo: build
	$(BIN) demo $(ARGS)

# Documentation examples first: nextest leaves them out, and a failure there is found in seconds.
test: build
	$(CARGO) test --workspace --doc
ifdef NEXTEST
	$(TEST) -E 'not ($(RATIONED))'
	$(TEST) --profile rationed -E '$(RATIONED)'
else
	$(TEST) --lib --bins --tests
endif
	$(MAKE) unsafe-rules

# A build that can switch safety rules off, to prove that the history checker notices when one is broken. Over the whole
# workspace, so that it gets the dependencies that are built already.
unsafe-rules: setup
	$(TEST) $(if $(NEXTEST),--profile rationed) --features foretoken/unsafe-rules --test failover --test two_holders unsafe_rules

# A failing seed prints its story; FIRST=that SEEDS=1 runs it alone. Not by nextest, which would end it after some minutes.
SEEDS ?= 2000
FIRST ?= 0
sim: setup
	FORETOKEN_SEED=$(FIRST) FORETOKEN_SEEDS=$(SEEDS) $(CARGO) test --workspace --test two_holders

# Changes what a machine can think of, in a copy of the tree, and runs the tests of the crate. .cargo/mutants.toml says what
# is left alone. A part of it: make mutants MUTANTS="-f proxy/token/src/tier.rs"
MUTANTS ?=
MUTATED := config failover health predict token
mutants: setup
	@command -v cargo-mutants >/dev/null || $(CARGO) install cargo-mutants --locked
	$(CARGO) mutants $(MUTATED:%=-p foretoken-%) --test-tool $(if $(NEXTEST),nextest --cargo-test-arg=--max-fail=1,cargo --cargo-test-arg=--tests) $(MUTANTS)

# What libFuzzer finds to be new is kept beside the builds; what breaks a property is written to tests/fuzz/artifacts and belongs into
# the corpus, over which `make test` runs the same properties.
FUZZ_SECONDS ?= 900
FUZZED := requests replies session relay
fuzz: setup
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked
	@for target in $(FUZZED); do \
	  mkdir -p $(or $(CARGO_TARGET_DIR),target)/fuzz/$$target && \
	  $(CARGO) +nightly fuzz run --fuzz-dir tests/fuzz --target-dir $(or $(CARGO_TARGET_DIR),target)/fuzz $$target \
	    $(or $(CARGO_TARGET_DIR),target)/fuzz/$$target tests/fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

e2e: build
	$(TEST) --test e2e

failover: build
	$(TEST) --test failover

streams: build
	$(TEST) --test streams

# The same for an hour, by default from a seed that nobody has run: SEED=that of a failure repeats it. One after the other, so that
# each has its share of the time; not by nextest, which would end it after some minutes.
SECONDS ?= 3600
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
soak: build
	FORETOKEN_SEED=$(SEED) FORETOKEN_SECONDS=$$(($(SECONDS) / 4)) $(CARGO) test --workspace --test streams -- --test-threads 1 --nocapture

check: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	$(CARGO) test --workspace --test arrows
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	else echo "check: cargo-deny is not installed: licences and bans are not checked"; fi

advisories:
	$(CARGO) deny check advisories

# The image, built and run as users build and run it: static, not root, read-only. CARGO_PROFILE=dev saves the time of LTO.
container: setup
	tests/container/run

manifests: build
	tests/container/manifests $(BIN)

# Tests of others: client libraries driven over their public API, and Redis' own suite in its mode for an external server.
# What is fetched is pinned, and lives beside the builds.
COMPAT := $(abspath $(or $(CARGO_TARGET_DIR),target))/compat
DRIVERS := tests/drivers

$(COMPAT)/venv/installed: $(DRIVERS)/requirements.txt
	python3 -m venv $(COMPAT)/venv
	$(COMPAT)/venv/bin/pip install --quiet --requirement $<
	touch $@

$(COMPAT)/node/installed: $(DRIVERS)/package.json $(DRIVERS)/package-lock.json
	mkdir -p $(@D) && cp $^ $(@D)
	npm ci --prefix $(@D) --no-audit --no-fund --ignore-scripts --silent
	touch $@

$(COMPAT)/redis/installed: $(DRIVERS)/redis_suite/fetch
	$< $(@D)
	touch $@

compat-setup:
	@.ci/setup compat

compat: compat-setup build $(COMPAT)/venv/installed $(COMPAT)/node/installed $(COMPAT)/redis/installed
	$(COMPAT)/venv/bin/python $(DRIVERS)/run.py $(BIN) $(COMPAT)/node/node_modules
	$(COMPAT)/venv/bin/python $(DRIVERS)/redis_suite/run.py $(BIN) $(COMPAT)/redis

# The numbers that are published: the profile of the container, and nothing else running.
# What is recorded is a whole run; `make bench ARGS="--quick"` and `make bench ARGS=TLS` only print.
bench: setup
	$(CARGO) bench --profile dist --bench load -- $(or $(ARGS),--record) $(ROUNDS:%=--rounds %)

bench-failover: setup
	$(CARGO) bench --profile dist --bench failover

# What a layer costs by itself, without sockets: make bench-layers ARGS=stack
bench-layers: setup
	$(CARGO) bench --profile dist --bench layers -- $(ARGS)

# Where our CPU goes, by system call and crate.
profile: setup
	$(CARGO) bench --profile dist --bench load -- --profile $(ARGS)

bench-predict: setup
	$(CARGO) bench --profile dist --bench predict -- $(or $(ARGS),--record)

# What training needs is pinned in requirements.txt and lives beside the builds.
VENV := $(or $(CARGO_TARGET_DIR),target)/venv

$(VENV)/installed: models/train/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement $<
	touch $@

# `make train ARGS="--small --out /tmp/model"`: a tenth of everything, to try a change.
train: $(VENV)/installed
	$(VENV)/bin/python models/train/train.py $(ARGS)
