#!/usr/bin/env bash
# Installs the servers that the federation tests run beside kIM: neighbours.sh [system|newer]… | check
# Without an argument: system and newer.
#   system   Prosody, ejabberd and name servers, as the system's packages
#   newer    newer Prosody and ejabberd, from Debian's backports, unpacked into .cache/neighbours without installing them
#   check    whether the federation tests can run here; if not, prints why
# What cannot be had is left out: the tests that need it are skipped, and this says so. None of it is started here.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

cache=$PWD/.cache/neighbours
# Where Debian keeps servers; not everybody's PATH has it.
export PATH="$PATH:/usr/sbin:/sbin"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

left_out() { echo "tools: $1 is not tested: $2"; }

# Packages of servers start them when they are installed; here they would only be in somebody's way.
without_starting() {
    local policy=/usr/sbin/policy-rc.d code=0
    if [ -e "$policy" ]; then "$@"; return; fi
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    "$@" || code=$?
    "${as_root[@]}" rm -f "$policy"
    return $code
}

system() {
    local missing=()
    command -v prosody >/dev/null || missing+=(prosody)
    # With it, Prosody asks the name service as DANE wants it.
    compgen -G '/usr/lib/*/lua/*/lunbound.so' >/dev/null || compgen -G '/usr/share/lua/*/lunbound*' >/dev/null ||
        missing+=(lua-unbound)
    compgen -G '/usr/lib/*/ejabberd-*/ebin' >/dev/null || missing+=(ejabberd)
    command -v knotd >/dev/null || missing+=(knot)
    command -v kdig >/dev/null || missing+=(knot-dnsutils)
    command -v unbound >/dev/null || missing+=(unbound)
    command -v ip >/dev/null || missing+=(iproute2)
    [ ${#missing[@]} -eq 0 ] && return 0
    if ! command -v apt-get >/dev/null; then
        left_out federation "it needs ${missing[*]}"
        return 0
    fi
    echo "tools: installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    without_starting "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" || left_out federation "it needs ${missing[*]}"
}

newer() {
    [ -e "$cache/made" ] && return 0
    local what='federation with newer Prosody and ejabberd' codename found
    if ! command -v apt-get >/dev/null || ! grep -qx 'ID=debian' /etc/os-release; then
        left_out "$what" 'only Debian has packages of them'
        return 0
    fi
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    # Where this machine has its packages from is where the backports are too.
    found=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' |
        awk -v codename="$codename" '$2 == codename && $3 == "main" { print $1; exit }')
    if [ -z "$found" ]; then
        left_out "$what" "the sources of $codename were not found"
        return 0
    fi
    rm -rf "$cache"
    mkdir -p "$cache"/apt/{sources,lists/partial,packages/archives/partial}
    local source="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $found"
    printf '%s %s main\n' "$source" "$codename" "$source" "$codename-backports" >"$cache/apt/sources/all.list"
    # A state of apt's own, so that the machine's sources stay as they are.
    local apt=(apt-get -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$cache/apt/sources"
        -o "Dir::State::lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt/packages" -o Debug::NoLocking=1
        -o APT::Sandbox::User=root -qq)
    echo 'tools: unpacking newer Prosody and ejabberd'
    "${apt[@]}" update
    local one package
    for one in prosody ejabberd; do
        rm -f "$cache"/apt/packages/archives/*.deb
        if ! "${apt[@]}" install --download-only -y --no-install-recommends -t "$codename-backports" "$one" >/dev/null ||
            ! compgen -G "$cache/apt/packages/archives/${one}_*.deb" >/dev/null; then
            left_out "federation with a newer $one" "there is none in $codename-backports"
            continue
        fi
        mkdir -p "$cache/$one"
        for package in "$cache"/apt/packages/archives/*.deb; do dpkg -x "$package" "$cache/$one"; done
        chmod -R u+w "$cache/$one"
    done
    rm -rf "$cache/apt"
    touch "$cache/made"
}

check() {
    local program root=()
    for program in knotd keymgr kdig unbound ip; do
        command -v "$program" >/dev/null || { echo "$program is not installed"; return 1; }
    done
    command -v prosody >/dev/null || command -v erl >/dev/null || { echo 'neither Prosody nor ejabberd is installed'; return 1; }
    [ "$(id -u)" -eq 0 ] || root=(--map-root-user)
    unshare "${root[@]}" --net --mount true 2>/dev/null || { echo 'network namespaces are not allowed here'; return 1; }
}

[ $# -gt 0 ] || set -- system newer
for part in "$@"; do
    case "$part" in
        system | newer) "$part" ;;
        check) check; exit ;;
        *) echo "neighbours: unknown part '$part'" >&2; exit 2 ;;
    esac
done
