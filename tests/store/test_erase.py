"""Erasing: nothing that a person wrote is left, in no table and in no byte of the files."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select, text

from instructgpt.cli import main
from instructgpt.data.reading import load_records
from instructgpt.data.records import Demonstration, Prompt, Ranking, Rating
from instructgpt.errors import UserError
from instructgpt.store import Store, tables
from instructgpt.store.records import add_labels
from tests.files import sentence
from tests.store.filled import MARK, answers, decide, fill, prompts

TEXTS = [t for t in tables.metadata.sorted_tables if any(c.info for c in t.c)]


def tables_with(store: Store, mark: str) -> set[str]:
    """The tables in which any column of any row has a text."""
    with store.database.reading() as connection:
        return {
            table.name
            for table in tables.metadata.sorted_tables
            for row in connection.execute(select(table))
            if mark in str(tuple(row))
        }


def files_with(store: Store, mark: str) -> list[str]:
    """The files of a database in which the bytes of a text stand; for PostgreSQL its tables', once
    all is written out of its memory.
    """
    if store.database.is_sqlite:
        path = Path(store.database.path)
        files = [*path.parent.glob(f"{path.name}*")]
    else:
        with store.database.alone() as connection:
            connection.exec_driver_sql("CHECKPOINT")
            top = connection.scalar(text("SHOW data_directory"))
            number = connection.scalar(
                text("SELECT oid FROM pg_database WHERE datname = current_database()")
            )
        files = [path for path in Path(top, "base", str(number)).iterdir() if path.is_file()]
    assert files
    return [path.name for path in files if mark.encode() in path.read_bytes()]


@pytest.fixture
def filled(url) -> Store:
    """A store in which facts may be erased, with many rows of others around those of one."""
    store = Store.open(url)
    store.add([Prompt(prompt=f"before {n} " * 30, user_id=f"u{n}") for n in range(200)])
    fill(store)
    store.add([Prompt(prompt=f"after {n} " * 30, user_id=f"v{n}") for n in range(200)])
    yield store
    store.close()


def test_nothing_of_a_persons_texts_is_left_in_tables_or_bytes(filled):
    assert tables_with(filled, MARK) == {table.name for table in TEXTS}  # each has it
    assert files_with(filled, MARK)
    emptied, stale = filled.erase("ann")
    assert emptied == {
        "prompts": 2,
        "annotations": 1,
        "findings": 1,
        "decisions": 2,
        "candidates": 1,
        "completions": 2,
        "rankings": 2,
        "demonstrations": 1,
        "ratings": 1,
        "drafts": 2,
        "skips": 1,
    }
    assert stale == []
    assert tables_with(filled, MARK) == set()
    assert files_with(filled, MARK) == []
    with filled.database.reading() as connection:
        own = connection.execute(select(tables.prompts).where(tables.prompts.c.user_id == "ann"))
        for row in own.all():
            assert (row.id[0], row.at[-1], row.erased[-1], row.prompt) == ("a", "Z", "Z", None)
        bobs = select(tables.prompts.c.prompt).where(tables.prompts.c.user_id == "bob")
        assert connection.scalar(bobs) == "Bob's own."
        audit = select(tables.audit.c.detail).where(tables.audit.c.what == "erase")
        assert connection.scalar(audit)["user"] == "ann"
    assert [ranking.prompt_id for _, ranking in filled.rankings("answers")] == ["b1"]
    assert filled.erase("ann") == ({}, [])


def labeled(store: Store) -> None:
    """What Lea wrote, and Max beside her: demonstrations, notes, a draft, a skip, a prompt."""
    mine = Prompt(id="l1", prompt=f"A prompt: {MARK}.", labeler_id="lea", source="labeler")
    bobs = prompts()[2]
    store.add([mine, bobs])
    decide(store, [mine, bobs])
    store.queue([answers(bobs)], overlap=2)
    for name in ("lea", "max"):
        claimed = store.claim(name)
        said = MARK if name == "lea" else "of Max"
        row = {**claimed.candidates.model_dump(), "labeler_id": name, "notes": {"A": said}}
        row["responses"] = [{**one, "why": said} for one in row["responses"]]
        row |= {"ranks": (1, 2), "seconds": 7, "sure": True, "use_case": "other"}
        with store.database.writing() as connection:
            add_labels(connection, Ranking, [Ranking.model_validate(row)])
        of = {"prompt_id": "b1", "prompt": bobs.prompt, "labeler_id": name}
        rated = {"response": "one ", "likert": 3, "hallucination": True, "comment": said}
        store.add([Demonstration(**of, response=said), Rating.model_validate(of | rated)])
        store.desk.save(claimed.number, {"ratings": {"A": {"note": said}}}, 1)
        store.desk.skip(claimed.number, "harmful", said)


def test_nothing_that_a_labeler_wrote_is_left_but_the_judgments(url, tmp_path):
    with Store.open(url) as store:
        labeled(store)
        store.snapshot("old", tmp_path / "old")
        store.add([Prompt(id="later", prompt="Later.")])
        emptied, stale = store.erase(labeler="lea")
        assert emptied == {
            **dict.fromkeys(("prompts", "demonstrations", "rankings", "ratings"), 1),
            **dict.fromkeys(("drafts", "skips"), 1),
        }
        assert [one.name for one in stale] == ["old"]
        assert tables_with(store, MARK) == set()
        assert files_with(store, MARK) == []
        store.snapshot("new", tmp_path / "new")
        ours, maxs = sorted(
            (one.model_dump() for one in load_records([str(tmp_path / "new")], Ranking)),
            key=lambda row: row["labeler_id"],
        )
        assert ours["ranks"] == maxs["ranks"] == (1, 2)
        left = {"seconds": 7, "sure": True, "use_case": "other"}
        assert {name: ours.get(name) for name in ("notes", *left)} == {"notes": None, **left}
        assert maxs["notes"] == {"A": "of Max"}
        assert [one.get("why") for one in maxs["responses"]] == ["of Max"] * 2
        ratings = load_records([str(tmp_path / "new")], Rating)
        assert {one.labeler_id: one.model_extra for one in ratings} == {
            "lea": {},
            "max": {"comment": "of Max"},
        }
        assert all(one.hallucination and one.likert == 3 for one in ratings)
        (left_over,) = load_records([str(tmp_path / "new")], Demonstration)
        assert left_over.response == "of Max"
        with pytest.raises(UserError, match="holds what was erased since"):
            load_records([str(tmp_path / "old")], Ranking)
        assert store.erase(labeler="lea") == ({}, stale)
        store.queue([answers(prompts()[2])], overlap=1, name="again")
        begun = store.claim("lea", queue="again")
        store.desk.save(begun.number, {"ratings": {"A": {"note": MARK}}}, 1)
        assert store.erase(labeler="lea") == ({"drafts": 1}, stale)  # no snapshot holds a draft
        labeled_again = prompts()[2]
        store.add([Demonstration(prompt_id="b1", prompt=labeled_again.prompt, response=MARK,
                                 labeler_id="lea")])  # fmt: skip
        assert tables_with(store, MARK) == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--labeler", "nobody"], "--labeler nobody: the store knows no such labeler; check"),
        ([], "give one of --user ID and --labeler ID"),
        (["--user", "ann", "--labeler", "lea"], "give one of --user ID and --labeler ID"),
    ],
)
def test_who_is_erased_is_one_that_the_store_knows(words, said, tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/store.db"
    Store.open(url).close()
    with pytest.raises(SystemExit) as ended:
        main(["data", "erase", *words, "--db", url])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_is_erased_does_not_come_back_with_the_same_file(filled):
    filled.queue([answers(prompts()[1])], overlap=1, name="open")
    claimed = filled.claim("max", queue="open")
    filled.erase("ann")
    filled.add(prompts())
    assert tables_with(filled, MARK) == set()
    assert filled.claim("lea", queue="open") is None
    assert filled.progress("open") == (0, 0, 0)
    row = {**claimed.candidates.model_dump(), "ranks": (1, 2)}
    with pytest.raises(UserError, match="were erased"):
        filled.submit(claimed, Ranking.model_validate(row))


def test_snapshots_that_hold_it_are_stale_and_their_readers_are_named(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as store:
        fill(store)
        store.snapshot("old", tmp_path / "old")
        store.snapshot("gone", tmp_path / "gone")
        for path in (tmp_path / "gone").iterdir():
            path.unlink()
    run = tmp_path / "runs" / "rm"
    run.mkdir(parents=True)
    source = {"key": "data", "kind": "rankings", "path": str(tmp_path / "old")}
    (run / "run.json").write_text(json.dumps({"inputs": [source]}))
    arguments = ["data", "erase", "--user", "ann", "--db", url, "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code
    said = capsys.readouterr()
    assert "user ann: emptied" in said.err
    assert f"stale: {tmp_path}/old/rankings.jsonl (delete it)" in said.out
    assert f"stale: {tmp_path}/gone/prompts.jsonl (no longer there: look for copies)" in said.out
    assert f"read by: {run} (data; train it again without)" in said.out
    for path in (tmp_path / "old", tmp_path / "old" / "prompts.jsonl"):
        with pytest.raises(UserError, match="holds what was erased since") as raised:
            load_records([str(path)], Prompt)
        sentence(raised)
    with Store.open(url) as store:
        manifest = store.snapshot("new", tmp_path / "old")
    assert manifest["files"]["prompts.jsonl"]["records"] == 1
    assert [record.id for record in load_records([str(tmp_path / "old")], Prompt)] == ["b1"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments[:3], "nobody", *arguments[4:]])
    assert ended.value.code == 2
    assert "no such user; check the id" in capsys.readouterr().err


def test_another_program_in_the_way_is_named_and_the_same_command_goes_on(tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        fill(store)
        store.database.engine.dispose()
        with Store.open(f"sqlite:///{tmp_path}/store.db") as reader:
            with reader.database.reading() as connection:
                connection.execute(select(tables.prompts)).all()
                with pytest.raises(UserError, match="its bytes remain") as raised:
                    _impatient(store).erase("ann")
            sentence(raised)
        assert store.erase("ann") == ({}, [])
        assert files_with(store, MARK) == []


def _impatient(store: Store) -> Store:
    from sqlalchemy import event

    @event.listens_for(store.database.engine, "connect")
    def _(connection, _record) -> None:
        connection.execute("PRAGMA busy_timeout = 10")

    return store


def test_every_column_that_can_hold_a_text_hangs_on_a_prompt_or_is_known_not_to():
    """A table that is added with texts must say whose they are."""
    for table in TEXTS:
        assert {"prompt_key", "user_id"} & set(table.c.keys()) or table is tables.completions
    plain = {
        f"{table.name}.{column.name}"
        for table in tables.metadata.sorted_tables
        for column in table.c
        if str(column.type) == "JSON" and not column.info.get("text")
    }
    assert plain == {
        "intake_runs.options",
        "intake_runs.files",
        "intake_runs.rules",
        "completions.sampling",
        "snapshots.manifest",
        "audit.detail",
        "accounts.preferences",
        "assignments.shown_order",
    }
