"""The pages of whoever labels: an item, my work, my history, guidelines, keys."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from instructgpt.errors import UserError
from instructgpt.label.app.bounds import LONGEST
from instructgpt.label.app.item import REASONS, places_of
from instructgpt.label.app.markdown import as_markdown
from instructgpt.label.app.pages import (
    before_of,
    fields_of,
    json_of,
    page,
    row_of,
    wants_json,
)
from instructgpt.label.app.view import Row, View, is_editable, submitted
from instructgpt.label.app.work import (
    Draft,
    Missing,
    against,
    missing,
    read_draft,
    read_form,
    records_of,
)
from instructgpt.store.desk import Desk, Held, Item, Taken

LONGEST_KEY, LATEST_REVISION, OF_HISTORY = 64, 2**31 - 1, 50


def item(request: Request) -> Response:
    """An item: to work on, to edit (`?edit=1`), or as it was submitted; a POST submits it."""
    found = _item(request)
    if request.method == "POST":
        return _submit(request, found)
    edits = "edit" in request.query_params and is_editable(found.submission)
    if found.state == "open" or (found.state == "done" and edits):
        return _work_page(request, found)
    if found.state == "skipped":
        return RedirectResponse("/work", 303)
    return page(
        request,
        "done.html",
        item=found,
        view=View(found, _submitted(found), "", None),
        versions=_desk(request).versions(found.number),
        editable=is_editable(found.submission),
    )


def save_draft(request: Request) -> Response:
    """Keep a draft: JSON `{"revision": 3, "draft": {…}}` in; `revision` and `draft` as the store
    has them, and whether they are these (`saved`), out.
    """
    found = _item(request)
    given = json_of(request)
    revision = given.get("revision") if isinstance(given, dict) else None
    if type(revision) is not int or not 0 < revision <= LATEST_REVISION:
        raise UserError("revision: expected a whole number, 1 or more")
    draft = read_draft(given.get("draft"), _count(found)).as_json()
    kept = _desk(request).save(found.number, draft, revision)
    saved = kept == (revision, draft)
    return JSONResponse({"revision": kept.revision, "saved": saved, "draft": kept.draft})


def skip(request: Request) -> Response:
    """Give an item back, with a reason, and go on with the next."""
    found, fields = _item(request), dict(fields_of(request))
    reason, note = str(fields.get("reason", "")), str(fields.get("note", ""))
    if reason not in REASONS:
        raise UserError(f"why is it skipped? choose one of: {', '.join(REASONS)}")
    if fields.get("hide_sensitive"):
        request.app.state.store.accounts.prefer(request.state.person.name, hide_sensitive=True)
    if found.state == "open":  # a second click is no second skip
        _desk(request).skip(found.number, reason, note[: LONGEST.skip])
    return _go_on(request, str(fields.get("queue", "")))


def withdraw(request: Request) -> Response:
    """Take the last submission of an item back; it is open again."""
    found = _item(request)
    if found.state == "done":
        _desk(request).withdraw(found.number, by=request.state.person.name)
    return _go(request, f"/item/{found.number}")


def work(request: Request) -> Response:
    """My work: the queues, what I did last, and my time."""
    desk, name = _desk(request), request.state.person.name
    return page(
        request,
        "work.html",
        queues=desk.queues(),
        days=desk.time(name),
        last=[Row(one) for one in desk.history(name, limit=5)],
        today=datetime.now(UTC).date().isoformat(),
        nothing="nothing" in request.query_params,
        before=undoable(request),
    )


def next_item(request: Request) -> Response:
    """Take the next item in hand, of one queue or of any."""
    queue = str(dict(fields_of(request)).get("queue", "")) or None
    found = _desk(request).take(request.state.person.name, queue)
    return _go(request, _address(found, queue) if found else "/work?nothing=1")


def history(request: Request) -> Response:
    """What I submitted and skipped, latest first."""
    limit = OF_HISTORY + 1
    items = _desk(request).history(
        request.state.person.name, limit=limit, before=before_of(request)
    )
    shown = items[:OF_HISTORY]
    return page(
        request,
        "history.html",
        rows=[Row(one) for one in shown],
        before=shown[-1].number if len(items) == limit else None,
    )


def guidelines(request: Request) -> Response:
    """A queue's guidelines, the latest or those of a version."""
    queue, version = request.path_params["queue"], request.path_params.get("version")
    latest = _desk(request).guidelines(queue)
    found = _desk(request).guidelines(queue, version) if version is not None else latest
    if not latest or not found:
        raise HTTPException(404)
    context = {"queue": queue, "version": found[0], "latest": latest[0]}
    return page(request, "guidelines.html", text=as_markdown(found[1]), **context)


def keys(request: Request) -> Response:
    """All keys, and the preferences."""
    return page(request, "keys.html", saved="saved" in request.query_params)


def preferences(request: Request) -> Response:
    """Change my preferences: what is not in the form is switched off."""
    fields = dict(fields_of(request))
    request.app.state.store.accounts.prefer(
        request.state.person.name,
        single_keys=bool(fields.get("single_keys")),
        hide_sensitive=bool(fields.get("hide_sensitive")),
    )
    return RedirectResponse("/keys?saved=1", 303)


def _desk(request: Request) -> Desk:
    return request.app.state.store.desk


def _item(request: Request) -> Any:
    """The item of the path, which the guard has read: it is the person's own. A page has an `Item`,
    a change a `Held`.
    """
    return request.state.item


def _submitted(found: Held) -> Draft:
    assert found.submission
    return submitted(found, found.submission)


def _count(found: Held) -> int:
    return len(places_of(found.candidates, found.shown_order))


def _guidelines(request: Request, found: Item) -> Markup | None:
    text = _desk(request).guidelines(found.queue, found.guidelines)
    return as_markdown(text[1]) if text and text[1].strip() else None


def _work_page(
    request: Request,
    item: Held,
    draft: Draft | None = None,
    problems: Sequence[Missing] = (),
    warning: str = "",
    key: str = "",
) -> Response:
    found = item if isinstance(item, Item) else _desk(request).item(item.number)
    if found is None:
        raise HTTPException(404)
    if draft is None and found.draft:
        draft = read_draft(found.draft, _count(found))
    elif draft is None:
        draft = _submitted(found) if found.submission else Draft()  # or it was taken back
    begun = found.state == "done" or found.draft is not None or request.method == "POST"
    view = View(
        found,
        draft,
        key or secrets.token_urlsafe(12),
        _guidelines(request, found),
        covered=found.sensitive and not begun and "shown" not in request.query_params,
    )
    return page(
        request,
        "item.html",
        status=422 if problems or warning else 200,
        item=found,
        view=view,
        problems=problems,
        warning=warning,
        before=undoable(request),
        queue=request.query_params.get("queue", ""),
    )


def undoable(request: Request) -> Row | None:
    """What was submitted before this page (`?after=3`), while it can be taken back."""
    after = row_of(request.query_params.get("after", ""))
    found = _desk(request).item(after) if after is not None else None
    row = Row(found) if found and found.labeler == request.state.person.name else None
    return row if row and row.editable else None


def _submit(request: Request, found: Held) -> Response:
    if found.state == "skipped":
        raise UserError("this item was skipped, and others have it; go on with the next")
    fields = list(fields_of(request))
    given = dict(fields)
    key = str(given.get("key", ""))
    if not 0 < len(key) <= LONGEST_KEY:
        raise UserError("the form has no submission key; load the page again")
    count, asked = _count(found), found.ratings
    draft = read_form(fields, count)
    if problems := missing(draft, count, asked):
        if wants_json(request):
            return JSONResponse({"problems": [each._asdict() for each in problems]}, 422)
        return _work_page(request, found, draft, problems, key=key)
    if not given.get("sure") and (warning := against(draft, count, asked)):
        if wants_json(request):
            return JSONResponse({"warning": warning}, 409)
        return _work_page(request, found, draft, warning=warning, key=key)
    ranking, ratings = records_of(
        draft,
        found.candidates,
        found.shown_order,
        labeler=request.state.person.name,
        asked=asked,
    )
    read = row_of(str(given.get("guidelines", "")))  # the version that stood on the page
    made = _desk(request).submit(
        found.number,
        key,
        ranking,
        ratings,
        seconds=draft.seconds,
        guidelines=read if read and read <= (found.guidelines or 0) else found.guidelines,
    )
    if _said(made.ranking, made.ratings) != _said(ranking, ratings):
        raise UserError(
            "this page was submitted already, and said something else then; edit it in My history"
        )
    if found.state == "done":
        return _go(request, "/history")
    return _go_on(request, str(given.get("queue", "")), found.number)


def _said(ranking: Any, ratings: Sequence[Any]) -> Any:
    """What of a submission is its labeler's words."""
    rated = [each.model_dump(exclude_none=True) for each in ratings]
    return ranking.ranks, sorted(repr(sorted(one.items())) for one in rated)


def _go_on(request: Request, queue: str, after: int | None = None) -> Response:
    """To the next item, of the queue that was chosen if it has any, or to my work."""
    desk, name = _desk(request), request.state.person.name
    found = (desk.take(name, queue) if queue else None) or desk.take(name)
    if found:
        return _go(request, _address(found, queue, after))
    return _go(request, "/work?nothing=1" if after is None else f"/work?after={after}")


def _address(found: Taken, queue: str | None, after: int | None = None) -> str:
    """Of an item's page, which knows the chosen queue and what was submitted before it."""
    chosen = {"queue": queue} if queue == found.queue else {}
    more = urlencode({**chosen, **({} if after is None else {"after": after})})
    return f"/item/{found.number}" + (f"?{more}" if more else "")


def _go(request: Request, url: str) -> Response:
    return JSONResponse({"next": url}) if wants_json(request) else RedirectResponse(url, 303)
