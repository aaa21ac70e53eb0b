#!/usr/bin/env bash
# Builds the program of an earlier version, and runs tests/upgrade with it and this one; arguments filter the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FORMER=faee01a # what upgrades come from: the last version that was released, or given to anybody

sources=target/former/$FORMER
if [ ! -e "$sources/Cargo.toml" ]; then
  git cat-file -e "$FORMER^{commit}" 2>/dev/null ||
    { echo "upgrade-test: $FORMER is not in this clone's history (git fetch --unshallow)" >&2; exit 1; }
  mkdir -p "$sources"
  git archive "$FORMER" | tar -x -C "$sources"
fi
cargo build --locked --manifest-path "$sources/Cargo.toml" --target-dir target/former/target
CONFAB_TEST_FORMER=$PWD/target/former/target/debug/confab \
  exec cargo test --locked --features upgrade --test upgrade -- --include-ignored "$@"
