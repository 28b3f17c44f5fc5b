"""The 75 published sentences of the paper's French to English evaluation."""

from typing import ClassVar

from instructgpt.evaluation.tasks.published import PublishedContexts
from instructgpt.evaluation.tasks.wmt15_fr_en import BLEU


class PaperFrEn(PublishedContexts):
    """Appendix D; the query is the published context as it is."""

    name = "paper-fr-en"
    title = "French to English, the paper's sentences"
    source = "appendix D; the published context"
    files = ("fr_to_en_samples.csv",)
    metrics: ClassVar = (BLEU,)
    max_tokens = 128
    needs = ("sacrebleu",)
