"""Two tokenizers held against each other on sample texts."""

from transformers import PreTrainedTokenizerBase

TEXTS = (
    "The cat's 3 kittens (all 1,250 g) slept.\n\n  Did they?",
    "Ünïcode: 你好 — naïve ﬁ ½ DON'T\tsay 🙂 user: assistant:",
)


def differing_ids(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> str:
    """How two tokenizers differ in the tokens of sample texts; empty where they do not."""
    for text in TEXTS:
        for add_special in (False, True):
            ids, others = (_ids(t, text, add_special=add_special) for t in (one, other))
            if ids != others:
                return f"{text[:12]!r}… becomes {_start(others)} instead of {_start(ids)}"
    return ""


def differing_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> str:
    """The same, and in the text of tokens, in special tokens and in the chat template."""
    if found := differing_ids(one, other):
        return found
    for text in TEXTS:
        ids = _ids(one, text, add_special=False)
        if one.decode(ids) != other.decode(ids):
            return f"{_start(ids)} becomes {other.decode(ids)[:12]!r}… again"
    for name in ("eos_token_id", "pad_token_id", "bos_token_id", "chat_template"):
        if getattr(one, name) != getattr(other, name):
            return f"its {name} is not the same"
    return ""


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, add_special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=add_special, verbose=False)["input_ids"])


def _start(ids: list[int]) -> str:
    return f"[{', '.join(map(str, ids[:6]))}{', …' if len(ids) > 6 else ''}]"
