# Commands for developers. `make` alone lists them. ARGS are passed on: make run ARGS='jobs stats', make test ARGS='--test api'.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test upgrade-test chaos bench bench-full lint fmt deny doc dist unit-check image-test stores chromium nginx node stores-down stores-wipe compose-check

# The stores' URLs, without the variables of the stores' scripts, because confab rejects unknown settings.
stores-env = eval "$$(scripts/stores.sh env $(1))" && unset MYSQL_PASSWORD $${!CONFAB_STORES_@}

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: stores ## run the release build on the real stores
	@$(call stores-env,run) && exec cargo run --release --locked -- $(ARGS)

test: stores chromium nginx node ## run all tests: real stores, a real browser, a real reverse proxy (plain cargo test: those that need none)
	@$(call stores-env,test) && export CONFAB_TEST_SCHEMATHESIS="$$(scripts/schemathesis.sh)" && \
	  exec cargo test --locked --features breakpoints $(or $(ARGS),--all-targets) -- --include-ignored

upgrade-test: stores ## test an earlier version and this one on the same stores; needs the whole Git history
	@$(call stores-env,test) && exec scripts/upgrade-test.sh $(ARGS)

chaos: stores ## run the whole fault suite on the release build (about 45 minutes); ARGS=FILTER selects trials
	@$(call stores-env,test) && export CONFAB_TEST_ROUNDS=full && \
	  exec cargo test --release --locked --features breakpoints --test chaos -- --include-ignored $(ARGS)

benchmark = $(call stores-env,test) && exec cargo bench --locked --features bench --bench bench --

bench: stores ## run the benchmark (15 minutes); ARGS=accept runs a part: benches/README.md
	@scripts/install-package.sh wrk wrk
	@$(benchmark) $(ARGS)

bench-full: stores ## benchmark growth and several processes (about 20 minutes)
	@scripts/install-package.sh wrk wrk
	@$(benchmark) growth processes $(ARGS)

direct-dependencies = cargo tree --quiet --locked --depth 1 --prefix none --format '{p} {f}'

lint: ## check formatting, clippy and the crate documentation, warnings as errors
	cargo fmt --check
	@# All three use the features of the dependencies that the tests need, so that the dependencies are compiled once. This
	@# proves that the program does not rely on them: its direct dependencies have the same features without the tests.
	@test -z "$$(comm -23 <($(direct-dependencies) -e no-dev | sort) <($(direct-dependencies) -e normal,dev | sort))"
	cargo clippy --all-targets --all-features --locked -- -D warnings
	cargo clippy --lib --bins --test layers --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --lib --examples --locked

fmt: ## format the sources
	cargo fmt

deny: ## check licences, sources and known advisories of all dependencies by deny.toml
	@scripts/cargo-deny.sh

doc: ## build the crate documentation in target/doc
	cargo doc --no-deps --locked

dist: ## build a tarball for this platform in target/dist: binary, unit, configuration, completions, licences
	cargo build --release --locked
	@scripts/dist.sh target/release/confab target/dist

unit-check: ## install a tarball of the tests' build into a temporary root, and verify the unit with systemd
	@# `cargo build` selects other features of the dependencies than `cargo test` does, and would compile them again.
	cargo test --locked --features breakpoints --test layers --no-run
	@scripts/check-unit.sh target/debug/confab

image-test: ## build the image and try it on Podman, alone and with the services of docker-compose.yml (about 15 minutes)
	@scripts/image-test.sh

stores: ## start MySQL, Redis and Elasticsearch, and leave them running
	@scripts/stores.sh up

chromium: ## install Chromium for the browser tests
	@scripts/install-package.sh chromium chromium fonts-dejavu-core

nginx: ## install nginx for the tests behind a reverse proxy
	@scripts/install-package.sh nginx nginx-light

node: ## install Node.js for the test of the examples in docs/security.md
	@scripts/install-package.sh node nodejs

stores-down: ## stop the stores; their data stays
	@scripts/stores.sh down

stores-wipe: ## stop the stores and delete their data
	@scripts/stores.sh wipe

compose-check: ## check docker-compose.yml, without an engine
	@scripts/check-compose.sh
