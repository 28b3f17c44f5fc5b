"""What handlers read of a request, and the pages that they answer with."""

import json
import re
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from instructgpt.errors import UserError
from instructgpt.label.app.bounds import LONGEST
from instructgpt.label.app.item import digest_of_shown
from instructgpt.label.app.markdown import plain

HERE = Path(__file__).parent
MOST_FIELDS = 500
REMEDIES = {
    404: "There is nothing for you at this address. Check it, or go on from your work.",
    405: "This address does not take that. Go back, and load the page again.",
}
"""What is said where there is nothing, or nothing that takes the request."""
NEW_LINK = (
    "Press Ctrl-C in the terminal and give the same command again: it goes on, and prints a new "
    "link."
)
LOST = (
    "Open the link that stands in the terminal. If it was used, press Ctrl-C there and give the "
    "same command again: it goes on, and prints a new link."
)
"""How somebody comes back who ranks alone, and so has no password."""
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page from a template, which has `person` (None for nobody), `path` and `alone` (whether
    somebody ranks alone) beside its context; all that it shows is escaped.
    """
    known = {"person": getattr(request.state, "person", None), "path": request.url.path}
    known["alone"] = request.app.state.alone is not None
    return HTMLResponse(templates().get_template(template).render(**known, **context), status)


def refusal(request: Request, status: int, sentence: str, **headers: str) -> Response:
    """What is wrong, in a sentence: as JSON for a script, as a page for a person."""
    if wants_json(request):
        return JSONResponse({"error": sentence}, status, headers)
    answer = page(request, "error.html", status, sentence=sentence)
    answer.headers.update(headers)
    return answer


def refused(request: Request, error: HTTPException) -> Response:
    """What a refusal says, with a remedy where it has no words of its own."""
    has_words = error.detail != HTTPStatus(error.status_code).phrase
    sentence = error.detail if has_words else REMEDIES.get(error.status_code, error.detail)
    return refusal(request, error.status_code, sentence, **(error.headers or {}))


def wants_json(request: Request) -> bool:
    """Whether a script asks, not a person's browser."""
    return JSON in request.headers.get("accept", "")


def fields_of(request: Request) -> list[tuple[str, Any]]:
    """The fields of a form, in order; a file is Starlette's `UploadFile`.

    Raises:
        UserError: it is no form, or holds what is no text.
    """
    if (fields := getattr(request.state, "fields", None)) is not None:
        return [(require_text(name), _text_of(value)) for name, value in fields]
    body = request.state.body
    if body and _type_of(request) != FORM:
        raise UserError(f"expected a form: its Content-Type is {FORM}")
    try:
        text = body.decode("ascii")
        fields = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise UserError("the form cannot be read; load the page again") from None
    return [(require_text(name), require_text(value)) for name, value in fields]


def json_of(request: Request) -> Any:
    """The JSON that was sent.

    Raises:
        UserError: it is none, or holds what is no text.
    """
    if _type_of(request) != JSON:
        raise UserError(f"expected JSON: its Content-Type is {JSON}")
    try:
        value = json.loads(request.state.body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UserError("the JSON cannot be read; load the page again") from None
    parts = [value]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            parts += [*part, *part.values()]
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, str):
            require_text(part)
    return value


def before_of(request: Request) -> int | None:
    """Of a list in pages, the row before which this page begins; None for the first page."""
    return row_of(request.query_params.get("before", ""))


def row_of(text: str) -> int | None:
    """The number that a text is, if it is one that a row can have."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def require_text(value: str) -> str:
    """A text that every store can keep.

    Raises:
        UserError: it holds NUL or half a letter.
    """
    if re.search("[\0\ud800-\udfff]", value):
        raise UserError("a text holds a sign that is no letter (NUL, or half of one); leave it out")
    return value


def _text_of(value: Any) -> Any:
    """A field's text, as every store can keep it; a file as it is."""
    return require_text(value) if isinstance(value, str) else value


def _type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _no_number(name: str) -> Any:
    raise ValueError(name)


def _when(at: str) -> str:
    """A time of the store to the minute, as people read it."""
    return at[:16].replace("T", " ")


@cache
def templates() -> Environment:
    """All templates, read now: a server shows its own pages until it stops, even if another version
    of the package is installed meanwhile.
    """
    loader = FileSystemLoader(HERE / "templates")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False)
    made.filters |= {"plain": plain, "when": _when}
    made.globals |= {"longest": LONGEST, "new_link": NEW_LINK}
    made.globals["digest_of_shown"] = digest_of_shown
    for name in made.list_templates():
        made.get_template(name)
    return made
