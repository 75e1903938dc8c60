#!/usr/bin/env bash
# Installs what the tests need and is not there yet: tools.sh [packages|python|deny|clients|neighbours]…   (no argument: all)
# Debian packages only when a command is missing; Python packages in .venv; cargo-deny in .cache/tools; the programs of the
# client tests in .cache/clients.
set -euo pipefail
cd "$(dirname "$0")/../.."

CARGO_DENY_VERSION=0.20.2

has_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

has_chromium() { command -v "${KIM_TEST_CHROMIUM:-chromium}" >/dev/null || command -v google-chrome >/dev/null; }

packages() {
    local missing=()
    has_postgresql || missing+=(postgresql)
    command -v psql >/dev/null || missing+=(postgresql-client)
    command -v python3 >/dev/null || missing+=(python3)
    has_venv || missing+=(python3-venv)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v npm >/dev/null || missing+=(npm)
    # A gateway that is connected as an external component.
    command -v biboumi >/dev/null || missing+=(biboumi)
    # The browser tests run in a real one; the fonts are for the pages in Chinese.
    has_chromium || missing+=(chromium fonts-dejavu-core fonts-noto-cjk)
    # For Smack and pushy. On other systems their tests are skipped without them.
    if command -v apt-get >/dev/null; then
        command -v javac >/dev/null || missing+=(default-jdk-headless)
        command -v mvn >/dev/null || missing+=(maven)
    fi
    [ ${#missing[@]} -eq 0 ] && return 0

    if ! command -v apt-get >/dev/null; then
        echo "tools: please install these first: ${missing[*]}" >&2
        return 1
    fi
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    echo "tools: installing ${missing[*]}"
    # Debian's postgresql would start a cluster of its own; the tests use a private one.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        "${as_root[@]}" mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

python() {
    local wanted=(tests/{clients,browser,rest}/requirements.txt) installed=.venv/installed-requirements.txt
    cat "${wanted[@]}" | cmp -s - "$installed" && return 0
    echo "tools: making .venv"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check \
        "${wanted[@]/#/--requirement=}"
    cat "${wanted[@]}" >"$installed"
}

deny() {
    if command -v cargo-deny >/dev/null || [ -x .cache/tools/bin/cargo-deny ]; then return 0; fi
    echo "tools: building cargo-deny $CARGO_DENY_VERSION (once)"
    # It reads a lock file in a second either way: unoptimised, it is built in a third of the time.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 \
        cargo install --quiet --locked --no-default-features --root .cache/tools --target-dir .cache/tools-build \
        "cargo-deny@$CARGO_DENY_VERSION"
    rm -rf .cache/tools-build
}

# made_of NAME FILE…: whether NAME was built from these files as they are now; `built_of` records that.
made_of() { cat "${@:2}" | cmp -s - ".cache/clients/$1.made-of"; }
built_of() { cat "${@:2}" >".cache/clients/$1.made-of"; }

clients() {
    local from=tests/clients to=$PWD/.cache/clients sources
    mkdir -p "$to"
    if command -v javac >/dev/null && command -v mvn >/dev/null; then
        mapfile -t sources < <(find $from/smack -name pom.xml -o -name '*.java' | sort)
        if [ ! -f "$to/smack/smack-client-1.jar" ] || ! made_of smack "${sources[@]}"; then
            echo "tools: building the client on Smack"
            rm -rf "$to/smack"
            mvn --quiet --batch-mode -Dstyle.color=never --file $from/smack/pom.xml package
            built_of smack "${sources[@]}"
        fi
        mapfile -t sources < <(find $from/pushy -name pom.xml -o -name '*.java' | sort)
        if [ ! -f "$to/pushy/apns-mock-1.jar" ] || ! made_of pushy "${sources[@]}"; then
            echo "tools: building the push service on pushy"
            rm -rf "$to/pushy"
            mvn --quiet --batch-mode -Dstyle.color=never --file $from/pushy/pom.xml package
            built_of pushy "${sources[@]}"
        fi
    else
        echo "tools: Smack and Apple's push service are not tested: they need a JDK and Maven"
    fi
    if ! command -v go >/dev/null; then
        echo "tools: go-xmpp is not tested: it needs Go"
    elif ! go_is_new_enough; then
        echo "tools: go-xmpp is not tested: it needs a newer Go"
    else
        sources=($from/go_xmpp/{go.mod,go.sum,main.go})
        if [ ! -x "$to/go-xmpp" ] || ! made_of go-xmpp "${sources[@]}"; then
            echo "tools: building the client on go-xmpp"
            (cd $from/go_xmpp && go build -o "$to/go-xmpp" .)
            built_of go-xmpp "${sources[@]}"
        fi
    fi
    sources=($from/stanza/package{,-lock}.json)
    if [ ! -d $from/stanza/node_modules ] || ! made_of stanza "${sources[@]}"; then
        echo "tools: installing stanza"
        (cd $from/stanza && npm ci --silent)
        built_of stanza "${sources[@]}"
    fi
}

# Prosody, ejabberd and name servers for the federation tests.
neighbours() { tests/support/neighbours.sh system; }

# The version that go.mod names, without downloading another Go.
go_is_new_enough() {
    local wanted
    wanted=$(sed -n 's/^go //p' tests/clients/go_xmpp/go.mod)
    printf '%s\n' "$wanted" "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')" | sort -CV
}

[ $# -gt 0 ] || set -- packages python deny clients neighbours
for part in "$@"; do
    case "$part" in
        packages | python | deny | clients | neighbours) "$part" ;;
        *) echo "tools: unknown part '$part'" >&2; exit 2 ;;
    esac
done
