#!/usr/bin/env bash
# Installs a program that tests or benchmarks use from Debian's packages, unless it is there: install-package.sh PROGRAM PACKAGE...
set -euo pipefail

program=$1
shift
# Debian installs servers in a folder that is not in every user's PATH.
PATH=$PATH:/usr/sbin
if command -v "$program" >/dev/null; then exit 0; fi
die() { echo "$program: $*" >&2; exit 1; }
command -v apt-get >/dev/null || die "not installed; the tests need it in the PATH"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "not installed, and only root can: apt-get install $*"
  as_root=(sudo)
fi
echo "$program: installing it"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { # PACKAGE...
  # In runlevel 1 the package of a server does not start its service, which would take a port.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -y -o DPkg::Lock::Timeout=120 \
    install --no-install-recommends "$@" </dev/null >"$log" 2>&1
}
# Package lists are fetched only if they are missing or old.
install "$@" || { "${as_root[@]}" apt-get -qq update </dev/null >"$log" 2>&1 && install "$@"; } ||
  { cat "$log" >&2; die "could not install it"; }
