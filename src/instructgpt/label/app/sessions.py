"""Who somebody is: passwords, invitations, and the cookie of a session."""

from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from instructgpt.label.app.bounds import LONGEST
from instructgpt.label.app.pages import LOST, fields_of, page, refusal, wants_json
from instructgpt.label.app.security import Address, Attempts, limited
from instructgpt.store.accounts import Person

SECONDS = 7 * 24 * 3600
"""How long a session lasts."""
SHORTEST = 12
"""Letters of a password."""
_hasher = PasswordHasher()


def attempts() -> tuple[Attempts, Attempts]:
    """Logins that fail, in a quarter of an hour: 10 of an account, 60 from an address."""
    _nobodys()  # made now, so that the first unknown name takes no longer than a known one
    return Attempts(10, 900.0), Attempts(60, 900.0)


def cookie_name(address: Address) -> str:
    """Of a session. With its prefix browsers take it from this host alone, over TLS alone;
    they do not part cookies by port, so without it the name does.
    """
    return "__Host-session" if address.is_tls else f"session-{urlsplit(address.url).port or 80}"


def person_of(request: Request) -> Person | None:
    """Whose session the cookie is."""
    state = request.app.state
    token = request.cookies.get(cookie_name(state.address))
    session = state.store.accounts.session(token) if token else None
    return session.person if session else None


def log_in(request: Request) -> Response:
    """To the login, and back; the form of an item is kept, to be sent again. Who ranks alone has no
    password, and is told how to come back.
    """
    is_alone = request.app.state.alone is not None
    if wants_json(request):
        sentence = LOST if is_alone else "Your session has ended. Log in again."
        return refusal(request, 401, sentence)
    if request.method == "POST":
        fields = fields_of(request) if hasattr(request.state, "body") else []
        if is_alone:
            kept = {"back": request.url.path, "kept": fields}
            return page(request, "again.html", 401, **kept) if fields else lost(request)
        back = request.url.path if fields else "/work"
        return _login_page(request, status=401, back=back, kept=fields)
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(back, safe='')}", 303)


def lost(request: Request) -> Response:
    """What to do without a session, for who ranks alone."""
    return refusal(request, 401, LOST)


def login(request: Request) -> Response:
    """Log in: a page, or JSON for a script; then on to where one wanted to go."""
    if request.method != "POST":
        return _login_page(request, back=_local(request.query_params.get("next", "")))
    pairs = fields_of(request)
    fields = dict(pairs)
    back = _local(str(fields.get("next", "")))
    name, password = str(fields.get("name", "")), str(fields.get("password", ""))
    kept = [(key[5:], value) for key, value in pairs if key.startswith("kept.")]
    tried, address = request.app.state.attempts, request.client.host if request.client else ""
    if wait := limited(((tried[0], name[: LONGEST.name]), (tried[1], address))):
        sentence = f"Too many attempts. Try again in {wait / 60:.0f} min, or ask an admin."
        if wants_json(request):
            return refusal(request, 429, sentence, **{"Retry-After": f"{wait:.0f}"})
        return _login_page(request, status=429, back=back, kept=kept, error=sentence, name=name)
    if not _fits(request, name, password):
        sentence = "This name and password do not fit."
        if wants_json(request):
            return refusal(request, 403, sentence)
        return _login_page(request, status=403, back=back, kept=kept, error=sentence, name=name)
    tried[0].take_back(name, all=True)
    tried[1].take_back(address)
    if wants_json(request):
        answer: Response = JSONResponse({"next": back or "/work"})
    elif kept and back:
        answer = page(request, "again.html", back=back, kept=kept)
    else:
        answer = RedirectResponse(back or "/work", 303)
    return with_session(request, answer, name)


def logout(request: Request) -> Response:
    """End this session."""
    name = cookie_name(request.app.state.address)
    if token := request.cookies.get(name):
        request.app.state.store.accounts.close_session(token)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(name, secure=request.app.state.address.is_tls, httponly=True)
    return answer


def invitation(request: Request) -> Response:
    """Accept an invitation with a password of one's own."""
    token, accounts = request.path_params["token"], request.app.state.store.accounts
    invited = accounts.invited(token)
    if invited is None:
        raise HTTPException(404, "This invitation was used, or is too old. Ask for another.")
    if request.method != "POST":
        return page(request, "invitation.html", name=invited.name, error="", shortest=SHORTEST)
    fields = dict(fields_of(request))
    password = str(fields.get("password", ""))
    if error := _unfit(password, str(fields.get("again", "")), invited.name):
        shown: dict[str, Any] = {"name": invited.name, "error": error, "shortest": SHORTEST}
        return page(request, "invitation.html", 422, **shown)
    person = accounts.accept(token, _hasher.hash(password))
    return with_session(request, RedirectResponse("/work", 303), person.name)


def _login_page(
    request: Request,
    *,
    status: int = 200,
    back: str = "",
    kept: list[tuple[str, Any]] | None = None,
    error: str = "",
    name: str = "",
) -> Response:
    shown: dict[str, Any] = {"back": back, "kept": kept or [], "error": error, "name": name}
    return page(request, "login.html", status, **shown)


def _unfit(password: str, again: str, name: str) -> str:
    """What is wrong with a new password, if anything is."""
    if not SHORTEST <= len(password) <= LONGEST.password:
        return f"A password has {SHORTEST} letters or more, and {LONGEST.password:,} at most."
    if password != again:
        return "The two passwords differ."
    if password.casefold() == name.casefold() or len(set(password)) < 4:
        return "This password is guessed at once. Choose another."
    return ""


def _fits(request: Request, name: str, password: str) -> bool:
    """Whether it is the password of the account, in the same time whether there is one or not."""
    accounts = request.app.state.store.accounts
    known = len(name) <= LONGEST.name and len(password) <= LONGEST.password
    digest = accounts.password_hash(name) if known else None
    try:
        _hasher.verify(digest or _nobodys(), password if known else "")
    except (VerificationError, InvalidHashError):
        return False
    return digest is not None


@cache
def _nobodys() -> str:
    """A hash that is verified where there is none."""
    return _hasher.hash("nobody's password")


def with_session(request: Request, answer: Response, name: str) -> Response:
    """The same answer, with which somebody is logged in."""
    state = request.app.state
    token = state.store.accounts.open_session(name, SECONDS)
    answer.set_cookie(
        cookie_name(state.address),
        token,
        max_age=SECONDS,
        secure=state.address.is_tls,
        httponly=True,
        samesite="lax",
    )
    return answer


def _local(path: str) -> str:
    """A path of this app; nothing for whatever else a link may name."""
    is_ours = path.startswith("/") and not path.startswith("//") and path.isascii()
    return path if is_ours and path.isprintable() and "\\" not in path else ""
