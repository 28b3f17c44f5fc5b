"""OpenVINO GenAI as a side of `rollout.py`: run by the Python of an environment that has it.

    PYTHON benchmarks/engine_openvino.py MODEL DTYPE SLOTS

The lines are those of `engine_vllm.py`. The model is converted once, before the first turn; a turn
begins with compiling what was converted, as new weights would ask for.
"""

import json
import os
import sys
import tempfile

import openvino_genai as genai  # pyright: ignore[reportMissingImports]
from openvino import Tensor  # pyright: ignore[reportMissingImports]
from optimum.exporters.openvino import main_export  # pyright: ignore[reportMissingImports]


def main(model: str, dtype: str, slots: str) -> None:
    """Serve turns."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prompts, lengths = json.loads(sys.stdin.readline())
    folder = tempfile.mkdtemp()
    main_export(model, folder, task="text-generation-with-past", stateful=True, fp16=False)
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = int(slots)
    scheduler.cache_size = 2
    scheduler.dynamic_split_fuse = True
    options = {"INFERENCE_NUM_THREADS": int(os.environ["OMP_NUM_THREADS"])}
    if dtype != "auto":
        precision = {"float32": "f32", "bfloat16": "bf16"}[dtype]
        options |= {"INFERENCE_PRECISION_HINT": precision, "KV_CACHE_PRECISION": precision}
    settings = []
    for length in lengths:
        config = genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = length, True, True
        config.logprobs = 1
        settings.append(config)
    asked = [Tensor([prompt]) for prompt in prompts]
    print("ready", file=lines, flush=True)
    for _ in sys.stdin:
        engine = genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", options)
        answers = engine.generate(asked, settings)
        counts = [len(answer.m_generation_ids[0]) for answer in answers]
        print(json.dumps(counts), file=lines, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
