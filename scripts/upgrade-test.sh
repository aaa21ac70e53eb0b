#!/usr/bin/env bash
# Builds the programs of earlier versions, and runs tests/upgrade with each and this one; arguments filter the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FORMER=faee01a # what upgrades come from: the last version that was released, or given to anybody
FORMAT_1=daadfac # the last commit before the stores had a format
FORMAT_2=5a15d7a # the last commit with format 2
FORMERS=${CONFAB_FORMERS:-$FORMER $FORMAT_1 $FORMAT_2}

for former in $FORMERS; do
  sources=target/former/$former
  if [ ! -e "$sources/Cargo.toml" ]; then
    git cat-file -e "$former^{commit}" 2>/dev/null ||
      { echo "upgrade-test: $former is not in this clone's history (git fetch --unshallow)" >&2; exit 1; }
    mkdir -p "$sources"
    git archive "$former" | tar -x -C "$sources"
  fi
  cargo build --locked --manifest-path "$sources/Cargo.toml" --target-dir target/former/target
  cp target/former/target/debug/confab "target/former/confab-$former"
done
for former in $FORMERS; do
  echo "upgrade-test: from $former"
  # Sections of settings that it does not know.
  lacks='AUTH\|RETENTION'
  [ "$former" != "$FORMER" ] || lacks='ADMIN\|AUTH\|RETENTION'
  [ "$former" != "$FORMAT_2" ] || lacks=RETENTION
  CONFAB_TEST_FORMER=$PWD/target/former/confab-$former CONFAB_TEST_FORMER_LACKS=$lacks \
    cargo test --locked --features upgrade --test upgrade -- --include-ignored "$@"
done
