#!/usr/bin/env bash
# Packs a binary and its files: dist.sh BINARY FOLDER creates FOLDER/confab-VERSION-TARGET.tar.gz
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
binary=$1 folder=$2
target=$(rustc -vV | sed -n 's/^host: //p')
version=$("$binary" --version | cut -d' ' -f2)
name=confab-$version-$target

rm -rf "${folder:?}/$name"
mkdir -p "$folder/$name/completions"
install -m 755 "$binary" "$folder/$name/confab"
install -m 755 deploy/install.sh "$folder/$name"
install -m 644 deploy/confab.{service,sysusers,toml} config/*.toml README.md CHANGELOG.md LICENSE-{MIT,APACHE} "$folder/$name"
mkdir "$folder/$name/docs"
install -m 644 docs/*.md "$folder/$name/docs"
"$binary" completions bash >"$folder/$name/completions/confab.bash"
"$binary" completions zsh >"$folder/$name/completions/_confab"
"$binary" completions fish >"$folder/$name/completions/confab.fish"
scripts/third-party.sh >"$folder/$name/THIRD-PARTY"
# Reproducible: the same files result in the same tarball.
tar --create --directory "$folder" --owner=0 --group=0 --numeric-owner --sort=name --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" "$name" |
  gzip -n >"$folder/$name.tar.gz"
echo "$folder/$name.tar.gz"
