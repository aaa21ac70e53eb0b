#!/usr/bin/env bash
# Installs schemathesis, which tests an API by its description, into target/, and prints the path of the program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=4.32.5
folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/schemathesis-$version

install() {
  if ! python3 -c 'import ensurepip'; then
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120)
    [ "$(id -u)" = 0 ] || apt=(sudo "${apt[@]}")
    "${apt[@]}" install --no-install-recommends python3-venv ||
      { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends python3-venv; }
  fi
  python3 -m venv --clear "$folder"
  "$folder/bin/pip" install --disable-pip-version-check --quiet "schemathesis==$version"
  touch "$folder/complete"
}

[ -e "$folder/complete" ] || install </dev/null >&2
echo "$folder/bin/schemathesis"
