"""The 81 published contexts of the paper's SQuAD 2.0 evaluation."""

from typing import ClassVar

from instructgpt.evaluation.tasks.instructions import SQUADV2
from instructgpt.evaluation.tasks.published import PublishedContexts
from instructgpt.evaluation.tasks.squadv2 import F1_AND_EXACT


class PaperSquadV2(PublishedContexts):
    """The published context as it is, behind the instruction of appendix D.2."""

    name = "paper-squadv2"
    title = "SQuAD v2, the paper's contexts"
    source = "appendix D.2; the published context"
    opening = SQUADV2
    files = ("squadv2_samples.csv",)
    metrics: ClassVar = F1_AND_EXACT

    def cluster(self, context: str) -> str:
        """The paragraph: several contexts ask about one."""
        return context.split("\n\nQ:")[0]
