# `make check` needs nothing but Rust; `make test` installs the real gateways, stores, providers and
# the browser it lacks (e2e/setup.sh) and runs everything but `deny` and `mutants`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VESTIBULE_CACHE ?= $(HOME)/.cache/vestibule
RUSTC_VERSION := $(shell sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
CARGO_TARGET_DIR ?= $(VESTIBULE_CACHE)/target-$(RUSTC_VERSION)
export VESTIBULE_CACHE CARGO_TARGET_DIR

# The order of `test` counts: setup comes first.
.NOTPARALLEL:

CARGO := cargo
CRATES := vestibule-crds vestibule-policy vestibule-authsvc vestibule-cli vestibule-operator vestibule-e2e \
	vestibule-e2e-seed
# The folder of a tool that setup.sh brings: name, and its variable in tools.env.
tool = $(VESTIBULE_CACHE)/tools/$(1)-$(shell sed -n 's/^$(2)=//p' e2e/tools.env)
TYPOS := $(call tool,typos,TYPOS_VERSION)/typos
GUNGRAUN := $(call tool,gungraun-runner,GUNGRAUN_VERSION)

.PHONY: help
help: ## Lists the targets.
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 20

.PHONY: check
check: ## Formatting, lints, unit and in-process tests, docs: needs nothing but Rust.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet

.PHONY: test
test: setup check gate each-crate-alone check-spelling e2e ## Everything: what CI runs.
# setup has brought redis-server and openssl, so no test of theirs may skip itself here.
test: export VESTIBULE_REQUIRE_REAL := 1

.PHONY: setup
setup: ## Installs what the end-to-end tests start and this machine lacks.
	e2e/setup.sh

.PHONY: binaries
binaries: ## Builds the programs that the end-to-end tests start.
	$(CARGO) build --locked -p vestibule-authsvc -p vestibule-cli -p vestibule-operator \
		-p vestibule-e2e -p vestibule-e2e-seed --bins

.PHONY: e2e
e2e: setup binaries ## The end-to-end tests alone; T=name runs those whose name has it.
	VESTIBULE_BIN_DIR=$(CARGO_TARGET_DIR)/debug \
		$(CARGO) test --locked --no-fail-fast -p vestibule-e2e -- $(T)

.PHONY: cluster
cluster: setup binaries ## Leaves a one-node Kubernetes running, with Vestibule installed (needs root).
	VESTIBULE_BIN_DIR=$(CARGO_TARGET_DIR)/debug $(CARGO_TARGET_DIR)/debug/cluster up

.PHONY: cluster-down
cluster-down: binaries ## Removes it.
	VESTIBULE_BIN_DIR=$(CARGO_TARGET_DIR)/debug $(CARGO_TARGET_DIR)/debug/cluster down

# What is measured, outside CI: each takes minutes, and both cores.
.PHONY: optimised
optimised: setup
	$(CARGO) build --locked --release -p vestibule-authsvc -p vestibule-operator -p vestibule-e2e \
		-p vestibule-e2e-seed --bins
MEASURE = VESTIBULE_BIN_DIR=$(CARGO_TARGET_DIR)/release $(CARGO_TARGET_DIR)/release

.PHONY: bench
bench: optimised ## Speed beside hyper, nginx, Envoy and Apache: the tables and plots of docs/bench.
	e2e/bench-setup.sh
	$(MEASURE)/bench $(or $(ARGS),--write-docs)

.PHONY: bench-page
bench-page: ## Writes the tables and plots of docs/bench anew, from what the last make bench kept.
	$(CARGO) run --locked --quiet -p vestibule-e2e --bin bench -- --docs-only

.PHONY: overload
overload: optimised ## Three times what can be answered: what is, how fast the rest is refused, recovery.
	$(MEASURE)/overload $(ARGS)

.PHONY: capacity
capacity: optimised ## Memory and cold start by policies, cached sessions, idle connections (ARGS="policies 0 1000").
	$(MEASURE)/capacity $(ARGS)

.PHONY: soak
soak: optimised ## An hour of logins, logouts, timeouts and edits: fails if anything grows (N=seconds).
	$(MEASURE)/soak $(or $(N),3600)

.PHONY: scale
scale: optimised ## Thousands of policies on a real API server: times, memory, writes (N="1000 10000").
	$(MEASURE)/scale $(or $(N),1000 10000)

.PHONY: gate gate-renew
gate gate-renew: LIMITS := authsvc/benches/instructions/limits.tsv
gate gate-renew: COUNT = PATH="$(GUNGRAUN):$$PATH" $(CARGO) bench --locked -p vestibule-authsvc \
	--bench instructions -- --output-format=json --parallel=2
gate: setup gate-program ## Instructions of checks and their parts, against those checked in.
	$(COUNT) | $(CARGO_TARGET_DIR)/debug/gate $(LIMITS)
gate-renew: setup gate-program ## Counts them, and checks in what was counted as the new limits.
	$(COUNT) | $(CARGO_TARGET_DIR)/debug/gate --renew $(LIMITS)

.PHONY: gate-program
gate-program:
	$(CARGO) build --locked -p vestibule-e2e --bin gate

# In CI the same test runs 1,000 rounds.
.PHONY: races
races: setup binaries ## 10,000 rounds of a check against a logout, over three replicas.
	VESTIBULE_RACE_ROUNDS=10000 VESTIBULE_BIN_DIR=$(CARGO_TARGET_DIR)/debug \
		$(CARGO) test --locked -p vestibule-e2e --test sessions -- races --nocapture

.PHONY: demo
demo: ## A login in your browser, at http://localhost:8080.
	$(CARGO) run --locked -p vestibule-cli -- demo

.PHONY: check-spelling
check-spelling: setup ## Spelling, by the typos program that setup.sh fetched.
	$(TYPOS)

# Not part of `make test`: its verdict changes with the advisories of the day, not with this code.
.PHONY: deny
deny: ## Licences, advisories and duplicate crates (needs cargo-deny).
	$(CARGO) deny check

.PHONY: each-crate-alone
each-crate-alone: ## Every crate builds without what others enable.
	for crate in $(CRATES); do $(CARGO) check --locked -p $$crate || exit 1; done

# The code whose every line decides who gets in; a mutant elsewhere costs minutes and tells little.
GUARDS := \
	$(addprefix authsvc/policy/src/,path.rs origin.rs matching.rs) \
	$(addprefix authsvc/src/,check/*.rs check/gateway/*.rs csrf.rs cookies.rs facts.rs return_to.rs) \
	$(addprefix authsvc/src/session/,seal.rs keyring.rs service.rs) \
	$(addprefix authsvc/src/oidc/,id_token.rs keys.rs metadata.rs) \
	$(addprefix authsvc/src/endpoints/,login.rs callback.rs)

.PHONY: mutants
mutants: ## Takes each guard out and sees a test fail (needs cargo-mutants; long).
	$(CARGO) mutants --workspace --exclude vestibule-e2e --exclude vestibule-e2e-seed \
		$(foreach file,$(GUARDS),--file '$(file)') $(ARGS)
