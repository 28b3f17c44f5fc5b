"""The 81 published contexts of the paper's SQuAD 2.0 evaluation."""

from typing import ClassVar

from instructgpt.evaluation.tasks.published import PublishedContexts
from instructgpt.evaluation.tasks.squadv2 import F1_AND_EXACT


class PaperSquadV2(PublishedContexts):
    """Appendix D; the query is the published context as it is."""

    name = "paper-squadv2"
    title = "SQuAD v2, the paper's contexts"
    source = "appendix D; the published context"
    files = ("squadv2_samples.csv",)
    metrics: ClassVar = F1_AND_EXACT

    def cluster(self, context: str) -> str:
        """The paragraph: several contexts ask about one."""
        return context.split("\n\nQ:")[0]
