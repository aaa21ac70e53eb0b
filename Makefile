# What a developer types. `make` alone lists it. ARGS are passed on: make run ARGS='jobs stats', make test ARGS='--test api'.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test upgrade-test chaos bench bench-full lint fmt deny doc dist unit-check stores chromium stores-down stores-wipe compose-check

# The stores' URLs; and away with what only the stores' scripts read, as confab stops at a setting that it does not know.
stores-env = eval "$$(scripts/stores.sh env $(1))" && unset MYSQL_PASSWORD $${!CONFAB_STORES_@}

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: stores ## start confab on the real stores, as the release build
	@$(call stores-env,run) && exec cargo run --release --locked -- $(ARGS)

test: stores chromium ## all tests, on the real stores and in a real browser (cargo test alone: those that need none)
	@$(call stores-env,test) && export CONFAB_TEST_SCHEMATHESIS="$$(scripts/schemathesis.sh)" && \
	  exec cargo test --locked --features breakpoints $(or $(ARGS),--all-targets) -- --include-ignored

upgrade-test: stores ## an earlier version and this one on the same stores; wants the whole history
	@$(call stores-env,test) && exec scripts/upgrade-test.sh $(ARGS)

chaos: stores ## the whole fault suite, on the release build (some 45 minutes); ARGS=FILTER plays a part of it
	@$(call stores-env,test) && export CONFAB_TEST_ROUNDS=full && \
	  exec cargo test --release --locked --features breakpoints --test chaos -- --include-ignored $(ARGS)

benchmark = $(call stores-env,test) && exec cargo bench --locked --features bench --bench bench --

bench: stores ## measure it beside what its stores can do (15 minutes); ARGS=accept does a part: benches/README.md
	@scripts/wrk.sh
	@$(benchmark) $(ARGS)

bench-full: stores ## what depends on the amount of data, and on the number of processes (some 20 minutes)
	@scripts/wrk.sh
	@$(benchmark) growth processes $(ARGS)

lint: ## formatting, clippy and the documentation of the crate, warnings as errors
	cargo fmt --check
	cargo clippy --locked -- -D warnings
	cargo clippy --all-targets --all-features --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked

fmt: ## format the sources
	cargo fmt

deny: ## licences and sources of all dependencies, by deny.toml
	@scripts/cargo-deny.sh

doc: ## the documentation of the crate, in target/doc
	cargo doc --no-deps --locked

dist: ## a tarball for machines like this one, in target/dist: binary, unit, configuration, completions, licences
	cargo build --release --locked
	@scripts/dist.sh target/release/confab target/dist

unit-check: ## install a tarball of the tests' build into a scratch root, and have systemd verify the unit there
	cargo build --locked --features breakpoints
	@scripts/check-unit.sh target/debug/confab

stores: ## start MySQL, Redis and Elasticsearch, and leave them running
	@scripts/stores.sh up

chromium: ## make sure that Chromium is there, for the tests of pages
	@scripts/chromium.sh

stores-down: ## stop them; their data stays
	@scripts/stores.sh down

stores-wipe: ## stop them and delete their data
	@scripts/stores.sh wipe

compose-check: ## check docker-compose.yml, without an engine
	@scripts/check-compose.sh
