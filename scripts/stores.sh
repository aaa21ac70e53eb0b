#!/usr/bin/env bash
# The three real stores for development and tests, on 127.0.0.1, from a clone alone.
#
#   stores.sh up            start the stores that are not running, and leave them running
#   stores.sh down          stop them; the data stays
#   stores.sh wipe          stop them and delete the data
#   stores.sh status        print which stores run; exit 1 unless all three do
#   stores.sh env [test]    export lines for a shell: what confab needs to run on them, or (test) what the tests need
#
# For the fault suite, with a STORE of mysql, redis, elasticsearch:
#   stores.sh kill STORE    kill -9
#   stores.sh start STORE   start it again, and wait until it serves
#   stores.sh keep STORE    copy the data of a killed store
#   stores.sh back STORE    replace the data of a stopped store by that copy
#
# Uses Docker Compose if an engine answers, otherwise native processes on Debian: Redis from the distribution, MySQL and
# Elasticsearch from the scripts in stores/. Data and logs are in .stores/ of the project.
#
# CONFAB_STORES_SET=NAME selects another set of three, with data of its own and the ports that the environment names;
# wiping the default set wipes all. Kill, start, keep and back require a name, because the default set is shared.
#
# Environment: CONFAB_STORES_MYSQL_PORT (13306), CONFAB_STORES_REDIS_PORT (16379), CONFAB_STORES_ELASTICSEARCH_PORT
# (19200); CONFAB_STORES_MODE (docker or native; detected if not set); MYSQL_PASSWORD (docker only).
set -euo pipefail
REDIS_VERSION=7.0.15 # Debian bookworm's: what the tests run on, and the image in docker-compose.yml

# The stores outlive this script, so they must not inherit a pipe or a make job slot of the caller.
for fd in "/proc/$$/fd"/*; do
  fd=${fd##*/}
  if [ "$fd" -gt 2 ] && [ "$fd" != 255 ]; then eval "exec $fd>&-"; fi
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
here=$root/scripts/stores
own_name=confab-stores-$(sha256sum <<<"$root" | cut -c 1-12) # this clone's
set=${CONFAB_STORES_SET:-}
all=(mysql redis elasticsearch)
export CONFAB_STORES_MYSQL_PORT=${CONFAB_STORES_MYSQL_PORT:-13306}
export CONFAB_STORES_REDIS_PORT=${CONFAB_STORES_REDIS_PORT:-16379}
export CONFAB_STORES_ELASTICSEARCH_PORT=${CONFAB_STORES_ELASTICSEARCH_PORT:-19200}
declare -A port=([mysql]=$CONFAB_STORES_MYSQL_PORT [redis]=$CONFAB_STORES_REDIS_PORT
  [elasticsearch]=$CONFAB_STORES_ELASTICSEARCH_PORT)
started=${EPOCHREALTIME/[.,]/}

say() { echo "stores: $*"; }
die() { say "$*" >&2; exit 1; }
seconds() { local ms=$(((${EPOCHREALTIME/[.,]/} - started) / 1000)); printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100)); }
die_with_log() { # MESSAGE LOG: in one write, as the stores come up side by side
  local text
  text=$(say "$1; see $2, which ends:"; tail -n 20 "$2" 2>/dev/null | sed 's/^/  | /')
  printf '%s\n' "$text" >&2; exit 1
}

# The path of a Unix socket is limited to about 107 bytes. If the project's path is too long, a symlink shortens it.
state_dir() {
  state=$root/.stores
  if [ ! -e "$state" ] && [ $((${#state} + 12)) -gt 90 ]; then
    local far=${TMPDIR:-/tmp}/$own_name
    (umask 077 && mkdir -p "$far")
    [ -O "$far" ] || die "$far belongs to somebody else"
    ln -sfn "$far" "$state"
  fi
  mkdir -p "$state"
  state=$(cd "$state" && pwd -P)
  [ -z "$set" ] || { state=$state/$set; mkdir -p "$state"; }
}

# ---- natively ----------------------------------------------------------------------------------------------------

install_missing() {
  local need=() apt=()
  command -v redis-server >/dev/null && command -v redis-cli >/dev/null || need+=(redis-server)
  command -v javac >/dev/null && command -v jar >/dev/null || need+=(default-jdk-headless)
  command -v mvn >/dev/null || need+=(maven)
  [ ${#need[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "not installed, and only root can: apt-get install ${need[*]}"
    apt=(sudo)
  fi
  say "installing ${need[*]}"
  apt+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120)
  # Package lists are fetched only if they are missing or old.
  "${apt[@]}" install --no-install-recommends "${need[@]}" </dev/null >"$state/install.log" 2>&1 ||
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${need[@]}"; } \
      </dev/null >"$state/install.log" 2>&1 || die_with_log "could not install ${need[*]}" "$state/install.log"
}

foreground() { # STORE: becomes the store
  case $1 in
    mysql)
      # performance_schema costs 300 MB. The binary log is synced as shipped, but little of it is kept.
      export MYSQL_EXTRA='--performance-schema=OFF --max-connections=500 --innodb-buffer-pool-size=512M'
      MYSQL_EXTRA+=' --max-binlog-size=64M --binlog-expire-logs-seconds=3600'
      exec "$here/mysql" run "${port[mysql]}" "$state/mysql" ;;
    redis)
      exec redis-server --bind 127.0.0.1 --port "${port[redis]}" --dir "$state/redis" --save "" \
        --appendonly yes --appendfsync always --maxmemory-policy noeviction ;;
    elasticsearch)
      exec "$here/elasticsearch/start.sh" "${port[elasticsearch]}" "$state/elasticsearch" ;;
  esac
}

answers() { # STORE: does it serve? (MySQL: with the database there)
  case $1 in
    mysql)
      timeout 10 "$here/mysql" client --no-defaults --protocol=TCP -h 127.0.0.1 -P "${port[mysql]}" -u root \
        --connect-timeout=5 -e 'CREATE DATABASE IF NOT EXISTS confab CHARACTER SET utf8mb4' ;;
    redis)
      timeout 5 redis-cli -p "${port[redis]}" ping | grep -q PONG ;;
    elasticsearch)
      # shellcheck disable=SC2016  # the inner bash expands $0
      timeout 10 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0"
        printf "GET /_cluster/health?wait_for_status=yellow&timeout=5s HTTP/1.0\r\n\r\n" >&3
        head -n 1 <&3' "${port[elasticsearch]}" | grep -q ' 200 ' ;;
  esac >/dev/null 2>&1
}

pid_of() { # STORE: its pid, if it lives. Its working directory tells it from another process that got the number
  local pid cwd
  pid=$(cat "$state/$1.pid" 2>/dev/null) && cwd=$(readlink "/proc/$pid/cwd") || return 1
  case $cwd in "$state/$1" | "$state/$1"/*) echo "$pid" ;; *) return 1 ;; esac
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

launch() { # STORE
  local i
  for ((i = 0; i < 50; i++)); do # a store killed just now frees its port in a moment
    port_open "${port[$1]}" || break
    sleep 0.1
  done
  [ $i -lt 50 ] || die "$1: port ${port[$1]} is in use by something else; set CONFAB_STORES_${1^^}_PORT to another"
  mkdir -p "$state/$1"
  [ ! -s "$state/$1.log" ] || mv "$state/$1.log" "$state/$1.log.1"
  echo "${port[$1]}" >"$state/$1.port"
  rm -f "$state/$1.pid"
  # shellcheck disable=SC2016  # the inner bash expands these
  setsid -f bash -c 'echo $$ >"$0.pid"; cd "$0"; exec "$@"' "$state/$1" \
    "$root/scripts/stores.sh" foreground "$1" </dev/null >>"$state/$1.log" 2>&1 9>&-
  # On a busy machine even this takes seconds.
  for ((i = 0; i < 1000; i++)); do
    pid_of "$1" >/dev/null && return 0
    [ ! -s "$state/$1.pid" ] || [ -e "/proc/$(cat "$state/$1.pid")" ] || return 0 # it has ended already
    sleep 0.02
  done
}

up_native() { # STORE
  local s=$1 log=$state/$1.log launched='' deadline
  if pid_of "$s" >/dev/null && [ "$(cat "$state/$s.port")" != "${port[$s]}" ]; then
    die "$s already runs, on port $(cat "$state/$s.port"): scripts/stores.sh down first"
  fi
  case $s in # the downloads of a first start
    mysql) timeout 300 "$here/mysql" setup </dev/null >>"$log" 2>&1 ;;
    elasticsearch) timeout 300 "$here/elasticsearch/start.sh" setup </dev/null >>"$log" 2>&1 ;;
  esac || die_with_log "$s could not be set up (it has 5 minutes)" "$log"
  deadline=$((SECONDS + 180))
  until pid_of "$s" >/dev/null && answers "$s"; do
    [ $SECONDS -lt $deadline ] || die_with_log "$s did not come up within 180 s" "$log"
    if ! pid_of "$s" >/dev/null; then
      [ -z "$launched" ] || die_with_log "$s ended while it was starting" "$log"
      launch "$s"; launched=1
    fi
    sleep 0.1
  done
  say "$s on 127.0.0.1:${port[$s]}${launched:+, started in $(seconds)}"
}

stop_native() { # STORE
  local pid i
  if pid=$(pid_of "$1"); then
    kill -TERM -- "-$pid" 2>/dev/null || true # with its children, if it is still being set up
    for ((i = 0; i < 600; i++)); do
      pid_of "$1" >/dev/null || break
      sleep 0.1
    done
    if [ $i -lt 600 ]; then say "$1 stopped"; else kill -KILL -- "-$pid" || true; say "$1 killed: still there after 60 s"; fi
  fi
  rm -f "$state/$1".{pid,port}
}

# ---- with Docker Compose -----------------------------------------------------------------------------------------

# The Compose project is specific to this clone, so wiping it keeps the data of a confab run from the same file.
compose() { docker compose -p "$own_name${set:+-$set}" -f "$root/docker-compose.yml" "$@" </dev/null; }
healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$(compose ps -q "$1")" 2>/dev/null)" = healthy ]; }

up_docker() {
  local s
  for s in "${all[@]}"; do
    if [ -z "$(compose ps -q "$s")" ] && port_open "${port[$s]}"; then
      die "$s: port ${port[$s]} is in use by something else; set CONFAB_STORES_${s^^}_PORT to another"
    fi
  done
  if ! compose up -d --wait --wait-timeout 180 "${all[@]}" >"$state/docker.log" 2>&1; then
    for s in "${all[@]}"; do
      healthy "$s" && continue
      compose logs --no-log-prefix --tail 200 "$s" >>"$state/docker.log" 2>&1 || true
      die_with_log "$s did not come up" "$state/docker.log"
    done
    die_with_log 'docker compose up failed' "$state/docker.log"
  fi
  # shellcheck disable=SC2016  # the container's shell expands it
  compose exec -T mysql sh -c 'MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql -u root -e "$0"' \
    'CREATE DATABASE IF NOT EXISTS confab CHARACTER SET utf8mb4' >>"$state/docker.log" 2>&1 ||
    die_with_log 'could not create the database' "$state/docker.log"
  for s in "${all[@]}"; do say "$s on 127.0.0.1:${port[$s]}"; done
}

# ---- the commands ------------------------------------------------------------------------------------------------

mode() { # what they were started with; at first, what there is
  if [ -n "${CONFAB_STORES_MODE:-}" ]; then echo "$CONFAB_STORES_MODE"
  elif [ -s "$state/mode" ]; then cat "$state/mode"
  elif docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then echo docker
  else echo native; fi
}

each() { # FUNCTION: on every store, side by side
  local s pids=() p ok=0
  for s in "${all[@]}"; do "$1" "$s" & pids+=($!); done
  trap 'kill "${pids[@]}" 2>/dev/null; exit 130' INT TERM
  for p in "${pids[@]}"; do wait "$p" || ok=1; done
  trap - INT TERM
  return $ok
}

up() {
  echo "$mode" >"$state/mode"
  case $mode in
    docker) up_docker ;;
    *)
      # shellcheck source=/dev/null
      [ "$(. /etc/os-release 2>/dev/null; echo "${ID:-}")" = debian ] ||
        die 'no Docker engine with Compose answers, and without one only Debian will do'
      install_missing
      redis-server --version | grep -q "v=$REDIS_VERSION " ||
        say "note: this Redis is not $REDIS_VERSION, which the tests are known to pass on"
      each up_native ;;
  esac
}

down() {
  case $mode in
    docker) compose stop ;;
    *) each stop_native ;;
  esac
}

wipe() {
  local other
  if [ -z "$set" ]; then
    for other in "$state"/*/mode; do
      [ ! -e "$other" ] || CONFAB_STORES_SET=$(basename "$(dirname "$other")") "$root/scripts/stores.sh" wipe
    done
  fi
  case $mode in
    docker) compose down --volumes --remove-orphans ;;
    *) each stop_native ;;
  esac
  rm -rf "$state"/{mode,*.log,*.log.1} "${all[@]/#/$state/}" "${all[@]/#/$state/kept-}"
}

one_store() { # STORE: of a set that is not everybody's
  [ -n "$set" ] || die 'kill, start, keep and back are for a set of its own: CONFAB_STORES_SET=NAME'
  case $1 in mysql | redis | elasticsearch) ;; *) die "no such store: $1" ;; esac
}

kill_store() { # STORE
  local pid
  if [ "$mode" = docker ]; then compose kill -s KILL "$1"; return; fi
  pid=$(pid_of "$1") || die "$1 does not run"
  kill -KILL -- "-$pid"
  while pid_of "$1" >/dev/null; do sleep 0.02; done
}

start_store() { # STORE
  if [ "$mode" = docker ]; then compose up -d --wait --wait-timeout 180 "$1"; else up_native "$1"; fi
}

data_of() { # STORE: where its container keeps it
  case $1 in mysql) echo /var/lib/mysql ;; redis) echo /data ;; elasticsearch) echo /usr/share/elasticsearch/data ;; esac
}

keep() { # STORE
  rm -rf "$state/kept-$1"
  if [ "$mode" = docker ]; then compose cp -a "$1:$(data_of "$1")" "$state/kept-$1"
  else cp -a "$state/$1" "$state/kept-$1"; fi
}

back() { # STORE
  if [ "$mode" = docker ]; then compose cp -a "$state/kept-$1/." "$1:$(data_of "$1")"
  else rm -rf "${state:?}/$1"; cp -a "$state/kept-$1" "$state/$1"; fi
}

status() {
  local s pid all_up=0
  for s in "${all[@]}"; do
    if [ "$mode" = docker ]; then
      if healthy "$s"; then say "$s: healthy, 127.0.0.1:${port[$s]}"; else say "$s: down"; all_up=1; fi
    elif ! pid=$(pid_of "$s"); then say "$s: down"; all_up=1
    elif [ "$(cat "$state/$s.port")" = "${port[$s]}" ] && answers "$s"; then say "$s: pid $pid, 127.0.0.1:${port[$s]}"
    else say "$s: pid $pid, but it does not answer on 127.0.0.1:${port[$s]}"; all_up=1; fi
  done
  return $all_up
}

environment() {
  local login=root
  [ "$mode" != docker ] || login=root:${MYSQL_PASSWORD:-confab}
  local mysql=mysql://$login@127.0.0.1:${port[mysql]} redis=redis://127.0.0.1:${port[redis]}
  local elasticsearch=http://127.0.0.1:${port[elasticsearch]}
  case ${1:-run} in
    run) printf 'export %s\n' CONFAB_BACKING=services "CONFAB_SERVICES__MYSQL_URL=$mysql/confab" \
      "CONFAB_SERVICES__REDIS_URL=$redis" "CONFAB_SERVICES__ELASTICSEARCH_URL=$elasticsearch" ;;
    # A database, key prefix and index for every test: these name the servers only.
    test) printf 'export %s\n' "CONFAB_TEST_MYSQL_URL=$mysql" "CONFAB_TEST_REDIS_URL=$redis" \
      "CONFAB_TEST_ELASTICSEARCH_URL=$elasticsearch" ;;
    *) die "env $1?" ;;
  esac
}

usage() { sed -n '2,23p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; }

command=${1:-}
case $command in
  kill | start | keep | back) state_dir; one_store "${2:-}" ;;
  up | down | wipe | status | env | foreground) state_dir ;;
  *) usage; exit 2 ;;
esac
if [ "$command" = foreground ]; then foreground "$2"; fi
case $command in # one at a time
  up | down | wipe | kill | start | keep | back)
    exec 9>"$state/lock"
    flock -w 420 9 || die 'another stores.sh is still busy' ;;
esac
mode=$(mode)
case $command in
  env) environment "${2:-}" ;;
  kill | start) "${command}_store" "$2" ;;
  keep | back) "$command" "$2" ;;
  *) "$command" ;;
esac
