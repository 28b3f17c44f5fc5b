"""A store with everything in it that can hang on a user's prompt."""

from instructgpt.data.records import Candidates, Demonstration, Prompt, Ranking, Rating
from instructgpt.store import Store, tables
from instructgpt.store.records import as_row, key_of

MARK = "the marker that nobody else writes, Zürich"


def prompts(mark: str = MARK) -> list[Prompt]:
    """Ann's, with a column of their own, and Bob's."""
    return [
        Prompt(id="a1", prompt=f"{mark}?", user_id="ann", notes=[mark]),
        Prompt(id="a2", prompt=f"Again {mark}!" + " long" * 3000, user_id="ann"),
        Prompt(id="b1", prompt="Bob's own.", user_id="bob"),
    ]


def answers(prompt: Prompt, mark: str = "") -> Candidates:
    texts = [{"text": f"one {mark}", "model": "m"}, {"text": "two", "note": mark}]
    row = {"prompt_id": prompt.id, "prompt": prompt.prompt, "responses": texts}
    return Candidates.model_validate(row)


def fill(store: Store, mark: str = MARK) -> None:
    """Prompts, decisions, annotations, findings; answers, and labels of each kind, an edit too;
    what was begun, and skipped.
    """
    made = prompts(mark)
    store.add(made)
    decide(store, made[:2], detail={"fields": {"split": "train"}, "was": mark})
    decide(store, made[2:], detail={"fields": {"split": "train"}})
    key = key_of(as_row(made[0]))
    with store.database.writing() as connection:
        for table, values in (
            (tables.annotations, {"field": "use_case", "value": mark, "at": "now"}),
            (tables.findings, {"detector": "some 1", "found": [mark]}),
        ):
            connection.execute(table.insert().values({"prompt_key": key, **values}))
    store.queue([answers(made[0], mark), answers(made[2])], overlap=1)
    while claimed := store.claim("lea"):
        row = {**claimed.candidates.model_dump(), "labeler_id": "lea", "comment": mark}
        row["comment"] = mark if claimed.candidates.prompt_id == "a1" else ""
        for ranks in ((1, 2), (2, 1)):
            store.submit(claimed, Ranking.model_validate({**row, "ranks": ranks}))
    store.queue([answers(made[0], mark)], overlap=2, name="begun")
    for name in ("kim", "max"):
        begun = store.desk.next(name, "begun")
        store.desk.save(begun.number, {"ratings": {"A": {"note": mark}}}, 1)
    store.desk.skip(begun.number, "harmful", f"it says {mark}")
    of = {"prompt_id": "a2", "prompt": mark, "response": f"an answer to {mark}"}
    store.add([Demonstration(**of, labeler_id="lea"), Rating(**of, likert=3, labeler_id="lea")])


def decide(store: Store, made: list[Prompt], outcome: str = "kept", **values) -> None:
    """A run of an intake that decides the same of each prompt, in one step."""
    with store.database.writing() as connection:
        run = tables.intake_runs.insert().values(rules={"split": 1}, at="now")
        number = connection.execute(run).inserted_primary_key[0]
        for prompt in made:
            row = {"run": number, "prompt_key": key_of(as_row(prompt)), "step": "split"}
            connection.execute(
                tables.decisions.insert().values(row | {"outcome": outcome} | values)
            )
