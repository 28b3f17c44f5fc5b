"""Which language a prompt is in, by py3langid, and `unknown` where that is not sure (table A.4)."""

import re
from typing import NamedTuple

from instructgpt.errors import UserError

UNKNOWN = "unknown"
VERSION = "py3langid-1"
"""Changes when the same text may get another language; results are kept under it."""
THRESHOLD = 0.25
"""The least score of a language: docs/pii.md#languages has the measurement it follows from."""
READ = 400
"""Characters of a text that are looked at; more change nothing but the time."""
BLANKS = re.compile(r"\s+")
NO_CONTENT = "zxx"
"""The identifier's name for what is in no language."""


class Language(NamedTuple):
    """A language's ISO 639 code, or `unknown`; the score (0-1) is the identifier's either way."""

    code: str
    score: float


class Identifier:
    """Tells languages; opening its model takes about a second.

    Raises:
        UserError: py3langid is not installed.
    """

    version = VERSION

    def __init__(self, threshold: float = THRESHOLD) -> None:
        try:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier
        except ImportError:
            raise UserError(
                "telling languages needs py3langid, which is missing; run "
                "python -m pip install 'instructgpt[intake]'"
            ) from None
        self.threshold = threshold
        # An identifier of our own: the module's shared one could be set otherwise by anybody.
        self.identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        # What it computes with anyway, made once and not for every text.
        self.identifier.nb_ptc = self.identifier.nb_ptc.astype("float32")

    def language(self, text: str) -> Language:
        """The language of a text, as a property of its first 400 characters."""
        read = BLANKS.sub(" ", text[:READ]).strip()
        if not any(map(str.isalpha, read)):
            return Language(UNKNOWN, 0.0)
        code, score = self.identifier.classify(read)
        is_known = score >= self.threshold and code != NO_CONTENT
        return Language(code if is_known else UNKNOWN, round(score, 4))
