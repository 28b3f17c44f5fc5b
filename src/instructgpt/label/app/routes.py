"""Every route of the app, with its rule: there is no other way in."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from instructgpt.label.app.files import static
from instructgpt.label.app.guard import LABELERS, NOBODY, Rule
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
    Rule("GET", "/static/{file}", static, NOBODY),
    Rule("GET", "/healthz", healthz, NOBODY),
)
"""What each role may do."""
