#!/usr/bin/env bash
# Installs Chromium, which the browser tests use, from Debian's package.
set -euo pipefail

if command -v chromium >/dev/null; then exit 0; fi
die() { echo "chromium: $*" >&2; exit 1; }
command -v apt-get >/dev/null || die "not installed; the tests want it in the PATH, as chromium"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "not installed, and only root can: apt-get install chromium"
  as_root=(sudo)
fi
echo 'chromium: installing it'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 \
    install --no-install-recommends chromium fonts-dejavu-core </dev/null >"$log" 2>&1
}
# Package lists are fetched only if they are missing or old.
install || { "${as_root[@]}" apt-get -qq update </dev/null >"$log" 2>&1 && install; } ||
  { cat "$log" >&2; die "could not install it"; }
