#!/usr/bin/env bash
# What only a GPU can show, on one GPU, in some 20 minutes, without a network: the tests that need one, and speed with random weights
# of two shapes. Adds lines to benchmarks/results/gpu.jsonl, or to OUT. Parts that fail are named at the end.
#
#   benchmarks/gpu.sh                       # all parts
#   benchmarks/gpu.sh tests rollout         # some of them
#   DEVICE=cpu SHAPES=tiny ROUNDS=1 OUT=/tmp/gpu.jsonl benchmarks/gpu.sh   # a try without a GPU
set -uo pipefail
cd "$(dirname "$0")/.."

DEVICE=${DEVICE:-cuda}
SHAPES=${SHAPES:-135m 1b}
ROUNDS=${ROUNDS:-2}
OUT=${OUT:-benchmarks/results/gpu.jsonl}
PYTHON=${PYTHON:-python3}
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"
failed=()

# step NAME COMMAND...: what fails is noted, and the rest goes on.
step() {
  local name=$1 start=$SECONDS
  shift
  echo "== $name" >&2
  "$@" || failed+=("$name")
  echo "== $name: $((SECONDS - start)) s" >&2
}

# program NAME SHAPE FLAGS...: a comparison of benchmarks/README.md in bfloat16.
program() {
  local name=$1 shape=$2
  shift 2
  step "$name $shape $*" "$PYTHON" "benchmarks/$name.py" --shape "$shape" --device "$DEVICE" --dtype bfloat16 \
    --rounds "$ROUNDS" --out "$OUT" "$@"
}

# How much work fills a GPU; the try on a CPU takes little.
if [ "$DEVICE" = cpu ]; then
  prompts=6 slots=3 batch="--batch 4 --max-length 48" episodes=8
else
  prompts=512 slots=256 batch="--batch 64 --max-length 1024 --micro-batch 8" episodes=128
fi

part_tests() {
  INSTRUCTGPT_TEST_GPU=1 step tests "$PYTHON" -m pytest tests/gpu -q -p no:cacheprovider
}

part_ceilings() {
  step ceilings "$PYTHON" benchmarks/ceilings.py --device "$DEVICE" --out "$OUT"
}

part_rollout() {
  local shape
  for shape in $SHAPES; do
    program rollout "$shape" --prompts "$prompts" --slots "$slots" --sides ours steps generate bandwidth
  done
}

part_training() {
  local shape
  for shape in $SHAPES; do
    program sft "$shape" $batch --sides ours trl trl-packed floor
    program reward "$shape" --answers 9 --sides ours once trl floor
  done
}

part_ppo() {
  local shape
  for shape in $SHAPES; do
    program ppo "$shape" --answers fixed --episodes "$episodes" --sides ours floor
    program ppo "$shape" --answers fixed --sides ours trl  # 32 episodes, as on a CPU
  done
}

part_offload() {
  program sft "${SHAPES%% *}" $batch --sides ours offloaded
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(tests ceilings rollout training ppo offload)
for part in "${parts[@]}"; do
  if ! declare -F "part_$part" >/dev/null; then
    echo "benchmarks/gpu.sh: there is no part '$part'; parts are tests, ceilings, rollout, training, ppo, offload" >&2
    exit 2
  fi
done
for part in "${parts[@]}"; do
  "part_$part"
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
