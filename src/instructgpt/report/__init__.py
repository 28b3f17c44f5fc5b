"""One self-contained HTML page for a run, a pipeline, or several runs side by side."""

from instructgpt.report.comparison import compare_report
from instructgpt.report.draw.svg import require_matplotlib
from instructgpt.report.page import write_report, write_tables

__all__ = ["compare_report", "require_matplotlib", "write_report", "write_tables"]
