"""The researchers' pages: queues from files and runs, settings, agreement, versions, export."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from instructgpt.data.records import Candidates, Ranking, Rating
from instructgpt.label.app import research
from instructgpt.store import tables
from instructgpt.store.desk import Asked
from tests.label.app.served import Site, candidates

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "html": '<img src=x onerror="alert(1)"><b>bold</b>',
    "link": "[here](javascript:alert(1)) ![x](https://evil.example/x.png) <https://evil.example>",
    "override": "\u202eevil\u202c",
    "controls": "\x1b[2J\x07\x00",
    "line": "y" * 2**20,
    "marks": "e" + "\u0301" * 10_000,
    "quote": "\"'`</textarea></title>{{ 7*7 }}",
}


def jsonl(batch: list[Candidates]) -> str:
    return "".join(one.model_dump_json(exclude_none=True) + "\n" for one in batch)


def make(site: Site, batch: list[Candidates], **fields: str) -> Any:
    """Make a queue on its page."""
    form = {"name": "colors", "overlap": "2", "priority": "0", "ratings": "none"} | fields
    files = {"file": ("candidates.jsonl", jsonl(batch))}
    return site.client("rosa").post("/queues", data=form, files=files)


def rank(site: Site, name: str, ranks: tuple[int, ...], ratings: tuple[Rating, ...] = ()) -> int:
    """Somebody ranks the next answers, given in the queue's order."""
    found = site.store.desk.next(name)
    assert found
    fields = found.candidates.model_dump(exclude_none=True)
    ranking = Ranking.model_validate(fields | {"ranks": ranks, "shown_order": found.shown_order})
    key = f"{name}{ranks}"
    site.store.desk.submit(found.number, key, ranking, ratings, seconds=9, guidelines=None)
    return found.number


def test_a_queue_is_made_of_a_file_and_given_out(site: Site):
    answer = make(
        site, candidates(3), k="3", ratings="likert", priority="7", guidelines="Be *kind*."
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/queues/colors")
    (queue,) = site.store.desk.queues()
    assert (queue.name, queue.overlap, queue.priority, queue.tasks) == ("colors", 2, 7, 3)
    assert (queue.ratings, queue.guidelines) == (Asked.LIKERT, 1)
    item = site.store.desk.next("lena")
    assert [one.text for one in item.candidates.responses] == [f"answer 0 {n}" for n in range(3)]
    assert "<em>kind</em>" in site.client("lena").get("/guidelines/colors").text


def test_a_queue_is_made_of_a_run_on_the_server(site: Site, tmp_path: Path):
    run = tmp_path / "runs" / "tiny" / "02-sample"
    run.mkdir(parents=True)
    (run / "candidates.jsonl").write_text(jsonl(candidates(2)))
    (tmp_path / "candidates.jsonl").write_text(jsonl(candidates(1)))
    client = site.client("rosa")
    assert "<option>tiny/02-sample</option>" in client.get("/queues").text
    form = {"name": "runs", "overlap": "1", "priority": "0", "ratings": "full"}
    assert client.post("/queues", data=form | {"run": "../"}).status_code == 422
    assert client.post("/queues", data=form | {"run": str(tmp_path)}).status_code == 422
    assert client.post("/queues", data=form | {"run": "tiny/02-sample"}).status_code == 303
    assert [queue.tasks for queue in site.store.desk.queues()] == [2]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": ""}, "1 to 100 letters"),
        ({"name": "a/b"}, "no /"),
        ({"overlap": "0"}, "overlap: expected 1 to 1000"),
        ({"overlap": "two"}, "overlap: expected a whole number"),
        ({"ratings": "some"}, "ratings: choose one of full, likert, none"),
        ({"k": "1"}, "give 2 to 26"),
    ],
)
def test_what_is_wrong_with_a_queue_is_said(site: Site, fields: dict[str, str], sentence: str):
    answer = make(site, candidates(1), **fields)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert site.store.desk.queues() == []


@pytest.mark.parametrize(
    ("fields", "count", "sentence"),
    [
        ({"guidelines": "a\0b"}, 2, "NUL"),
        ({}, 27, "there are 27 answers and 26 letters"),
    ],
)
def test_what_no_page_could_show_is_no_queue(
    site: Site, fields: dict[str, str], count: int, sentence: str
):
    answer = make(site, candidates(1, k=count), **fields)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert site.store.desk.queues() == []
    assert make(site, candidates(1, k=27), k="26").status_code == 303


def test_a_form_is_read_before_the_file(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(research, "read_records", None)
    assert make(site, candidates(1), ratings="some").status_code == 422
    assert make(site, candidates(1), k="1").status_code == 422
    assert make(site, candidates(1), guidelines="a" * 100_001).status_code == 422


def test_what_is_wrong_with_a_file_is_said_with_its_line(site: Site):
    client = site.client("rosa")
    form = {"name": "colors", "overlap": "1", "priority": "0", "ratings": "none"}
    lines = jsonl(candidates(1)) + '{"prompt": "no answers"}\n'
    answer = client.post("/queues", data=form, files={"file": ("x.jsonl", lines)})
    assert answer.status_code == 422
    assert "the file that was sent" in answer.text
    assert "2" in answer.text
    assert "/tmp" not in answer.text
    assert "choose a file" in client.post("/queues", data=form).text
    make(site, candidates(1))
    assert "choose another name" in make(site, candidates(1)).text
    assert len(site.store.desk.queues()) == 1


def test_settings_pause_and_guidelines_change_what_labelers_get(site: Site):
    make(site, candidates(2), guidelines="First.")
    client = site.client("rosa")

    def change(**fields: str) -> int:
        return client.post("/queues/colors", data=fields).status_code

    assert change(action="pause") == 303
    assert site.store.desk.next("lena") is None
    assert change(action="go on") == 303
    assert change(action="settings", overlap="3", priority="-2", ratings="full") == 303
    assert change(action="guidelines", guidelines="Second.\r\nLine.") == 303
    assert change(action="guidelines", guidelines="Second.\nLine.") == 303  # is no new version
    item = site.store.desk.next("lena")
    assert (item.ratings, item.guidelines) == (Asked.FULL, 2)
    (queue,) = site.store.desk.queues()
    assert (queue.overlap, queue.priority, queue.paused) == (3, -2, False)
    assert "First." in client.get("/guidelines/colors/1").text
    assert change(action="") == 422
    who = {row.who for row in site.store.accounts.audit() if row.what == "change queue"}
    assert who == {"rosa"}


def test_agreement_is_that_of_those_who_ranked(site: Site):
    make(site, candidates(1, k=3))
    page = site.client("rosa").get
    assert "Agreement is known when" in page("/queues/colors").text
    rank(site, "lena", (1, 2, 3))
    assert "Agreement is known when" in page("/queues/colors").text
    rank(site, "lars", (1, 3, 2))
    # Of three pairs two are in the same order: 2/3; one prompt tells nothing of how prompts differ.
    text = " ".join(page("/queues/colors").text.split())
    assert "66.7 %" in text
    assert "95 % interval 0.0 to 100.0 %, of 3 pairs" in text
    again = site.store.desk.history("lars")[0]
    ranking = again.submission.ranking.model_copy(update={"ranks": (1, 2, 3)})
    site.store.desk.submit(again.number, "edit", ranking, (), seconds=9, guidelines=None)
    assert "100.0 %" in page("/queues/colors").text  # an edit counts, though labels are no more


def test_an_item_has_who_said_what_and_every_version(site: Site):
    make(site, candidates(1, k=3), ratings="likert")
    number = rank(site, "lena", (3, 1, 2))
    client = site.client("lena")
    found = site.store.desk.item(number)
    letter = {place: "ABC"[shown] for shown, place in enumerate(found.shown_order)}
    ranked = " > ".join(letter[place] for place in (2, 1, 0))
    likert = {f"likert.{letter[place]}": str(5 - place) for place in range(3)}
    form = {"key": "again", "order": ranked, "sure": "1", f"note.{letter[2]}": "<b>why</b>"}
    assert client.post(f"/item/{number}", data=form | likert).status_code == 303
    (row,) = site.store.desk.items("colors")
    text = site.client("rosa").get(f"/queues/colors/items/{row.number}").text
    assert "<b>C &gt; B &gt; A</b>" in text  # the last version, in the queue's letters
    assert "<b>B &gt; C &gt; A</b>" in text
    assert text.index("C &gt; B &gt; A") < text.index("B &gt; C &gt; A")
    assert "older version" in text
    assert "&lt;b&gt;why&lt;/b&gt;" in text
    assert "m2" in text  # researchers see whose answer it is
    assert "m2" not in client.get(f"/item/{number}").text
    assert site.client("rosa").get("/queues/other/items/1").status_code == 404


def test_the_answers_of_an_item_that_nobody_has_had_are_shown(site: Site):
    make(site, candidates(1, k=3))
    (row,) = site.store.desk.items("colors")
    text = site.client("rosa").get(f"/queues/colors/items/{row.number}").text
    assert all(f"answer 0 {place}" in text for place in range(3))
    assert "Nobody has had it in hand." in text


def test_what_is_exported_is_a_snapshot(site: Site, tmp_path: Path):
    make(site, candidates(1, k=3))
    rank(site, "lena", (2, 1, 3))
    answer = site.client("rosa").post("/queues/colors/export", data={"name": "first"})
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''first.zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        rows = archive.read("first/rankings.jsonl").decode().splitlines()
        manifest = json.loads(archive.read("first/manifest.json"))
    assert [json.loads(row)["ranks"] for row in rows] == [[2, 1, 3]]
    assert [json.loads(row)["labeler_id"] for row in rows] == ["lena"]
    assert manifest["files"]["rankings.jsonl"]["records"] == 1
    with site.store.database.reading() as connection:
        assert connection.scalars(select(tables.snapshots.c.folder)).all() == ["(downloaded)"]
    make(site, candidates(1, k=3, text="other"), name="My answers: 2nd")
    page = site.client("rosa").get("/queues/My answers: 2nd").text
    (offered,) = re.findall(r'id="snapshot" name="name" maxlength="100" value="([^"]*)"', page)
    assert offered == "My-answers--2nd"
    for name in ("", offered):
        answer = site.client("rosa").post("/queues/My answers: 2nd/export", data={"name": name})
        assert answer.headers["content-disposition"].endswith(f"''{offered}.zip")
    for name in ("../x", ".x", "a b"):
        answer = site.client("rosa").post("/queues/colors/export", data={"name": name})
        assert answer.status_code == 422


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_shown_and_is_no_part_of_any_page(site: Site, kind: str):
    text = HOSTILE[kind]
    batch = candidates(1, k=2, text=text)
    batch[0] = batch[0].model_copy(update={"prompt": f"{text} asks"})
    site.store.desk.make_queue("q", batch, overlap=1, ratings=Asked.LIKERT, guidelines=text, by="a")
    item = site.store.desk.next("lena")
    places = ["/work", f"/item/{item.number}", "/guidelines/q"]
    form = {"likert.A": "4", "likert.B": "4", "order": "a=b", "key": "k", "note.A": text[:9000]}
    lena = site.client("lena")
    if "\0" not in text:
        assert lena.post(f"/item/{item.number}", data=form).status_code == 303
        places += ["/history", f"/item/{item.number}?edit=1"]
    (row,) = site.store.desk.items("q")
    ours = ("/queues", "/queues/q", f"/queues/q/items/{row.number}", "/audit")
    ada = site.client("ada")
    for page in [lena.get(place).text for place in places] + [
        ada.get(place).text for place in ours
    ]:
        assert "This did not work" not in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert 'javascript:alert(1)"' not in page
        assert 'evil.example"' not in page
        assert "{{ 7*7 }}" in page or "49" not in page or kind != "quote"
        assert page.count("</textarea>") == page.count("<textarea")
        assert page.count("</title>") == 1
        # A field to edit what was written holds it as it is: it is a box of its own.
        around = re.sub("<textarea.*?</textarea>", "", page, flags=re.DOTALL)
        for sign in "\u202e\x1b\x07\0":
            assert sign not in around, (kind, sign)
        assert "\u0301" * 9 not in around
