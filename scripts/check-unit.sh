#!/usr/bin/env bash
# Checks the installation of a tarball: check-unit.sh BINARY packs it, installs it into a temporary root, and runs
# systemd's verification and security rating of the unit there. The machine is not changed and no service is started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# In tenths: "OK" is below 50.
most_exposed=20

if ! command -v systemd-analyze >/dev/null; then
  command -v apt-get >/dev/null || { echo 'check-unit: needs systemd-analyze (package systemd)' >&2; exit 1; }
  as_root=''
  [ "$(id -u)" = 0 ] || as_root=sudo
  { $as_root apt-get -qq -y install --no-install-recommends systemd ||
    { $as_root apt-get -qq update && $as_root apt-get -qq -y install --no-install-recommends systemd; }; } </dev/null >/dev/null
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tarball=$(scripts/dist.sh "$1" "$work")
mkdir "$work/unpacked" "$work/root"
tar -xzf "$tarball" -C "$work/unpacked"
DESTDIR=$work/root "$work"/unpacked/*/install.sh

# Like the unit: the settings are readable and valid.
CONFAB_EMBEDDED__PATH=$work/data/confab.sqlite3 \
  "$work/root/usr/local/bin/confab" --config "$work/root/etc/confab/confab.toml" migrate
for file in etc/confab/confab.toml etc/sysusers.d/confab.conf usr/local/share/doc/confab/THIRD-PARTY \
  usr/local/share/bash-completion/completions/confab usr/local/share/zsh/site-functions/_confab; do
  [ -s "$work/root/$file" ] || { echo "check-unit: $file is missing or empty" >&2; exit 1; }
done
bash -n "$work/root/usr/local/share/bash-completion/completions/confab"

# The units that this one refers to belong to systemd.
cp -r --parents /lib/systemd/system "$work/root" 2>/dev/null || cp -r --parents /usr/lib/systemd/system "$work/root"
told=$(systemd-analyze verify --man=no --root="$work/root" confab.service 2>&1) || { echo "$told" >&2; exit 1; }
# systemd only warns about unknown keys; messages about other units are ignored.
if grep confab <<<"$told" >&2; then exit 1; fi
systemd-analyze security --no-pager --offline=true --threshold=$most_exposed --root="$work/root" confab.service |
  tail -1
echo "confab.service: verified, and installed from $(basename "$tarball")"
