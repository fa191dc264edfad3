#!/usr/bin/env bash
# Drives the dashboard in a real browser. usage: run.sh VORTEX SYNTHETIC_RUN SOURCE_DIR; exit code 77: something is missing.
set -euo pipefail
cd "$(dirname "$0")"
skip() { echo "SKIPPED: $1 (scripts/setup.sh installs it)"; exit 77; }
command -v node >/dev/null || skip "node is missing"
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 18')" = true ] || skip "node is older than 18"
[ -x "${VORTEX_CHROMIUM:-/usr/bin/chromium}" ] || skip "chromium is missing"
if [ ! -d node_modules/playwright-core ]; then
  npm ci --no-audit --no-fund >/dev/null 2>&1 || skip "the packages of tests/web/browser cannot be installed"
fi
exec node browser.mjs "$@"
