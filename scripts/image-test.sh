#!/usr/bin/env bash
# Builds the image by deploy/Dockerfile and tries it on podman: alone with its file, and with the services of
# docker-compose.yml. Needs root; installs what it needs on Debian.
#
# Where no image can be pulled, the base images are made on this machine: Debian by debootstrap, Rust of the toolchain that
# is installed, the stores of the servers that the tests run on. Images, containers and volumes are in target/image-test and
# nowhere else. The ports 3001 and 8000, and those of scripts/stores.sh, must be free; CONFAB_STORES_…_PORT selects others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$PWD/target/image-test
FORMER=$(sed -n 's/^FORMER=\([0-9a-f]*\).*/\1/p' scripts/upgrade-test.sh) # what is upgraded

say() { echo "image-test: $*"; }
die() { say "$*" >&2; exit 1; }
# Podman's timers of health checks need systemd. Without it podman complains, and this script runs the checks itself.
podman() { command podman "$@" 2> >(grep -v -e 'systemd connection' -e 'connect to syslog' >&2); }

# ---- tools -------------------------------------------------------------------------------------------------------

install_missing() {
  local need=() tool
  for tool in podman buildah runc debootstrap catatonit iptables podman-compose curl; do
    # Only programs count: podman is a function here.
    type -P "$tool" >/dev/null || need+=("$tool")
  done
  [ -e /usr/lib/podman/netavark ] || need+=(netavark)
  [ -e /usr/lib/podman/aardvark-dns ] || need+=(aardvark-dns)
  [ ${#need[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "needs ${need[*]}"
  say "installing ${need[*]}"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120)
  # Package lists are fetched only if they are missing or old.
  "${apt[@]}" install --no-install-recommends "${need[@]}" </dev/null >"$work/install.log" 2>&1 ||
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${need[@]}"; } \
      </dev/null >"$work/install.log" 2>&1 || { cat "$work/install.log" >&2; die "could not install ${need[*]}"; }
}

engine() { # settings of the engine, for this script only
  # Limits that an unprivileged container may have; and runc, because crun fails where both versions of cgroups are mounted.
  printf '%s\n' '[containers]' 'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]' '[engine]' 'runtime = "runc"' \
    'cgroup_manager = "cgroupfs"' 'events_logger = "file"' >"$work/containers.conf"
  printf '%s\n' '[storage]' 'driver = "overlay"' "graphroot = \"$work/storage\"" "runroot = \"$work/run\"" >"$work/storage.conf"
  export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
}

# ---- images ------------------------------------------------------------------------------------------------------

has() { podman image exists "$1" || timeout 300 podman pull -q "$1" >/dev/null 2>&1; } # IMAGE

stand_in() { # TARGET IMAGE
  podman build -q --format docker --pull=never --network host -f scripts/image-test/Dockerfile --target "$1" -t "$2" \
    "$work/context" >/dev/null
}

base_images() {
  local debian=docker.io/library/debian:bookworm-slim rust wanted cache=${XDG_CACHE_HOME:-$HOME/.cache}/stores
  rust=docker.io/library/$(sed -n 's/^FROM \(rust:[^ ]*\) .*/\1/p' deploy/Dockerfile)
  mkdir -p "$work/context/scripts"
  if ! has "$debian"; then
    say 'no image can be pulled; making the base images of this machine'
    rm -rf "$work/debian"
    debootstrap --variant=minbase bookworm "$work/debian" >"$work/debootstrap.log" 2>&1 ||
      { tail -5 "$work/debootstrap.log" >&2; die 'debootstrap failed'; }
    # As the slim image.
    rm -rf "$work/debian"/{var/cache/apt/archives,var/lib/apt/lists,usr/share/{doc,man,locale}}/*
    tar -C "$work/debian" -c . | podman import -q - "$debian" >/dev/null
    rm -rf "$work/debian"
  fi
  if ! has "$rust"; then
    wanted=${rust##*:} wanted=${wanted%-*}
    case $(rustc -V | cut -d' ' -f2) in
      "$wanted" | "$wanted".*) ;;
      *) die "the toolchain is $(rustc -V), and deploy/Dockerfile builds with $wanted" ;;
    esac
    stand_in rust "$rust"
  fi
  if [ "$(podman image inspect -f '{{index .Labels "stand-in"}}' "$rust")" = yes ]; then
    build+=(-v "$(rustc --print sysroot):/usr/local/rust:ro"
      -v /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro)
  fi
  cp -r scripts/stores/. "$work/context/scripts"
  cp scripts/image-test/mysql.sh "$work/context"
  local store image
  for store in redis mysql elasticsearch; do
    image=docker.io/library/$(sed -n "s/^    image: \($store:.*\)/\1/p" docker-compose.yml)
    if has "$image"; then continue; fi
    case $store in # downloaded and compiled by the scripts of the tests
      mysql) scripts/stores/mysql setup && rm -rf "$work/context/mysql" && cp -a "$cache/mysql" "$work/context/mysql" ;;
      elasticsearch)
        scripts/stores/elasticsearch/start.sh setup && rm -rf "$work/context/elasticsearch" &&
          cp -a "$cache/elasticsearch" "$work/context/elasticsearch" ;;
    esac
    stand_in "$store" "$image"
  done
}

build_image() { # FOLDER TAG
  say "building $2"
  # docker: the OCI format has no health checks.
  podman build --format docker --pull=never --network host "${build[@]}" -f "$1/deploy/Dockerfile" -t "$2" "$1" \
    >"$work/build.log" 2>&1 || { tail -30 "$work/build.log" >&2; die "could not build $2"; }
}

# ---- trials ------------------------------------------------------------------------------------------------------

eventually() { # WHAT COMMAND…
  local deadline=$((SECONDS + 180))
  until "${@:2}" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || { podman logs --tail 20 "$name" >&2 || true; die "not within 180 s: $1"; }
    sleep 0.2
  done
}

request() { curl -fsS --max-time 10 ${key:+-H "Authorization: Bearer $key"} "$@"; } # with the key, if one is set
post() { request -H 'Content-Type: application/json' -d "$2" "$api$1"; } # PATH BODY
up() { request "$api/up"; }
healthy() { podman healthcheck run "$name"; }
count() { request "$api$1/messages?limit=1000" | grep -o '"messageID"' | wc -l; } # CHAT
found() { [ "$(request "$api$1/search?q=$2&limit=100" | grep -o '"messageID"' | wc -l)" = "$3" ]; } # CHAT WORD HITS
expect() { [ "$2" = "$3" ] || die "$1: expected $3, got $2"; } # WHAT IS WANTED

new_chat() { # sets chat
  local app
  app=$(post /application '{"username":"Shetewi"}' | cut -d'"' -f4)
  request -X POST "$api/application/$app/chat" >/dev/null
  chat=/application/$app/chat/1
}

run() { # IMAGE: as restricted as can be
  podman run -d --name "$name" --read-only --read-only-tmpfs=false --cap-drop=all --security-opt=no-new-privileges \
    -p 127.0.0.1::3001 -v image-test-data:/data "$1" >/dev/null
  address
}

address() { # sets api; another port after each start
  api=http://$(podman port "$name" 3001)
  eventually "$name answers" up
}

write_until_killed() { # counts in a file how many messages were acknowledged
  local n=0
  while post "$chat/message" '{"message":"under load"}' >/dev/null 2>&1; do n=$((n + 1)); echo "$n" >"$work/acknowledged"; done
}
under_load() { [ "$(cat "$work/acknowledged")" -ge 100 ]; }

one_file() {
  local before writer
  name=image-test
  say "one file: $FORMER, killed and started again"
  run "confab:$FORMER"
  new_chat
  for _ in $(seq 20); do post "$chat/message" '{"message":"written by the former version"}' >/dev/null; done
  podman kill -s KILL "$name" >/dev/null
  podman start "$name" >/dev/null
  address
  expect 'messages after a kill' "$(count "$chat")" 20
  podman kill -s KILL "$name" >/dev/null

  say 'one file: upgraded to this version'
  podman rm "$name" >/dev/null
  run confab # which needs a key
  eventually 'the health check passes' healthy
  if request "$api$chat" >/dev/null 2>&1; then die 'a request without a key is let in'; fi
  key=$(podman exec "$name" confab keys create)
  expect 'messages after the upgrade' "$(count "$chat")" 20
  eventually 'search finds them' found "$chat" former 20
  expect 'the next number' "$(post "$chat/message" '{"message":"new"}' | grep -o '"MessageID":[0-9]*')" '"MessageID":21'

  say 'one file: user 10001:10001, no capabilities, no new privileges, only /data is writable'
  expect user "$(podman exec "$name" sh -c 'echo $(id -u):$(id -g)')" 10001:10001
  expect capabilities "$(podman exec "$name" sed -n 's/^CapEff:\s*//p' /proc/1/status)" 0000000000000000
  expect 'new privileges' "$(podman exec "$name" sed -n 's/^NoNewPrivs:\s*//p' /proc/1/status)" 1
  for folder in / /tmp /usr/local/bin; do
    if podman exec --user 0 "$name" touch "$folder/file" 2>/dev/null; then die "$folder is writable"; fi
  done
  podman exec "$name" confab doctor | grep -E 'warning|problem' >"$work/doctor.log" || true
  if grep problem "$work/doctor.log" >&2; then die 'doctor found a problem'; fi

  say 'one file: killed under load'
  before=$(count "$chat")
  write_until_killed & writer=$!
  eventually 'there is load' under_load
  podman kill -s KILL "$name" >/dev/null
  wait "$writer"
  podman start "$name" >/dev/null
  address
  local acknowledged kept
  acknowledged=$((before + $(cat "$work/acknowledged"))) kept=$(count "$chat")
  # The last one may be stored without its answer.
  [ "$kept" = "$acknowledged" ] || [ "$kept" = $((acknowledged + 1)) ] || die "$acknowledged acknowledged, $kept kept"
  say "  $((acknowledged - before)) acknowledged, all kept"

  say 'one file: the health check fails while the process is stopped'
  podman kill -s STOP "$name" >/dev/null
  if healthy >/dev/null 2>&1; then die 'a stopped process is healthy'; fi
  podman kill -s CONT "$name" >/dev/null
  eventually 'it is healthy again' healthy

  say 'one file: stopped in order'
  podman stop -t 35 "$name" >/dev/null
  expect 'exit code of a stop' "$(podman inspect -f '{{.State.ExitCode}}' "$name")" 0
  podman rm "$name" >/dev/null
  podman volume rm image-test-data >/dev/null
  key=
}

services() {
  local compose=(podman-compose -p image-test -f docker-compose.yml) store addresses
  name=image-test_confab_1
  say 'docker-compose.yml: all services'
  "${compose[@]}" up -d --no-build >"$work/compose.log" 2>&1 || { tail -20 "$work/compose.log" >&2; die 'compose failed'; }
  api=http://127.0.0.1:3001
  for name in image-test_{mysql,redis,elasticsearch,confab}_1; do eventually "$name is healthy" healthy; done
  key=$(podman exec "$name" confab keys create)
  new_chat
  api=http://127.0.0.1:8000 # creations go here, too
  for _ in $(seq 20); do post "$chat/message" '{"message":"to the services"}' >/dev/null; done
  api=http://127.0.0.1:3001
  expect messages "$(count "$chat")" 20
  eventually 'search finds them' found "$chat" services 20
  podman exec "$name" confab doctor | grep -v '^ok' >"$work/doctor-services.log" || true
  if grep '^problem' "$work/doctor-services.log" >&2; then die 'doctor found a problem'; fi
  addresses=$(podman ps --format '{{.Ports}}' | tr ',' '\n' | grep -c -- '->')
  expect 'ports on 127.0.0.1' "$(podman ps --format '{{.Ports}}' | tr ',' '\n' | grep -c '127\.0\.0\.1:.*->')" "$addresses"
  say 'docker-compose.yml: every container killed and started again'
  podman kill -s KILL -a >/dev/null
  podman start --all >/dev/null
  for name in image-test_{mysql,redis,elasticsearch,confab}_1; do eventually "$name is healthy" healthy; done
  expect 'messages after it' "$(count "$chat")" 20
  eventually 'search finds them' found "$chat" services 20
  "${compose[@]}" down -v >>"$work/compose.log" 2>&1
  key=
}

clean() {
  podman rm -f -a >/dev/null 2>&1 || true
  podman volume prune -f >/dev/null 2>&1 || true
  podman network rm image-test_default >/dev/null 2>&1 || true
}

[ "$(id -u)" = 0 ] || die 'needs root, for networks and file systems of containers'
mkdir -p "$work"
install_missing
engine
trap clean EXIT
clean
build=() key=
base_images
if ! podman image exists "confab:$FORMER"; then
  git cat-file -e "$FORMER^{commit}" 2>/dev/null || die "$FORMER is not in this clone's history (git fetch --unshallow)"
  rm -rf "$work/former" && mkdir "$work/former"
  # With the time of now: cargo, in the cache of the builds, takes sources that are older than its last build for unchanged.
  git archive "$FORMER" | tar -x -m -C "$work/former"
  build_image "$work/former" "confab:$FORMER"
fi
build_image . confab
rm -f "$work/acknowledged"
one_file
services
size() { podman image inspect -f '{{.Size}}' "$1" | awk '{printf "%.0f MB", $1 / 1e6}'; } # IMAGE
say "passed, $SECONDS s; the image has $(size confab), of them the base $(size docker.io/library/debian:bookworm-slim)"
