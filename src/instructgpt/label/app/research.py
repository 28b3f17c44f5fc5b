"""The researchers' pages: queues, how far they are, and what was said."""

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from instructgpt.data.formats import read_records
from instructgpt.data.records import Candidates
from instructgpt.errors import UserError
from instructgpt.evaluation.stats import Interval
from instructgpt.label.app.bounds import LONGEST
from instructgpt.label.app.item import cards_of, places_of, turns_of
from instructgpt.label.app.pages import fields_of, page
from instructgpt.label.app.view import beginning
from instructgpt.label.app.work import draft_of
from instructgpt.label.rankings import agreement_of
from instructgpt.store.desk import Asked, Desk, Queue

OF_ITEMS, MOST_LABELS = 50, 1_000
FEWEST, MOST = 2, 26
"""Answers that are ranked at a time: the most there are letters for."""
CANDIDATES = "candidates.jsonl"
CHUNK = 2**16


def queues(request: Request) -> Response:
    """All queues; a POST makes one."""
    if request.method == "POST":
        name = _make(request, dict(fields_of(request)))
        return RedirectResponse(f"/queues/{quote(name)}", 303)
    return page(
        request,
        "queues.html",
        queues=_desk(request).queues(),
        asked=[each.value for each in Asked],
        runs=_runs(request),
    )


def queue(request: Request) -> Response:
    """A queue: its settings, progress, agreement and items; a POST changes it."""
    found = _known(request)
    if request.method == "POST":
        _change(request, found, dict(fields_of(request)))
        return RedirectResponse(f"/queues/{quote(found.name)}?done=1", 303)
    text = request.query_params.get("from", "")
    offset = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    items = _desk(request).items(found.name, offset, OF_ITEMS + 1)
    guidelines = _desk(request).guidelines(found.name)
    return page(
        request,
        "queue.html",
        queue=found,
        asked=[each.value for each in Asked],
        guidelines=guidelines[1] if guidelines else "",
        snapshot=_snapshot_name(found.name),
        agreement=_agreement(request, found),
        items=items[:OF_ITEMS],
        after=offset + OF_ITEMS if len(items) > OF_ITEMS else None,
        before=max(0, offset - OF_ITEMS) if offset else None,
        beginning=beginning,
        done="done" in request.query_params,
    )


def task(request: Request) -> Response:
    """A prompt of a queue, its answers, and every version of what labelers said of it."""
    queue, found = _known(request), _desk(request).task(request.path_params["task"])
    if found is None or found[0].queue != queue.name:
        raise HTTPException(404)
    row, candidates, items = found
    responses, order = candidates.responses, range(len(candidates.responses))
    cards = cards_of(candidates, order)
    return page(
        request,
        "task.html",
        task=row,
        queue=queue,
        turns=turns_of(row.prompt),
        cards=cards,
        models={
            card.letter: ", ".join(responses[place].model or "" for place in card.places)
            for card in cards
        },
        seen=[
            (
                item,
                [
                    (version, draft_of(version.ranking, version.ratings, order, version.seconds))
                    for version in _desk(request).versions(item.number)
                ],
            )
            for item in items
        ],
    )


def export(request: Request) -> Response:
    """A snapshot of the store as a .zip, for whoever trains elsewhere."""
    found = _known(request)
    name = str(dict(fields_of(request)).get("name", "")).strip() or _snapshot_name(found.name)
    if name != _snapshot_name(name):
        raise UserError("a snapshot's name has letters, digits, - . and _ ; choose another")
    kept = tempfile.TemporaryFile()  # noqa: SIM115 (closed when it is sent)
    with tempfile.TemporaryDirectory() as folder:
        request.app.state.store.snapshot(name, Path(folder) / name, noted="(downloaded)")
        with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((Path(folder) / name).iterdir()):
                archive.write(path, f"{name}/{path.name}")
    kept.seek(0)
    said = f"attachment; filename*=UTF-8''{quote(name)}.zip"
    return StreamingResponse(
        _chunks(kept), media_type="application/zip", headers={"Content-Disposition": said}
    )


def _snapshot_name(text: str) -> str:
    """A text as the name of a folder on any machine."""
    name = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in text)
    return name.lstrip(".") or "-"


def _chunks(file: Any) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _make(request: Request, fields: dict[str, Any]) -> str:
    """Make the queue that a form describes; its name."""
    name = str(fields.get("name", "")).strip()
    is_shown = name.isprintable() and "/" not in name and not name.startswith(".")
    if not (0 < len(name) <= LONGEST.name and is_shown):
        raise UserError(
            f"a queue's name has 1 to {LONGEST.name} letters that are shown, and no /; choose one"
        )
    if _desk(request).queue(name):
        raise UserError(f"there is a queue {name}; choose another name")
    overlap = _whole(fields, "overlap", 1, MOST_LABELS)
    priority = _whole(fields, "priority", -MOST_LABELS, MOST_LABELS)
    ratings, guidelines, most = _asked(fields), _guidelines(fields), _most(fields)
    batch = [_cut(one, most) for one in _candidates(request, fields)]
    _desk(request).make_queue(
        name,
        batch,
        overlap=overlap,
        ratings=ratings,
        priority=priority,
        guidelines=guidelines,
        by=request.state.person.name,
    )
    return name


def _change(request: Request, found: Queue, fields: dict[str, Any]) -> None:
    """Do to a queue what one of the forms of its page says."""
    action, by, desk = str(fields.get("action", "")), request.state.person.name, _desk(request)
    if action == "settings":
        desk.change_queue(
            found.name,
            by=by,
            overlap=_whole(fields, "overlap", 1, MOST_LABELS),
            priority=_whole(fields, "priority", -MOST_LABELS, MOST_LABELS),
            ratings=_asked(fields),
        )
    elif action in ("pause", "go on"):
        desk.change_queue(found.name, by=by, paused=action == "pause")
    elif action == "guidelines":
        desk.change_queue(found.name, by=by, guidelines=_guidelines(fields))
    else:
        raise UserError("what is to be done? choose one of: settings, pause, go on, guidelines")


def _candidates(request: Request, fields: dict[str, Any]) -> Sequence[Candidates]:
    """The answers of an uploaded file, or of a run of the server's."""
    upload, run = fields.get("file"), str(fields.get("run", ""))
    if isinstance(upload, UploadFile) and upload.size:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload.jsonl"
            with path.open("wb") as file:
                while chunk := upload.file.read(CHUNK):
                    file.write(chunk)
            try:
                return read_records(path, Candidates).records
            except UserError as error:
                raise UserError(str(error).replace(str(path), "the file that was sent")) from None
    if run not in _runs(request):
        raise UserError("choose a file of answers, or a run of `sample`")
    return read_records(request.app.state.runs / run / CANDIDATES, Candidates).records


def _runs(request: Request) -> list[str]:
    """The folders with answers in the folder of runs, up to three deep: those of `sample`, and
    those of pipelines and their rounds.
    """
    runs: Path = request.app.state.runs
    found = [path for depth in ("*", "*/*", "*/*/*") for path in runs.glob(f"{depth}/{CANDIDATES}")]
    return sorted(str(path.parent.relative_to(runs)) for path in found if path.is_file())


def _most(fields: dict[str, Any]) -> int | None:
    """How many answers of each prompt are ranked; None for all."""
    k = str(fields.get("k", "")).strip()
    if not k:
        return None
    if not (k.isascii() and k.isdigit() and FEWEST <= int(k[:9]) <= MOST):
        raise UserError(f"how many answers of each prompt? give {FEWEST} to {MOST}, or nothing")
    return int(k)


def _cut(candidates: Candidates, most: int | None) -> Candidates:
    """The first answers of a prompt, for each of which there is a letter."""
    cut = candidates.model_copy(update={"responses": candidates.responses[:most]})
    places_of(cut, range(len(cut.responses)))
    return cut


def _whole(fields: dict[str, Any], key: str, least: int, most: int) -> int:
    text = str(fields.get(key, "")).strip()
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 9):
        raise UserError(f"{key}: expected a whole number")
    if not least <= int(text) <= most:
        raise UserError(f"{key}: expected {least} to {most}")
    return int(text)


def _asked(fields: dict[str, Any]) -> Asked:
    word = str(fields.get("ratings", ""))
    if word not in [each.value for each in Asked]:
        raise UserError(f"ratings: choose one of {', '.join(Asked)}")
    return Asked(word)


def _guidelines(fields: dict[str, Any]) -> str:
    text = str(fields.get("guidelines", "")).replace("\r\n", "\n").strip()
    if len(text) > LONGEST.guidelines:
        raise UserError(f"guidelines have {LONGEST.guidelines:,} letters at most; shorten them")
    return text


def _agreement(request: Request, found: Queue) -> Interval | None:
    """How well those who labeled agree; reckoned again when they have said more, or something else
    (10,000 rankings take a second).
    """
    known: dict[str, tuple[Any, Interval | None]] = request.app.state.agreement
    said = (found.labels, _desk(request).latest(found.name))
    if found.name not in known or known[found.name][0] != said:
        rankings = [ranking for _, ranking in request.app.state.store.rankings(found.name)]
        known[found.name] = (said, agreement_of(rankings) if rankings else None)
    return known[found.name][1]


def _known(request: Request) -> Queue:
    """The queue of the path."""
    name = request.path_params["queue"]
    if (found := _desk(request).queue(name)) is None:
        raise HTTPException(404)
    return found


def _desk(request: Request) -> Desk:
    return request.app.state.store.desk
