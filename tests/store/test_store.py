"""What a store is on either engine: facts that are added and never changed, a schema that is
checked, a secret.
"""

import re
import sqlite3

import pytest
from sqlalchemy import delete, event, inspect, select, text, update
from sqlalchemy.exc import IntegrityError

from instructgpt.data.records import Demonstration, Message, Prompt, Ranking
from instructgpt.errors import UserError
from instructgpt.store import Store, schema, tables
from instructgpt.store.audit import note
from instructgpt.store.engine import Database
from instructgpt.store.records import insert_new, key_of
from tests.files import sentence
from tests.store.conftest import STATE, watched

TURNS = (Message(role="user", content="Grüße, 東京?"), Message(role="assistant", content="Hm."))
PROMPTS = [
    Prompt(prompt="Name a color.", user_id="u1", org_id="o1", source="customer"),
    Prompt(id="mine", prompt=TURNS, user_id="u1", checks={"b": 1, "a": [2.5, None]}),
    Prompt(prompt="Name a fruit."),
]
RANKING = Ranking.model_validate(
    {"prompt_id": "mine", "prompt": "x", "responses": [{"text": "a"}, {"text": "b"}]}
    | {"ranks": [1, 2], "labeler_id": "ann"}
)

ORPHAN = {"prompt_key": "nobody's", "run": 1, "step": "form", "outcome": "kept"}


def rows(store: Store, table) -> list[dict]:
    with store.database.reading() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def test_prompts_stand_as_they_were_read_and_only_once(store):
    store.add(PROMPTS)
    before = rows(store, tables.prompts)
    again = Prompt.model_validate({"checks": {"a": [2.5, None], "b": 1}, **PROMPTS[1].model_dump()})
    store.add([again, *PROMPTS])
    found = {row["id"]: row for row in rows(store, tables.prompts)}
    assert [*found.values()] == before
    assert len(found) == 3
    turns = [{"role": turn.role, "content": turn.content} for turn in TURNS]
    assert found["mine"]["prompt"] == turns
    assert found["mine"]["record"] == {"checks": {"a": [2.5, None], "b": 1}}
    assert [found[PROMPTS[0].id][name] for name in ("user_id", "org_id")] == ["u1", "o1"]
    assert [row["id"] for row in rows(store, tables.users)] == ["u1"]


def test_rows_go_in_by_their_keys_whatever_the_files_order(store):
    sent = []

    @event.listens_for(store.database.engine, "before_cursor_execute")
    def _(_, __, statement, parameters, *rest) -> None:
        if statement.startswith("INSERT INTO prompts"):
            sent.append([str(one) for one in parameters])

    for order in (PROMPTS, PROMPTS[::-1]):
        store.add(order)
    assert len(sent[0]) == 3
    assert [re.findall("[0-9a-f]{64}", one)[0] for one in sent[0]] == sorted(
        row["key"] for row in rows(store, tables.prompts)
    )
    assert [re.findall("[0-9a-f]{64}", one)[0] for one in sent[1]] == [
        re.findall("[0-9a-f]{64}", one)[0] for one in sent[0]
    ]


def test_a_key_is_the_hash_of_the_canonical_record():
    # printf '{"a":"é","b":[1,2]}' | sha256sum
    known = "9cfb1f938a87f2b8f3b8cc429c7a09116d54f048322742d4c23d4767b85f85da"
    assert key_of({"b": [1, 2], "a": "é"}) == known


def test_labels_know_their_prompt_where_one_has_their_id(store):
    store.add([*PROMPTS, RANKING, Demonstration(prompt="unknown", response="r"), RANKING])
    (ranking,) = rows(store, tables.rankings)
    keys = {row["id"]: row["key"] for row in rows(store, tables.prompts)}
    assert (ranking["prompt_key"], ranking["labeler_id"]) == (keys["mine"], "ann")
    assert Ranking.model_validate(ranking["record"]) == RANKING
    assert rows(store, tables.demonstrations)[0]["prompt_key"] is None
    store.add(
        [Prompt(id="mine", prompt="of another"), RANKING.model_copy(update={"ranks": (2, 1)})]
    )
    assert {row["prompt_key"] for row in rows(store, tables.rankings)} == {keys["mine"], None}


def test_what_is_no_record_is_refused(store):
    with pytest.raises(
        UserError, match="found a str; a store takes Prompt, Demonstration"
    ) as raised:
        store.add(["Name a color."])
    sentence(raised)


def test_facts_are_never_changed_but_by_erasing(url):
    """The product refuses it, and the tests' own watch sees the SQL that is sent."""
    facts = {table.name for table in tables.metadata.sorted_tables if table.info["kind"] == "fact"}
    assert facts == {table.name for table in tables.metadata.sorted_tables} - STATE
    with Store.open(url) as store, watched(store.database) as seen:
        store.add(PROMPTS)
        for change in (update(tables.prompts).values(source="x"), delete(tables.prompts)):
            with (
                pytest.raises(AssertionError, match="prompts holds facts"),
                store.database.writing() as connection,
            ):
                connection.execute(change)
        assert seen == []
        with store.database.writing(erasing=True) as connection:
            connection.execute(update(tables.prompts).values(source="x"))
        with store.database.writing() as connection:
            connection.execute(text("DELETE FROM annotations"))
    assert [statement.split()[0] for statement in seen] == ["UPDATE", "DELETE"]


def test_a_transaction_is_kept_whole_or_not_at_all(store):
    def half() -> None:
        with store.database.writing() as connection:
            insert_new(connection, tables.labelers, [{"id": "ann", "at": "now"}])
            connection.execute(tables.decisions.insert().values(ORPHAN))

    with pytest.raises(IntegrityError):
        half()
    assert rows(store, tables.labelers) == []


def test_the_secret_is_drawn_once_and_is_each_stores_own(store, url, tmp_path):
    assert len(store.key) == 32
    with Store.open(url) as again, Store.open(f"sqlite:///{tmp_path}/other.db") as other:
        assert again.key == store.key != other.key


def test_the_audit_says_who_did_what(store, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    with store.database.writing() as connection:
        note(connection, "looked", rows=3)
    (noted,) = rows(store, tables.audit)
    assert (noted["who"], noted["what"], noted["detail"]) == ("ann", "looked", {"rows": 3})
    assert noted["at"].endswith("Z")


def test_the_migrations_make_the_tables_that_the_code_names(store):
    """Alembic compares columns, types, keys and indices; none may differ."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        found = inspect(connection)
        for table in tables.metadata.sorted_tables:
            keys = {key["name"] for key in found.get_unique_constraints(table.name)}
            named = {str(c.name) for c in table.constraints if type(c).__name__[0] == "U"}
            assert keys == named, table


def fill_first(database: Database) -> dict[str, list[tuple]]:
    """A database of the first migration with a row in each of its tables; those rows."""
    with database.writing() as connection:
        schema.upgrade(connection, "0001")
    found = {}
    with database.writing() as connection:
        # `consent` was never written; a later version has another table for it.
        gone = {"alembic_version", "consent"}
        names = sorted(set(inspect(connection).get_table_names()) - gone)
        for table in (t for t in tables.metadata.sorted_tables if t.name in names):
            columns = inspect(connection).get_columns(table.name)
            values = {c["name"]: _any(table, c["name"], str(c["type"])) for c in columns}
            connection.execute(table.insert().values(values))
        for name in names:
            found[name] = connection.execute(text(f"SELECT * FROM {name}")).all()
    return found


def _any(table, name: str, kind: str):
    if table.c[name].foreign_keys or table.c[name].primary_key or "INT" in kind:
        return 77 if "INT" in kind else "one"  # far from what a sequence draws
    known = {"JSON": {"a": ["é"]}, "BOOLEAN": True, "BLOB": b"b", "BYTEA": b"b"}
    return 0.5 if kind in ("FLOAT", "DOUBLE PRECISION") else known.get(kind, f"a {kind}")


def test_a_filled_database_of_the_first_migration_is_brought_up_whole(empty_url):
    database = Database(empty_url)
    before = fill_first(database)
    assert len(before) == 20  # the second migration made two more
    assert schema.upgrade_store(database) == ("0001", schema.newest())
    assert schema.upgrade_store(database) == (schema.newest(), schema.newest())
    database.close()
    with Store.open(empty_url) as store, store.database.reading() as connection:
        for name, kept in before.items():
            columns = ", ".join(kept[0]._fields)
            now = connection.execute(text(f"SELECT {columns} FROM {name}")).all()
            assert [row for row in now if row in kept] == kept


def test_a_label_older_than_submissions_is_one_after_the_upgrade(empty_url):
    record = {"prompt": "p", "prompt_id": "p", "labeler_id": "ann", "ranks": [1, 2]}
    record |= {"responses": [{"text": "a"}, {"text": "b"}]}
    at = {"at": "2026-01-01T00:00:00Z"}
    kept = [
        ("labelers", {"id": "ann"}),
        ("candidates", {"key": "c", "prompt_id": "p", "record": {"prompt": "p", "prompt_id": "p"}}),
        *(
            ("completions", {"candidates_key": "c", "place": n, "text": t, "record": {}})
            for n, t in enumerate("ab")
        ),
        ("rankings", {"key": "r", "prompt_id": "p", "labeler_id": "ann", "record": record}),
        ("queues", {"number": 1, "name": "q", "overlap": 1}),
        ("tasks", {"number": 1, "queue": 1, "candidates_key": "c", "place": 1, "labels": 1}),
        (
            "assignments",
            {"number": 1, "task": 1, "labeler_id": "ann", "leased_until": 0.0, "label_key": "r"},
        ),
    ]
    database = Database(empty_url)
    with database.writing() as connection:
        schema.upgrade(connection, "0002")
        for name, values in kept:
            known = {c["name"] for c in inspect(connection).get_columns(name)}
            row = {key: value for key, value in (values | at).items() if key in known}
            connection.execute(tables.metadata.tables[name].insert().values(row))
    schema.upgrade_store(database)
    database.close()
    with Store.open(empty_url) as store:
        (item,) = store.desk.history("ann")
        (version,) = store.desk.versions(item.number)
        assert item.state == "done"
        assert item.submission == version
        assert (version.ranking.ranks, version.at, version.seconds) == ((1, 2), at["at"], 0)


def test_consent_of_older_intakes_is_a_fact_after_the_upgrade(empty_url):
    at = {"at": "2026-01-01T00:00:00Z"}
    prompt = {"prompt": "p", "id": "p"}
    runs = {1: {"command": "intake", "assume_consent": "why"}, 2: {"assume_consent": ""}, 3: None}
    kept = [
        *(("intake_runs", {"number": n, "options": options}) for n, options in runs.items()),
        ("prompts", {"key": "yes", "record": {"consent": True}, **prompt}),
        ("prompts", {"key": "no", "record": {"consent": False}, **prompt}),
        ("prompts", {"key": "silent", "record": {}, **prompt}),
        ("prompts", {"key": "gone", "id": "g", "record": None, "erased": "then"}),
    ]
    pairs = [(1, "yes"), (2, "yes"), (1, "no"), (1, "silent"), (2, "silent"), (3, "silent")]
    kept += [("arrivals", {"run": run, "prompt_key": key}) for run, key in [*pairs, (1, "gone")]]
    database = Database(empty_url)
    with database.writing() as connection:
        schema.upgrade(connection, "0003")
        for name, values in kept:
            known = {c["name"] for c in inspect(connection).get_columns(name)}
            row = {key: value for key, value in (values | at).items() if key in known}
            connection.execute(tables.metadata.tables[name].insert().values(row))
    schema.upgrade_store(database)
    with database.reading() as connection:
        own = tables.consents.c
        query = select(own.run, own.prompt_key, own.given, own.assumed)
        assert set(map(tuple, connection.execute(query))) == {
            (1, "yes", True, False),
            (2, "yes", True, False),
            (1, "no", False, False),
            (1, "silent", True, True),
        }
        came = connection.execute(select(tables.arrivals.c.run, tables.arrivals.c.prompt_key))
        assert set(map(tuple, came)) == {*pairs, (1, "gone")}
    database.close()


def test_older_snapshots_hold_the_labels_that_were_there(empty_url):
    at = "2026-01-0"
    kept = [
        ("labelers", {"id": "lea", "at": f"{at}1"}),
        ("labelers", {"id": "late", "at": f"{at}1"}),
        ("prompts", {"key": "p", "id": "p", "record": {"labeler_id": "pia"}, "at": f"{at}1"}),
        ("prompts", {"key": "q", "id": "q", "record": {}, "at": f"{at}1"}),
        *(
            ("ratings", {"key": who, "prompt_id": "p", "labeler_id": who, "at": f"{at}{day}"})
            for who, day in (("lea", 2), ("late", 4))
        ),
        *(
            (
                "snapshots",
                {"number": n, "name": "s", "folder": "f", "digest": "d", "at": f"{at}{n}"},
            )
            for n in (1, 3)
        ),
    ]
    database = Database(empty_url)
    with database.writing() as connection:
        schema.upgrade(connection, "0004")
        for name, row in kept:
            connection.execute(tables.metadata.tables[name].insert().values(row))
    schema.upgrade_store(database)
    with database.reading() as connection:
        found = set(map(tuple, connection.execute(select(tables.snapshot_labelers))))
        assert found == {(1, "pia"), (3, "pia"), (3, "lea")}
        assert set(connection.scalars(select(tables.labelers.c.id))) == {"lea", "late", "pia"}
    database.close()


def test_a_schema_of_another_time_is_refused_with_the_remedy(store, url):
    name = store.database.name
    for revision, said in (("0000", "newer version"), (None, "no store's")):
        with store.database.writing() as connection:
            change = "DELETE FROM alembic_version" if revision is None else None
            connection.execute(
                text(change or f"UPDATE alembic_version SET version_num='{revision}'")
            )
        with pytest.raises(UserError, match=said) as raised:
            Store.open(url)
        assert name in sentence(raised)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("store.db", "is no URL; name the store as in --db sqlite:///instructgpt.db"),
        ("mysql://host/x", "is no kind of store"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite+nothing:///x", "is no kind of store"),
        ("://", "cannot be read"),
        ("postgresql://u:secret@localhost:1/x", "check the URL"),
        ("sqlite:///nowhere/at/all.db", "unable to open database file"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_in_a_sentence(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said) as raised:
        Store.open(given)
    assert "secret" not in sentence(raised)


def test_a_store_that_must_be_there_is_not_made(tmp_path):
    with pytest.raises(UserError, match="there is no store"):
        Store.open(f"sqlite:///{tmp_path}/missing.db", make=False)
    assert not [*tmp_path.iterdir()]


def test_a_file_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(UserError, match="not a database"):
        Store.open(f"sqlite:///{tmp_path}/text.db")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(UserError, match="holds tables that are no store's"):
        Store.open(f"sqlite:///{tmp_path}/other.db")


def test_where_a_store_is_without_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INSTRUCTGPT_DB", raising=False)
    with Store.open() as here:
        assert here.database.path == "instructgpt.db"
    monkeypatch.setenv("INSTRUCTGPT_DB", f"sqlite:///{tmp_path}/other.db")
    with Store.open() as other:
        assert other.database.path.endswith("other.db")
