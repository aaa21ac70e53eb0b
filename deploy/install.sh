#!/bin/sh
# Installs the files beside this script, as root; or into another root: DESTDIR=/some/folder ./install.sh
# An existing /etc/confab/confab.toml is kept. To upgrade, run the script of a newer tarball.
set -eu
cd "$(dirname "$0")"
root=${DESTDIR:-}

put() { # MODE FILE PLACE
  install -D -m "$1" "$2" "$root$3"
}

# Copied beside it, then renamed in one step: the program may be running.
put 755 confab /usr/local/bin/.confab.new
mv "$root/usr/local/bin/.confab.new" "$root/usr/local/bin/confab"
put 644 confab.service /etc/systemd/system/confab.service
put 644 confab.sysusers /etc/sysusers.d/confab.conf
[ -e "$root/etc/confab/confab.toml" ] || put 640 confab.toml /etc/confab/confab.toml
put 644 completions/confab.bash /usr/local/share/bash-completion/completions/confab
put 644 completions/_confab /usr/local/share/zsh/site-functions/_confab
put 644 completions/confab.fish /usr/local/share/fish/vendor_completions.d/confab.fish
for file in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE THIRD-PARTY default.toml docs/*.md; do
  put 644 "$file" "/usr/local/share/doc/confab/$file"
done

if [ -z "$root" ]; then
  systemd-sysusers /etc/sysusers.d/confab.conf
  chgrp confab /etc/confab/confab.toml
  systemctl daemon-reload
  echo 'installed: systemctl enable --now confab starts it, systemctl restart confab takes a new version into use'
fi
