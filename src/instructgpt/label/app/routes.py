"""Every route of the app, with its rule: there is no other way in."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from instructgpt.label.app import labeler, people, research
from instructgpt.label.app.files import static
from instructgpt.label.app.guard import ADMINS, LABELERS, NOBODY, RESEARCHERS, Rule
from instructgpt.label.app.sessions import invitation, login, logout


def home(_: Request) -> Response:
    """To my work."""
    return RedirectResponse("/work", 303)


def healthz(request: Request) -> Response:
    """Whether the app and its store answer."""
    request.app.state.store.accounts.find("")
    return PlainTextResponse("ok\n")


RULES = (
    Rule("GET", "/", home, LABELERS),
    Rule("GET", "/login", login, NOBODY),
    Rule("POST", "/login", login, NOBODY, hashes=True),
    Rule("POST", "/logout", logout, LABELERS),
    Rule("GET", "/invite/{token}", invitation, NOBODY),
    Rule("POST", "/invite/{token}", invitation, NOBODY, hashes=True),
    Rule("GET", "/work", labeler.work, LABELERS),
    Rule("POST", "/work/next", labeler.next_item, LABELERS),
    Rule("GET", "/item/{number:row}", labeler.item, LABELERS, own=True),
    Rule("POST", "/item/{number:row}", labeler.item, LABELERS, own=True),
    Rule("POST", "/item/{number:row}/draft", labeler.save_draft, LABELERS, own=True, quiet=True),
    Rule("POST", "/item/{number:row}/skip", labeler.skip, LABELERS, own=True),
    Rule("POST", "/item/{number:row}/withdraw", labeler.withdraw, LABELERS, own=True),
    Rule("GET", "/history", labeler.history, LABELERS),
    Rule("GET", "/guidelines/{queue:path}/{version:row}", labeler.guidelines, LABELERS),
    Rule("GET", "/guidelines/{queue:path}", labeler.guidelines, LABELERS),
    Rule("GET", "/keys", labeler.keys, LABELERS),
    Rule("POST", "/preferences", labeler.preferences, LABELERS),
    Rule("GET", "/queues", research.queues, RESEARCHERS),
    Rule("POST", "/queues", research.queues, RESEARCHERS, brings_file=True, is_long=True),
    Rule("GET", "/queues/{queue:path}/items/{task:row}", research.task, RESEARCHERS),
    Rule("POST", "/queues/{queue:path}/export", research.export, RESEARCHERS, is_long=True),
    Rule("GET", "/queues/{queue:path}", research.queue, RESEARCHERS),
    Rule("POST", "/queues/{queue:path}", research.queue, RESEARCHERS),
    Rule("GET", "/people", people.people, ADMINS),
    Rule("POST", "/people", people.people, ADMINS),
    Rule("POST", "/people/{name}", people.person, ADMINS),
    Rule("GET", "/audit", people.audit, ADMINS),
    Rule("GET", "/static/{file}", static, NOBODY),
    Rule("GET", "/healthz", healthz, NOBODY),
)
"""What each role may do."""
