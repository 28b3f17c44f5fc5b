"""The 75 published sentences of the paper's French to English evaluation."""

from typing import ClassVar

from instructgpt.evaluation.tasks.instructions import WMT15
from instructgpt.evaluation.tasks.published import PublishedContexts
from instructgpt.evaluation.tasks.wmt15_fr_en import BLEU


class PaperFrEn(PublishedContexts):
    """The published context as it is, behind the instruction of appendix D.2."""

    name = "paper-fr-en"
    title = "French to English, the paper's sentences"
    source = "appendix D.2; the published context"
    opening = WMT15
    files = ("fr_to_en_samples.csv",)
    metrics: ClassVar = (BLEU,)
    max_tokens = 128
    needs = ("sacrebleu",)
