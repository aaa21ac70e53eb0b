#!/usr/bin/env bash
# Installs nginx, which the tests of reverse proxies use, from Debian's package. It is not started as a service.
set -euo pipefail

if [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null; then exit 0; fi
die() { echo "nginx: $*" >&2; exit 1; }
command -v apt-get >/dev/null || die "not installed; the tests want it in the PATH or in /usr/sbin"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "not installed, and only root can: apt-get install nginx-light"
  as_root=(sudo)
fi
echo 'nginx: installing it'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  # In runlevel 1 the package does not start its service, which would take port 80.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -y -o DPkg::Lock::Timeout=120 \
    install --no-install-recommends nginx-light </dev/null >"$log" 2>&1
}
# Package lists are fetched only if they are missing or old.
install || { "${as_root[@]}" apt-get -qq update </dev/null >"$log" 2>&1 && install; } ||
  { cat "$log" >&2; die "could not install it"; }
