#!/usr/bin/env bash
# Everything from a fresh clone to a tested package: makes .venv-test, installs, checks, tests.
# Arguments go to pytest: `-m "not slow"` leaves more out; `-m long` are the tests that take minutes and are left out here.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

make_environment .venv-test "[dev]"
export PATH="$PWD/.venv-test/bin:$PATH" HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1

ruff check .
ruff format --check .
lint-imports
said=$(mktemp)
trap 'rm -f "$said"' EXIT
basedpyright --level error &>"$said" & # takes a minute of one core
types=$!
failed=0
python -m pytest -n 2 --dist worksteal -m "not long" "$@" || failed=$?
wait "$types" || failed=$?
cat "$said"
exit "$failed"
