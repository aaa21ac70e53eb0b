#!/usr/bin/env bash
# Checks docker-compose.yml without an engine: it is valid, the files it refers to exist, and its images have the versions
# that the tests use. Uses Docker's parser if the Compose plugin is installed, and always PyYAML.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if docker compose version >/dev/null 2>&1; then
  docker compose -f docker-compose.yml config -q
  echo 'docker-compose.yml: accepted by docker compose'
fi

find_python() {
  local p
  for p in python3 /usr/bin/python3; do "$p" -c 'import yaml' 2>/dev/null && echo "$p" && return; done
}
python=$(find_python || true)
if [ -z "$python" ] && command -v apt-get >/dev/null; then
  as_root=''
  [ "$(id -u)" = 0 ] || as_root=sudo
  { $as_root apt-get -qq -y install --no-install-recommends python3-yaml ||
    { $as_root apt-get -qq update && $as_root apt-get -qq -y install --no-install-recommends python3-yaml; }; } \
    </dev/null >/dev/null 2>&1 || true
  python=$(find_python || true)
fi
[ -n "$python" ] || { echo 'check-compose: needs Python 3 with PyYAML (apt-get install python3-yaml)' >&2; exit 1; }

mysql=$(sed -n 's/^VERSION=\([0-9.]*\).*/\1/p' scripts/stores/mysql) \
redis=$(sed -n 's/^REDIS_VERSION=\([0-9.]*\).*/\1/p' scripts/stores.sh) \
elasticsearch=$(sed -n 's|.*<es.version>\(.*\)</es.version>.*|\1|p' scripts/stores/elasticsearch/pom.xml) \
"$python" - <<'PYTHON'
import os, sys, yaml

class Loader(yaml.SafeLoader):
    """Like Docker's parser, and unlike PyYAML: a key given twice is an error."""
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(k, deep=True) for k, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, f"a key twice in {keys}", node.start_mark)
        return super().construct_mapping(node, deep)

try:
    compose = yaml.load(open("docker-compose.yml"), Loader)
except yaml.YAMLError as e:
    sys.exit(f"docker-compose.yml: {e}")
services, volumes = compose["services"], compose["volumes"]
wrong = []
if set(services) != {"confab", "mysql", "redis", "elasticsearch"}:
    wrong.append(f"services: {sorted(services)}")
for name in ("mysql", "redis", "elasticsearch"):
    have, want = services[name]["image"].rpartition(":")[2], os.environ[name]
    if not want or have != want:
        wrong.append(f"{name}: the image is {have}, the tests run on {want or 'an unknown version'}")
for name, service in services.items():
    wrong += [f"{name}: no {key}" for key in ("restart", "stop_grace_period") if key not in service]
    wrong += [f"{name}: {port} is not on 127.0.0.1" for port in service["ports"] if not port.startswith("127.0.0.1:")]
    if name != "confab" and "healthcheck" not in service:
        wrong.append(f"{name}: no healthcheck")
    wrong += [f"{name}: no volume {v}" for v in service.get("volumes", []) if v.split(":")[0] not in volumes]
    wrong += [f"{name}: no service {d}" for d in service.get("depends_on", []) if d not in services]
dockerfile = services["confab"]["build"]["dockerfile"]
if not os.path.exists(dockerfile):
    wrong.append("confab: its Dockerfile is not there")
elif "\nHEALTHCHECK " not in open(dockerfile).read():
    wrong.append("confab: its image has no health check")
sys.exit("\n".join(f"docker-compose.yml: {w}" for w in wrong) or print("docker-compose.yml: parses, versions agree"))
PYTHON
