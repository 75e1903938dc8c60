#!/usr/bin/env bash
# Builds the web client into web/dist, unless it is there as the sources want it: web.sh [--needed]
# Without npm, or when the package cannot be fetched, the server does without the client; with --needed that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../../web"

sources=(package.json package-lock.json build.mjs NOTICE.txt)
if [ -f dist/version ] && cat "${sources[@]}" | cmp -s - dist/.made-of; then exit 0; fi

build() { npm ci && npm run build && cat "${sources[@]}" >dist/.made-of; }

if command -v npm >/dev/null && build; then exit 0; fi
echo "web: the web client was not built; the server's pages will do without it" >&2
[ "${1:-}" != --needed ]
