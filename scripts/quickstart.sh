#!/usr/bin/env bash
# Everything from a fresh clone to a report: makes .venv, installs, runs the tiny pipeline.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh

make_environment .venv "[report]"
.venv/bin/instructgpt pipeline --preset tiny --out "${1:-runs/tiny}"
