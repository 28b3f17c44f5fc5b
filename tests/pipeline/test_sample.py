"""Sampling for the labelers: the same file, however often it was interrupted."""

import json
from pathlib import Path

import pytest

from instructgpt.errors import UserError
from instructgpt.pipeline import sample as module
from instructgpt.pipeline.config import SampleConfig
from instructgpt.pipeline.sample import sample
from instructgpt.run.directory import Run, RunDirectory
from instructgpt.run.seeds import derive
from tests.files import sentence, write_policy, write_rows
from tests.ppo.letters import letter_tokenizer
from tests.tiny import tiny_model

PROMPTS = [
    {"id": f"p{i}", "prompt": "abcdefg"[: 1 + i % 7], "split": "train" if i % 2 else "test"}
    for i in range(13)
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    policy = write_policy(
        folder / "policy", model=tiny_model(vocab_size=9), tokenizer=letter_tokenizer()
    )
    return {"model": policy, "data": write_rows(folder / "prompts.jsonl", PROMPTS)}


@pytest.fixture
def config(files, tmp_path, monkeypatch):
    """Four prompts at a time, in slots of three."""
    monkeypatch.setattr(module, "PROMPTS_AT_A_TIME", 4)

    def make(out="run", **values):
        settings = {"k": 2, "max_new_tokens": 6, "rollout_slots": 3} | files | values
        return SampleConfig(**settings, out=str(tmp_path / out))

    return make


def read(run):
    return [json.loads(line) for line in (run.dir / "candidates.jsonl").read_text().splitlines()]


def test_k_answers_to_each_prompt(config, files):
    run = sample(config(temperature=0.8, top_p=0.9, top_k=5, seed=3))
    rows = read(run)
    assert [row["prompt_id"] for row in rows] == [row["id"] for row in PROMPTS]
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in PROMPTS]
    for place, row in enumerate(rows):
        for number, response in enumerate(row["responses"]):
            sampling = response["sampling"]
            assert response["model"] == files["model"]
            assert sampling["seed"] == derive(3, "sample", place, number)
            assert (sampling["temperature"], sampling["top_p"], sampling["top_k"]) == (0.8, 0.9, 5)
            assert len(response["text"]) <= 6  # padding, which it may write, is no letter
    answers = [response["sampling"]["finished"] for row in rows for response in row["responses"]]
    assert len(set(answers)) == 2  # some end by themselves, some are cut
    assert len({response["text"] for row in rows for response in row["responses"]}) > 13
    info = run.info
    assert (info["stage"], info["status"]) == ("sample", "done")
    assert [read["path"] for read in info["inputs"]] == [files["model"], files["data"]]
    assert not (run.dir / "candidates.partial.jsonl").exists()


def test_only_the_prompts_of_a_split(config):
    rows = read(sample(config(split="train")))
    assert [row["prompt_id"] for row in rows] == [f"p{i}" for i in range(1, 13, 2)]
    with pytest.raises(UserError, match="no prompt with split 'dev'") as raised:
        sample(config("other", split="dev"))
    sentence(raised)


def test_only_the_prompts_of_a_use(config, tmp_path):
    rows = [{"prompt": "ab", "use": "reward"}, {"prompt": "ba", "use": "ppo"}, {"prompt": "bb"}]
    data = write_rows(tmp_path / "p.jsonl", rows)
    assert [row["prompt"] for row in read(sample(config(data=data, use="reward")))] == ["ab"]
    with pytest.raises(
        UserError, match="no prompt with use 'sft', their uses are ppo, reward"
    ) as r:
        sample(config("other", data=data, use="sft"))
    sentence(r)


def test_checks_travel_with_the_prompt(config, tmp_path):
    checks = {"keywords": ["sea"]}
    data = write_rows(tmp_path / "p.jsonl", [{"prompt": "ab", "checks": checks}, {"prompt": "ba"}])
    first, second = read(sample(config(data=data)))
    assert first["checks"] == checks
    assert "checks" not in second


class Killed(BaseException):
    pass


def test_k_is_drawn_between_k_and_k_max(config):
    counts = [len(row["responses"]) for row in read(sample(config(k=2, k_max=4)))]
    assert set(counts) == {2, 3, 4}
    assert counts == [2 + derive(0, "sample/k", place) % 3 for place in range(len(PROMPTS))]
    other = [len(row["responses"]) for row in read(sample(config("other", k=2, k_max=4, seed=1)))]
    assert other != counts


def test_a_second_round_draws_anew(config):
    """The same policy and seed; only the stage's name differs."""
    first, second = read(sample(config())), read(sample(config("again"), stage="sample-2"))
    texts = [[r["text"] for row in rows for r in row["responses"]] for rows in (first, second)]
    assert texts[0] != texts[1]


def test_split_use_case_and_checks_go_with_the_answers(config, tmp_path):
    prompts = [{**PROMPTS[0], "use_case": "chat", "checks": {"items": 2}}, {"prompt": "ab"}]
    rows = read(sample(config(data=write_rows(tmp_path / "few.jsonl", prompts))))
    assert [rows[0][key] for key in ("use_case", "split", "checks")] == [
        "chat",
        "test",
        {"items": 2},
    ]
    assert not {"use_case", "split", "checks"} & set(rows[1])


@pytest.mark.parametrize("lines", range(13))
def test_interrupted_after_any_line_the_file_is_the_same(lines, config, monkeypatch, capsys):
    straight = (sample(config("straight")).dir / "candidates.jsonl").read_bytes()
    interrupt(monkeypatch, lines)
    with pytest.raises(Killed):
        sample(config())
    monkeypatch.undo()
    monkeypatch.setattr(module, "PROMPTS_AT_A_TIME", 4)
    begun = chunks(monkeypatch)
    assert (sample(config()).dir / "candidates.jsonl").read_bytes() == straight
    expected = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12]]
    assert begun == expected[lines // 4 :]  # cut like the undisturbed run's, so rounded like them


def test_interrupted_twice_with_half_a_line(config, monkeypatch):
    straight = (sample(config("straight")).dir / "candidates.jsonl").read_bytes()
    partial = Path(config().out) / "candidates.partial.jsonl"
    for lines in (6, 2):
        with monkeypatch.context() as patch:
            interrupt(patch, lines)
            with pytest.raises(Killed):
                sample(config())
        partial.write_bytes(partial.read_bytes() + '{"prompt_id": "é'.encode()[:-1])
    assert (sample(config()).dir / "candidates.jsonl").read_bytes() == straight


def chunks(monkeypatch):
    """Collects the prompts' places of every chunk that is sampled."""
    begun = []
    answers = module._answers

    def remember(config, policy, prompts, places, stage):
        begun.append(list(places))
        return answers(config, policy, prompts, places, stage)

    monkeypatch.setattr(module, "_answers", remember)
    return begun


def interrupt(monkeypatch, lines):
    """Die when so many lines have been written."""
    left = [lines]
    append = RunDirectory.append

    def append_or_die(directory, name, row):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        append(directory, name, row)

    monkeypatch.setattr(RunDirectory, "append", append_or_die)


def test_an_interrupted_run_says_so_and_can_be_gone_on_with(config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt) as kept:  # its traceback keeps the directory alive
            sample(config())
    assert Run(Path(config().out)).info["status"] == "interrupted"
    assert sample(config()).info["status"] == "done"
    assert kept.value is not None


def test_a_finished_run_is_left_alone(config, capsys):
    run = sample(config())
    before = (run.dir / "run.json").read_bytes()
    sample(config())
    assert "already finished" in capsys.readouterr().err
    assert (run.dir / "run.json").read_bytes() == before
    with pytest.raises(UserError, match=r"other settings: k 2 -> 3 \(from"):
        sample(config(k=3))
