"""One self-contained HTML page for a run, a pipeline, or several runs side by side."""

from instructgpt.report.page import compare_report, write_report

__all__ = ["compare_report", "write_report"]
