#!/usr/bin/env bash
# A real Elasticsearch on 127.0.0.1, single node, no security, from its published packages. Needs Maven and a JDK 17.
#
#   start.sh setup        download (43 MB) and compile, once
#   start.sh PORT DIR     run in the foreground; SIGTERM stops it; SIGKILL is safe
#
# Ready when /_cluster/health answers 200: / itself answers 405, as its module (rest-root) is not published.
# Environment: ES_HEAP (default 1g), ES_HTTP_HOST (default 127.0.0.1), ES_HOME_LIB (default: stores/elasticsearch in the user's cache folder), JAVA_HOME.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
home=$(realpath -m "${ES_HOME_LIB:-${XDG_CACHE_HOME:-$HOME/.cache}/stores/elasticsearch}")
PATH=${JAVA_HOME:+$JAVA_HOME/bin:}$PATH
version=$(sed -n 's|.*<es.version>\(.*\)</es.version>.*|\1|p' "$here/pom.xml")
# By content: other versions of EsNode may share the cache.
classes=$home/classes/$(sha256sum <"$here/src/EsNode.java" | cut -c 1-12)-$version

mkdir -p "$home"
exec 9>"$home/.lock"; flock 9 # two first starts at once
if [ ! -e "$home/lib/elasticsearch-$version.jar" ]; then
  m=$home/modules/transport-netty4
  rm -rf "${home:?}"/{lib.tmp,lib,modules}; mkdir -p "$m"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$home/lib.tmp"
  # As in the distribution: a module's own jars lie with it, each in the one place, beside its descriptor and policy.
  mv "$home"/lib.tmp/{netty-,transport-netty4-,elasticsearch-ssl-config-}*.jar "$m"
  (cd "$m" && jar xf transport-netty4-*.jar META-INF/es-plugins && mv META-INF/es-plugins/*/* . && rm -r META-INF)
  mv "$home/lib.tmp" "$home/lib" # last: lib/ means complete
fi
if [ ! -e "$classes" ]; then
  javac -cp "$home/lib/*" -d "$classes.tmp" "$here/src/EsNode.java"
  mv "$classes.tmp" "$classes"
fi
exec 9>&-
[ "${1:-}" != setup ] || exit 0

port=${1:?PORT} data=$(realpath -m "${2:?DIR}") heap=${ES_HEAP:-1g}
mkdir -p "$data/tmp"
# --module-path: the netty module asks for the server as a named Java module, which a class path would not give.
# shutdownHookEnabled=false: else log4j stops before the node has logged its own close.
# -UsePerfData: else the JVM changes its working directory for a moment, by which stores.sh recognizes the process.
exec java -Xms"$heap" -Xmx"$heap" -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData -Djava.awt.headless=true \
  -Dlog4j2.configurationFile="$here/log4j2.properties" -Dlog4j2.formatMsgNoLookups=true -Dlog4j2.disable.jmx=true \
  -Dlog4j.shutdownHookEnabled=false -Dio.netty.noUnsafe=true -Djava.io.tmpdir="$data/tmp" \
  --module-path "$home/lib" --add-modules ALL-MODULE-PATH,jdk.net -cp "$classes" EsNode "$home" "$port" "$data"
