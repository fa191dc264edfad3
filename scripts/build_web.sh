#!/usr/bin/env bash
# Builds the dashboard's page from web/app into web/dist, which is kept in git and compiled into the program.
# --check: builds elsewhere and compares; exit code 1 if web/dist is not what web/app builds to, 77 without Node.
# usage: scripts/build_web.sh [--check]
set -euo pipefail
cd "$(dirname "$0")/../web/app"
skip() { echo "SKIPPED: $1"; exit 77; }
if [ "${1:-}" = --check ]; then
  command -v node >/dev/null && command -v npm >/dev/null || skip "building the page needs Node and npm"
  # Vite wants Node 20.19 or later.
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    skip "building the page needs Node 20.19 or later, this is $(node --version)"
fi
if ! cmp -s package-lock.json node_modules/.installed-from; then
  npm ci --no-audit --no-fund >&2 || { [ "${1:-}" = --check ] && skip "the packages of web/app cannot be installed"; exit 3; }
  cp package-lock.json node_modules/.installed-from
fi
npx tsc --noEmit
if [ "${1:-}" != --check ]; then
  npx vite build --logLevel warn
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npx vite build --logLevel warn --outDir "$folder" --emptyOutDir
diff -rq "$folder" ../dist || { echo "web/dist is not what web/app builds to: run scripts/build_web.sh" >&2; exit 1; }
weight=$(cat ../dist/* | gzip -9 | wc -c)
echo "web/dist is what web/app builds to; $weight bytes gzipped"
[ "$weight" -lt 250000 ] || { echo "the page is heavier than 250 kB gzipped" >&2; exit 1; }
