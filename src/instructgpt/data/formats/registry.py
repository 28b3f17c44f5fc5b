"""All formats that are read, the more telling first."""

from instructgpt.data.formats.alpaca import FORMAT as ALPACA
from instructgpt.data.formats.argilla import FORMAT as ARGILLA
from instructgpt.data.formats.dolly import FORMAT as DOLLY
from instructgpt.data.formats.format import Format
from instructgpt.data.formats.helpsteer import FORMAT as HELPSTEER
from instructgpt.data.formats.hh import FORMAT as HH
from instructgpt.data.formats.label_studio import FORMAT as LABEL_STUDIO
from instructgpt.data.formats.lima import FORMAT as LIMA
from instructgpt.data.formats.native import NATIVE, TRL
from instructgpt.data.formats.oasst import FORMAT as OASST
from instructgpt.data.formats.openai import FORMAT as OPENAI
from instructgpt.data.formats.pairs import PAIRS
from instructgpt.data.formats.qa_feedback import FORMAT as QA_FEEDBACK
from instructgpt.data.formats.ranked import RANKED
from instructgpt.data.formats.self_instruct import FORMAT as SELF_INSTRUCT
from instructgpt.data.formats.sharegpt import FORMAT as SHAREGPT
from instructgpt.data.formats.shp import FORMAT as SHP
from instructgpt.data.formats.summarize import FORMAT as SUMMARIZE
from instructgpt.data.formats.ultrafeedback import FORMAT as ULTRAFEEDBACK
from instructgpt.data.formats.waiting import WAITING
from instructgpt.data.formats.webgpt import FORMAT as WEBGPT
from instructgpt.data.formats.written import WRITTEN

_ALL: tuple[Format, ...] = (
    NATIVE,
    TRL,
    HH,
    OASST,
    ALPACA,
    DOLLY,
    SELF_INSTRUCT,
    LIMA,
    SHAREGPT,
    OPENAI,
    SHP,
    ULTRAFEEDBACK,
    WEBGPT,
    SUMMARIZE,
    HELPSTEER,
    ARGILLA,
    LABEL_STUDIO,
    QA_FEEDBACK,
    PAIRS,
    RANKED,
    WRITTEN,
    WAITING,
)

FORMATS: dict[str, Format] = {one.name: one for one in _ALL}
"""By name. A new format is a file in this folder and a line here."""
