"""How `--help` is laid out: what a command needs first, then by what a flag decides."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cyclopts import Group
from pydantic.fields import FieldInfo

from instructgpt.run.inputs import MODELS, Reads

NEEDED = Group("Needed", sort_key=1)
READS = Group("What it reads", sort_key=2)
AMOUNT = Group("How long, how much", sort_key=3)
METHOD = Group("How it is done", sort_key=4)
CHECKS = Group("What is measured on the way", sort_key=5)
HARDWARE = Group("Hardware", sort_key=6)
RUN = Group("The run", sort_key=7)

_KEYS = {
    READS: "data_dir tasks names format split use template on_error on_long preset prompt response "
    "tokenizer_data",
    AMOUNT: "epochs max_steps batch_size total_episodes num_ppo_epochs num_mini_batches max_length "
    "response_length pretrain_length ptx_length k k_max samples labelers per_prompt rounds "
    "vocab_size pretrain_fraction ptx_ratio limit shots",
    CHECKS: "eval_data eval_every eval_fraction eval_prompts eval_pretrain_data reward_prompts "
    "eval_split select_by grad_ratio_every audit",
    HARDWARE: "device dtype threads micro_batch_tokens attention rollout_slots shard_size "
    "gather_weights cpu_offload activation_checkpointing",
    RUN: "seed resume save_every save_minutes keep_checkpoints keep_best keep_finished report_to "
    "on_nonfinite print_config dry_run show json",
}
_GROUPS = {key: group for group, keys in _KEYS.items() for key in keys.split()}

TAKEN = {"reward": "MODULE:FUNCTION"}
"""What a flag takes that names neither a model nor a file."""


def group_of(key: str, field: FieldInfo | None = None) -> Group:
    """The part of the help in which a flag stands."""
    if field is not None and field.is_required():
        return NEEDED
    if key in _GROUPS:
        return _GROUPS[key]
    return READS if field is not None and _reads(field) else METHOD


def type_of(key: str, field: FieldInfo) -> str:
    """The name of what a flag takes: `INT`, `MODEL` …"""
    if reads := _reads(field):
        return "MODEL" if reads.kind in MODELS else TAKEN.get(reads.kind, "FILE")
    if key == "out":
        return "FOLDER"
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        return "WORD"
    names: dict[Any, str] = {int: "INT", float: "NUMBER", bool: ""}
    return names.get(kind, "TEXT")


def _reads(field: FieldInfo) -> Reads | None:
    return next((mark for mark in field.metadata if isinstance(mark, Reads)), None)
