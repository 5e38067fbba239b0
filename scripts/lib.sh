# shellcheck shell=bash
# Shared by the scripts beside it; sourced, never run.
#
# find_postgres and find_rabbitmq leave a URL in POSTGRES_URL and AMQP_URL. What they start themselves lives in a
# temporary folder, listens on the loopback only, and goes away when the script that asked for it ends.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# ---- the machine ----------------------------------------------------------------------------------------------------

SERVICES_DIR=
POSTGRES_BIN=
POSTGRES_DATA=
RABBITMQ_PID=

services_dir() {
    [[ -n $SERVICES_DIR ]] && return
    SERVICES_DIR=$(mktemp -d "${TMPDIR:-/tmp}/odograph-services.XXXXXX")
    # The server may run as another user than the one who made the folder.
    chmod 755 "$SERVICES_DIR"
    trap stop_services EXIT
    # Without these a signal would end the script and leave the servers behind.
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

stop_services() {
    if [[ -n $POSTGRES_DATA ]]; then
        as_postgres "$POSTGRES_BIN/pg_ctl" -D "$POSTGRES_DATA" -m immediate -w stop >/dev/null 2>&1 || true
    fi
    if [[ -n $RABBITMQ_PID ]]; then
        # Its start script turns the signal into an orderly stop of the node and waits for it.
        kill -TERM "$RABBITMQ_PID" 2>/dev/null || true
        wait "$RABBITMQ_PID" 2>/dev/null || true
    fi
    if [[ -n $SERVICES_DIR ]]; then rm -rf "$SERVICES_DIR"; fi
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif have sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

can_install() { have apt-get && as_root true; }

# Installs Debian packages without letting them start their services: what the tests use is started here, on ports and in
# folders of its own.
apt_install() {
    say "installing Debian packages: $*"
    local policy=/usr/sbin/policy-rc.d made_policy=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        made_policy=1
    fi
    local status=0
    { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } >&2 </dev/null ||
        status=$?
    if [[ -n $made_policy ]]; then as_root rm -f "$policy"; fi
    [[ $status -eq 0 ]] || die "could not install $* with apt-get"
}

need_rust() {
    have cargo || die "no Rust toolchain: install it from https://rustup.rs, then run this again"
    local version
    # In the project's folder rustup answers with the toolchain of rust-toolchain.toml, fetching it if it may.
    version=$(cargo --version) || die "cargo is there but does not run: is the toolchain of rust-toolchain.toml installed?"
    say "found $version"
}

need_cc() {
    local cc=${CC:-cc}
    if ! have "$cc"; then
        can_install || die "no C compiler ($cc): install one (Debian: apt-get install build-essential)"
        apt_install build-essential
    fi
    say "found a C compiler: $("$cc" --version | head -n 1)"
}

# Where scripts/deny installs what it needs, and ci-checks finds it.
tools_dir() { echo "${ODOGRAPH_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/odograph-tools}"; }

# Where cargo puts what it builds, whether CARGO_TARGET_DIR, a configuration file or neither says so.
target_dir() {
    cargo metadata --offline --no-deps --format-version 1 | sed -e 's/.*"target_directory":"//' -e 's/".*//'
}

# ---- looking at ports and URLs --------------------------------------------------------------------------------------

tcp_answers() { # host port
    # shellcheck disable=SC2016 # the inner shell expands them
    timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}

# A broker answers the protocol header with a method frame (type 1); anything else on that port does not.
amqp_answers() { # host port
    # shellcheck disable=SC2016 # the inner shell expands them
    LC_ALL=C timeout 5 bash -c '
        exec 3<>"/dev/tcp/$0/$1" || exit 1
        printf "AMQP\0\0\11\1" >&3
        IFS= read -r -N 1 -u 3 frame && [[ $frame == "$2" ]]' "$1" "$2" $'\x01' 2>/dev/null
}

free_port() { # first port to try
    local port=$1
    while tcp_answers 127.0.0.1 "$port"; do port=$((port + 1)); done
    echo "$port"
}

url_host_port() { # url default-port -> "host port"
    local rest=${1#*://} host port=$2
    rest=${rest%%[/?]*}
    rest=${rest##*@}
    if [[ $rest == \[* ]]; then
        host=${rest%%]*}
        host=${host#[}
        rest=${rest##*]}
        [[ $rest == :* ]] && port=${rest#:}
    else
        host=${rest%%:*}
        [[ $rest == *:* ]] && port=${rest##*:}
    fi
    echo "${host:-127.0.0.1} $port"
}

# A URL as it may be shown: without the password.
url_shown() { sed -E 's#(://[^:/@]*):[^@/]*@#\1:***@#' <<<"$1"; }

# The same server, another database.
url_with_database() { # url database
    local base=${1%%\?*} query=
    [[ $1 == *\?* ]] && query="?${1#*\?}"
    local scheme=${base%%://*} rest=${base#*://}
    echo "$scheme://${rest%%/*}/$2$query"
}

# ---- PostgreSQL -----------------------------------------------------------------------------------------------------

psql_at() { # url, then psql's arguments; never asks for a password, reads no ~/.psqlrc
    local url=$1
    shift
    PGCONNECT_TIMEOUT=5 psql -w -X -q -A -t -v ON_ERROR_STOP=1 -d "$url" "$@"
}

# Leaves the reason in POSTGRES_REFUSAL when the server is of no use to the tests.
postgres_answers() { # url
    POSTGRES_REFUSAL=
    local host port answer
    read -r host port <<<"$(url_host_port "$1" 5432)"
    if ! have psql; then
        if tcp_answers "$host" "$port"; then return 0; fi
        POSTGRES_REFUSAL="nothing listens on $host:$port"
        return 1
    fi
    if ! answer=$(psql_at "$1" -c "select current_setting('server_version_num')::int / 10000,
                                          (select rolsuper from pg_roles where rolname = current_user)" 2>&1); then
        POSTGRES_REFUSAL=${answer//$'\n'/ }
    elif [[ ${answer%%|*} -lt 15 ]]; then
        POSTGRES_REFUSAL="it is PostgreSQL ${answer%%|*}, and 15 is the oldest we support"
    elif [[ ${answer##*|} != t ]]; then
        POSTGRES_REFUSAL="its user is not a superuser, and the tests create databases and roles"
    fi
    [[ -z $POSTGRES_REFUSAL ]]
}

as_postgres() { # PostgreSQL refuses to run as root
    if [[ $EUID -eq 0 ]]; then
        # Its own folder, because the caller's may be closed to that user.
        (cd / && exec runuser -u "$(postgres_user)" -- "$@")
    else
        "$@"
    fi
}

postgres_user() { if id -u postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

find_postgres_bin() {
    local dir
    # Newest first; the folder must hold all three, since Debian puts wrappers for some of them on the path.
    while read -r dir; do
        if [[ -x $dir/initdb && -x $dir/pg_ctl && -x $dir/postgres ]]; then
            POSTGRES_BIN=$dir
            return 0
        fi
    done < <(
        printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/pgsql/bin |
            sort -rV
        have pg_config && pg_config --bindir
        have initdb && dirname "$(command -v initdb)"
    )
    return 1
}

# A throwaway cluster: no durability, no password, loopback only.
start_postgres() {
    services_dir
    local dir=$SERVICES_DIR/postgres port
    port=$(free_port 54321)
    mkdir "$dir"
    if [[ $EUID -eq 0 ]]; then chown "$(postgres_user)" "$dir"; fi
    say "starting a throwaway $("$POSTGRES_BIN/postgres" --version) on port $port"
    as_postgres "$POSTGRES_BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$dir.initdb.log" 2>&1 ||
        { cat "$dir.initdb.log" >&2; die "initdb failed"; }
    POSTGRES_DATA=$dir/data
    # pg_ctl hands this line to a shell, so it has to be one line.
    local options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=300"
    options+=" -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    as_postgres "$POSTGRES_BIN/pg_ctl" -D "$POSTGRES_DATA" -w -t 60 -l "$dir/log" -o "$options" start >/dev/null ||
        { cat "$dir/log" >&2; die "PostgreSQL did not start"; }
    POSTGRES_URL=postgres://postgres@127.0.0.1:$port/postgres
    postgres_answers "$POSTGRES_URL" || die "the PostgreSQL just started is of no use: $POSTGRES_REFUSAL"
}

# Whatever is found first: the server named in the environment, the one on the usual port, one started from binaries on this
# machine, one installed.
find_postgres() {
    local usual=postgres://postgres@127.0.0.1:5432/postgres
    if [[ -n ${ODOGRAPH_TEST_DATABASE_URL:-} ]]; then
        POSTGRES_URL=$ODOGRAPH_TEST_DATABASE_URL
        postgres_answers "$POSTGRES_URL" ||
            die "PostgreSQL at ODOGRAPH_TEST_DATABASE_URL=$(url_shown "$POSTGRES_URL") is of no use: $POSTGRES_REFUSAL"
        say "using PostgreSQL of ODOGRAPH_TEST_DATABASE_URL: $(url_shown "$POSTGRES_URL")"
        return
    fi
    if postgres_answers "$usual"; then
        POSTGRES_URL=$usual
        say "using the running PostgreSQL: $POSTGRES_URL"
        return
    fi
    say "no PostgreSQL to use at $usual: $POSTGRES_REFUSAL"
    if ! find_postgres_bin; then
        can_install || die "no PostgreSQL on this machine and no way to install it (needs apt-get and root);" \
            "set ODOGRAPH_TEST_DATABASE_URL to a superuser's URL of any server from version 15 on"
        apt_install postgresql
        find_postgres_bin || die "the postgresql package is installed, but its binaries are not where they should be"
    fi
    start_postgres
}

# ---- RabbitMQ -------------------------------------------------------------------------------------------------------

find_rabbitmq_bin() {
    local bin
    # Debian's command on the path would switch user and forget our settings; the script behind it does neither.
    for bin in /usr/lib/rabbitmq/bin/rabbitmq-server /usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server \
        /opt/rabbitmq/sbin/rabbitmq-server "$(command -v rabbitmq-server || true)"; do
        if [[ -n $bin && -x $bin ]]; then
            RABBITMQ_BIN=$bin
            return 0
        fi
    done
    return 1
}

# A throwaway node: its own name, cookie, folders and ports, loopback only.
start_rabbitmq() {
    services_dir
    local dir=$SERVICES_DIR/rabbitmq port dist_port tries
    port=$(free_port 56721)
    dist_port=$(free_port 35672)
    mkdir "$dir"
    printf '[].\n' >"$dir/enabled_plugins"
    printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$port" 'log.console = false' 'disk_free_limit.absolute = 64MB' >"$dir/rabbitmq.conf"
    say "starting a throwaway RabbitMQ on port $port"
    env -u RABBITMQ_NODE_PORT HOME="$dir" \
        RABBITMQ_NODENAME="odograph-test-$$@localhost" \
        RABBITMQ_DIST_PORT="$dist_port" \
        RABBITMQ_CONF_ENV_FILE="$dir/no-environment-file" \
        RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$dir/no-advanced.config" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$dir/mnesia" \
        RABBITMQ_LOG_BASE="$dir/log" \
        RABBITMQ_PID_FILE="$dir/pid" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}" \
        "$RABBITMQ_BIN" >"$dir/out" 2>&1 </dev/null &
    RABBITMQ_PID=$!
    for ((tries = 0; tries < 120; tries++)); do
        if amqp_answers 127.0.0.1 "$port"; then
            AMQP_URL=amqp://guest:guest@127.0.0.1:$port/%2f
            return
        fi
        kill -0 "$RABBITMQ_PID" 2>/dev/null || break
        sleep 1
    done
    cat "$dir/out" "$dir"/log/*.log >&2 2>/dev/null || true
    die "RabbitMQ did not start"
}

find_rabbitmq() {
    local usual=amqp://guest:guest@127.0.0.1:5672/%2f host port
    if [[ -n ${ODOGRAPH_TEST_AMQP_URL:-} ]]; then
        AMQP_URL=$ODOGRAPH_TEST_AMQP_URL
        read -r host port <<<"$(url_host_port "$AMQP_URL" 5672)"
        # Under TLS the header would be noise; that something listens must do.
        if [[ $AMQP_URL == amqps://* ]]; then
            tcp_answers "$host" "$port"
        else
            amqp_answers "$host" "$port"
        fi || die "no RabbitMQ answers at ODOGRAPH_TEST_AMQP_URL=$(url_shown "$AMQP_URL")"
        say "using RabbitMQ of ODOGRAPH_TEST_AMQP_URL: $(url_shown "$AMQP_URL")"
        return
    fi
    if amqp_answers 127.0.0.1 5672; then
        AMQP_URL=$usual
        say "using the running RabbitMQ: $(url_shown "$AMQP_URL")"
        return
    fi
    say "no RabbitMQ to use at $(url_shown "$usual")"
    if ! find_rabbitmq_bin; then
        can_install || die "no RabbitMQ on this machine and no way to install it (needs apt-get and root);" \
            "set ODOGRAPH_TEST_AMQP_URL to any broker from version 3.10 on"
        apt_install rabbitmq-server
        find_rabbitmq_bin || die "the rabbitmq-server package is installed, but its binaries are not where they should be"
    fi
    start_rabbitmq
}
