#!/usr/bin/env bash
# Everything from a fresh clone to a report: makes .venv, installs, runs the whole loop on a real language model.
# Arguments go to the command: `bash scripts/quickstart.sh --tiny`, `bash scripts/quickstart.sh --rounds 2`.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

make_environment .venv "[report]"
.venv/bin/instructgpt quickstart "$@"
