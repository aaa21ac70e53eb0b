#!/usr/bin/env bash
# Lists the third-party crates in the binary with their licences, followed by each licence text once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Build and test dependencies are not in the binary.
cargo tree --locked --edges normal,no-proc-macro --prefix none --format '{p}|{l}|{r}' |
  sed -n 's/^\([^ ]*\) v\([^ |]*\)[^|]*|/\1|\2|/p' | grep -v '^confab|' | sort -u >"$work/crates"

echo 'Confab is made of its own sources and of these crates, each under the licence that stands beside it.'
echo
while IFS='|' read -r name version licence home; do
  echo "$name $version: $licence, $home"
  folder=("$sources"/*/"$name-$version")
  [ -d "${folder[0]}" ] || { echo "third-party: the source of $name $version is not there" >&2; exit 1; }
  while read -r file; do
    sum=$(tr -d '[:space:]' <"$file" | sha256sum | cut -c1-64)
    [ -e "$work/$sum.text" ] || { cp "$file" "$work/$sum.text"; echo "$sum" >>"$work/order"; }
    echo "$name $version" >>"$work/$sum.crates"
  done < <(find "${folder[0]}" -maxdepth 1 -type f \
    \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' -o -iname 'unlicense*' \) | sort)
done <"$work/crates"

while read -r sum; do
  printf '\n%s\n' '--------------------------------------------------------------------------------'
  sort -u "$work/$sum.crates" | paste -sd, - | sed 's/,/, /g'
  printf '%s\n\n' '--------------------------------------------------------------------------------'
  cat "$work/$sum.text"
done <"$work/order"
