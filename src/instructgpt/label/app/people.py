"""The admins' pages: who may log in, and what was done."""

from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from instructgpt.errors import UserError
from instructgpt.label.app.pages import before_of, fields_of, page
from instructgpt.store.accounts import Accounts, Role

OF_AUDIT = 100
DONE = {
    "role": "The role is changed.",
    "close": "The account is closed, and logged out everywhere. What it labeled stays.",
    "open": "The account is open again.",
    "end": "The account is logged out everywhere.",
}
"""What is said after an action on an account."""


def people(request: Request) -> Response:
    """All accounts; a POST makes one, and shows its invitation."""
    if request.method != "POST":
        return _page(request)
    fields = dict(fields_of(request))
    name = str(fields.get("name", "")).strip()
    role = _role(str(fields.get("role", "")))
    token = _accounts(request).add(name, role, by=request.state.person.name)
    return _page(request, invited=name, token=token)


def person(request: Request) -> Response:
    """Do something with an account: `action` says what."""
    name, accounts, by = _known(request), _accounts(request), request.state.person.name
    fields = dict(fields_of(request))
    action = str(fields.get("action", ""))
    if action == "invite":
        return _page(request, invited=name, token=accounts.invite(name, by=by))
    if action == "role":
        accounts.change(name, by=by, role=_role(str(fields.get("role", ""))))
    elif action in ("close", "open"):
        accounts.change(name, by=by, active=action == "open")
    elif action == "end":
        accounts.end_sessions(name, by=by)
    else:
        raise UserError(f"what is to be done? choose one of: invite, {', '.join(DONE)}")
    return RedirectResponse(f"/people?done={action}&name={quote(name)}", 303)


def audit(request: Request) -> Response:
    """Who did what, latest first."""
    rows = _accounts(request).audit(OF_AUDIT + 1, before_of(request))
    shown = rows[:OF_AUDIT]
    before = shown[-1].number if len(rows) > OF_AUDIT else None
    return page(request, "audit.html", rows=shown, before=before)


def _page(request: Request, invited: str = "", token: str = "") -> Response:
    done, name = DONE.get(request.query_params.get("done", "")), request.query_params.get("name")
    found = _accounts(request).people()
    return page(
        request,
        "people.html",
        people=found,
        roles=[role.value for role in Role],
        invited=invited,
        link=request.app.state.address.invitation(token) if token else "",
        done=f"{name}: {done}" if done and name in {one.name for one in found} else "",
    )


def _known(request: Request) -> str:
    name = request.path_params["name"]
    if _accounts(request).find(name) is None:
        raise HTTPException(404)
    return name


def _role(word: str) -> Role:
    if word not in [role.value for role in Role]:
        raise UserError(f"which role? choose one of: {', '.join(Role)}")
    return Role(word)


def _accounts(request: Request) -> Accounts:
    return request.app.state.store.accounts
