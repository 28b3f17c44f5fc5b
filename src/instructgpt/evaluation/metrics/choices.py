"""How sure a model is among choices, and whether a text names the same as another: pure."""

import math
import re
from collections.abc import Sequence


def entropy_bits(logprobs: Sequence[float]) -> float:
    """Entropy in bits of choices whose probabilities are made to sum to one.

    H = −Σ_i P_i log2 P_i,   P_i = p_i / Σ_j p_j,   log p_i being the sum over the tokens of i

    InstructGPT, appendix D.1; 1 bit for two equally likely choices, which is no preference at all.

    >>> entropy_bits([-3.0, -3.0])
    1.0
    >>> round(entropy_bits([math.log(0.03), math.log(0.01)]), 6)  # of 3/4 and 1/4
    0.811278
    """
    highest = max(logprobs)
    weights = [math.exp(logprob - highest) for logprob in logprobs]
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    return math.fsum(-share * math.log2(share) for share in shares if share)


def names_same(text: str, other: str) -> bool:
    """Whether one of two texts has the words of the other in it, without regard to case,
    punctuation and a leading article; a text without words names nothing.

    >>> names_same("The dog, I think.", "the dog"), names_same("dog", "The red dog")
    (True, True)
    >>> names_same("Pete", "Peter"), names_same("", "the dog")
    (False, False)
    """
    one, two = (f" {' '.join(_words(each))} " for each in (text, other))
    return bool(one.strip() and two.strip()) and (one in two or two in one)


def _words(text: str) -> list[str]:
    words = re.findall(r"\w+", text.lower())
    return words[1:] if len(words) > 1 and words[0] in {"the", "a", "an"} else words
