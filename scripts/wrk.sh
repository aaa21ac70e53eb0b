#!/usr/bin/env bash
# Installs wrk, the load generator of the benchmark, if it is missing.
set -euo pipefail
if command -v wrk >/dev/null; then exit 0; fi
die() { echo "wrk: not installed, and $*: https://github.com/wg/wrk says how" >&2; exit 1; }
command -v apt-get >/dev/null || die 'there is no apt-get to do it'
apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120)
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die 'only root can: apt-get install wrk'
  apt=(sudo "${apt[@]}")
fi
echo 'wrk: installing'
{ "${apt[@]}" install --no-install-recommends wrk ||
  { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends wrk; }; } </dev/null >/dev/null 2>&1 || true
command -v wrk >/dev/null || die 'apt-get install wrk fails'
