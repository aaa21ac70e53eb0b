#!/usr/bin/env bash
# Starts MySQL with the arguments of the container, and creates the database and the user that its environment names.
set -euo pipefail
cat >/tmp/init.sql <<SQL
CREATE DATABASE IF NOT EXISTS $MYSQL_DATABASE;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON $MYSQL_DATABASE.* TO '$MYSQL_USER'@'%';
SQL
export MYSQL_EXTRA="--bind-address=0.0.0.0 --init-file=/tmp/init.sql $*"
exec /opt/scripts/mysql run 3306 /var/lib/mysql
