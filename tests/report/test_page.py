import json
import math
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from instructgpt.errors import UserError
from instructgpt.report import compare_report, write_report
from instructgpt.report.tell.samples import AnswerCell, SampleRow, pick
from tests.report import fake, rounds

ATTACK = "<script>alert(1)</script>\"'><img src=https://evil.example/x onerror=alert(1)>"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags, attributes and visible text of a page, which must close every tag it opens."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.pieces: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        assert self.open == []
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.pieces.append(data)


def assert_self_contained(page: Page) -> None:
    assert not {"script", "img", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline directory with its report."""
    path = fake.make_pipeline(tmp_path_factory.mktemp("runs") / "quickstart")
    assert write_report(path) == path / "report.html"
    return path


def test_a_pipeline_becomes_one_page(pipeline):
    out = pipeline / "report.html"
    page = Page(out)
    assert_self_contained(page)
    assert "http" not in page.source.replace("http-equiv", "")
    facts = "22 November 2026, 10:00 UTC · commit 392ddb1 · 8 min 30 s · all 8 stages done"
    assert facts in page.text
    assert "The SFT validation loss fell from" in page.text
    for number in (
        # 71 % ± 6.3 against 56 % ± 7: 65 to 77 and 49 to 63 have nothing in common.
        "The held-out reward model prefers ppo to sft in 71 % of comparisons [65–77 %]; greedy",
        "sft reaches 56 %.",
        "The reward model orders 71 % of held-out pairs as the labelers did [68–74 %].",
        "4.1 % (expected calibration error)",
        "83 %, n = 144",
        "320 steps in 2 min 02 s",
        "flag --learning-rate",
        "9f2c9f2c9f2c",
        "3.00 GiB",
        "5 min 36 s",  # 80 iterations of collecting at 4.2 s
    ):
        assert number in page.text, number
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            fake.make_sft,
            "Supervised fine-tuning run|392ddb1 · 1 min 15 s The SFT validation loss fell",
        ),
        (fake.make_reward, "Accuracy by number of answers|From 68 % (K = 4) to 74 % (K = 10)"),
        (fake.make_ppo, "Score bought with KL|(nats per answer)|Variance explained by the critic"),
        (
            fake.make_evaluate,
            "Win rate over sft|greedy sft|interval, n = 200|excludes 50 %",
        ),
    ],
)
def test_each_stage_has_its_page(tmp_path, make, expected):
    page = Page(write_report(make(tmp_path / "run"), tmp_path / "deep" / "page.html"))
    assert_self_contained(page)
    for part in expected.split("|"):
        assert part in page.text, part


def test_the_same_input_gives_the_same_bytes(pipeline, tmp_path):
    first = (pipeline / "report.html").read_bytes()
    assert write_report(pipeline, tmp_path / "again.html").read_bytes() == first


def test_hostile_text_stays_text_everywhere(tmp_path):
    sample = {"prompt": ATTACK, "response": ATTACK + "\ud800", "score": 1.0}
    path = fake.make_ppo(
        tmp_path / "<b>run & co",
        iterations=12,
        info={"stage": ATTACK, "status": ATTACK, "command": [ATTACK], "versions": {ATTACK: ATTACK}},
        config={"model": ATTACK},
        samples=[{"step": step, **sample} for step in (1, 2)],
        timings=[{"step": 1, ATTACK: 1.0}],
        evaluation={
            "win_rate": fake.interval(0.6),
            "a": ATTACK,
            "b": ATTACK,
            "judge": ATTACK,
            "judge_note": ATTACK,
            "controls": {ATTACK: fake.interval(0.5)},
            "others": {ATTACK + "2": fake.interval(0.5)},
            "scores": {ATTACK: fake.interval(0.5), ATTACK + "2": fake.interval(0.6)},
            "texts": {ATTACK: {ATTACK: 1.0, "tokens": 3.0}},
            "prose_loss": {ATTACK: 3.0},
            "by_use_case": {ATTACK: fake.interval(0.5)},
            "by_labeler": {ATTACK: fake.interval(0.7)},
            "groups": {ATTACK: {"labelers": [ATTACK], "agreement": fake.interval(0.7)}},
            "trivial_predictors": {ATTACK: 0.7},
            "by": ATTACK,
            "pairs": [
                {"prompt": ATTACK, "a": ATTACK, "b": ATTACK, "score_a": i, "score_b": 0}
                for i in range(3)
            ],
        },
    )
    with (path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1, ATTACK: 2.0}) + "\n")
    page = Page(write_report(path))
    assert_self_contained(page)
    assert page.text.count("<script>alert(1)</script>") > 10


def test_hostile_names_of_stages_and_paths_stay_text(tmp_path):
    path = rounds.make_quickstart(tmp_path / "quickstart")
    plan = json.loads((path / "pipeline.json").read_text())
    plan["name"] = ATTACK
    for row in plan["stages"]:
        row["name"] = ATTACK + row["name"]
    plan["stages"][0]["kind"] = ATTACK
    plan["stages"][-1]["status"] = ATTACK
    (path / "pipeline.json").write_text(json.dumps(plan))
    evaluation = rounds.rank_evaluation()
    evaluation["groups"][ATTACK] = {"labelers": [ATTACK], "agreement": fake.interval(0.7)}
    evaluation["trivial_predictors"] = {ATTACK: 0.5}
    (path / "03-rank" / "evaluation.json").write_text(json.dumps(evaluation))
    info = json.loads((path / "05-ppo" / "run.json").read_text())
    info["inputs"] = [
        {"kind": kind, "path": ATTACK, "digest": ATTACK} for kind in ("policy", "prompts", ATTACK)
    ]
    (path / "05-ppo" / "run.json").write_text(json.dumps(info))
    page = Page(write_report(path))
    assert_self_contained(page)
    assert page.text.count("<script>alert(1)</script>") > 30


def test_a_prompt_may_be_a_conversation(tmp_path):
    turns = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}]
    samples = [{"step": 1, "prompt": turns, "response": "Go on.", "score": None}]
    page = Page(write_report(fake.make_sft(tmp_path / "sft", steps=3, samples=samples)))
    assert "user: Hello? assistant: Yes." in page.text
    assert "Go on." in page.text


def test_an_empty_answer_is_marked(tmp_path):
    texts = {"Say nothing.": " \n", "Say a word.": "Moon."}
    samples = [{"step": 1, "prompt": p, "response": r, "score": 1} for p, r in texts.items()]
    page = Page(write_report(fake.make_sft(tmp_path / "sft", steps=3, samples=samples)))
    assert page.text.count("(empty answer)") == 1
    assert "Say nothing. score 1.00 (empty answer)" in page.text


def test_a_start_that_no_calendar_has_is_left_out(tmp_path):
    info = {"started": "9999-12-31T23:59:59-23:00", "git_commit": None}
    path = fake.make_sft(tmp_path / "sft", steps=3, info=info)
    assert "Supervised fine-tuning sft The SFT" in Page(write_report(path)).text


def test_the_environment_leaves_reasons_to_run_json(tmp_path):
    tuning = {"threads": 2, "because": {"threads": {"reason": "the cores it may use"}}}
    text = Page(write_report(fake.make_sft(tmp_path / "x", steps=3, info={"tuning": tuning}))).text
    assert "tuning: threads 2" in text
    assert "because" not in text


@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_run_that_did_not_finish_says_so(tmp_path, status):
    page = Page(write_report(fake.make_sft(tmp_path / "sft", steps=3, info={"status": status})))
    assert f'<span class="status">{status}</span>' in page.source


def test_a_pipeline_that_failed_names_the_stage(tmp_path):
    stages = [{"name": "sft", "status": "done"}, {"name": "reward", "status": "failed"}]
    (tmp_path / "pipeline.json").write_text(json.dumps({"name": "p", "stages": stages}))
    assert "Pipeline p 1 of 2 stages done · reward failed" in Page(write_report(tmp_path)).text


def test_metrics_that_are_nan_or_cut_short_do_not_stop_the_report(tmp_path):
    rows = [
        {"step": i, "objective/kl": math.nan, "objective/scores": 1.0 if i % 2 else math.inf}
        for i in range(50)
    ]
    path = fake.make_run(tmp_path / "ppo", "ppo", rows)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 51, "objective/sc')
    text = Page(write_report(path)).text
    assert "Stayed near 1 (25 values not finite)." in text
    assert "Score bought with KL" not in text


def test_a_run_with_nothing_but_run_json_has_a_page(tmp_path):
    (tmp_path / "run.json").write_text('{"stage": "reward"}')
    page = Page(write_report(tmp_path))
    assert "Reward model" in page.text
    assert "no numbers recorded" in page.text
    assert "chart" not in {attributes.get("class") for _, attributes in page.tags}


def test_metrics_nobody_foresaw_are_drawn_under_their_own_name(tmp_path):
    rows = [{"step": step, "team/new_metric": step / 7} for step in range(9)]
    text = Page(write_report(fake.make_run(tmp_path / "x", "x", rows))).text
    assert "team/new_metric" in text
    assert "Rose from 0 to 1.14." in text


def test_the_samples_shown_are_best_worst_and_a_fixed_draw():
    samples = [
        SampleRow("", f"prompt {i}", AnswerCell("b", 0.0, True), AnswerCell("a", float(gain), True))
        for i, gain in enumerate([3, -2, 9, 0, 1, -7, 2, 4, 5, 6])
    ]
    shown = pick(samples, seed=0)
    assert [(row.why, row.gain) for row in shown[:4]] == [
        ("best gain", 9.0),
        ("best gain", 6.0),
        ("worst loss", -7.0),
        ("worst loss", -2.0),
    ]
    assert [row.why for row in shown[4:]] == ["random"] * 4
    assert len({row.prompt for row in shown}) == 8
    assert pick(samples, seed=0) == shown


def test_the_ends_of_the_scale_are_of_different_prompts():
    samples = [
        SampleRow("", prompt, AnswerCell("b", 0.0, True), AnswerCell("a", gain, True))
        for prompt, gain in (("x", 9.0), ("x", 8.0), ("y", 7.0), ("z", 1.0), ("z", -5.0))
    ]
    shown = pick(samples, seed=0)
    assert [(row.prompt, row.gain) for row in shown if row.why == "best gain"] == [("x", 9.0)]
    assert [(row.prompt, row.gain) for row in shown if row.why == "worst loss"] == [("z", -5.0)]


def test_only_values_someone_chose_are_bold(tmp_path):
    source = write_report(fake.make_sft(tmp_path / "sft", steps=3)).read_text()
    assert "4 values, 2 of them chosen" in source
    assert '<tr class="strong"><th scope="row">learning_rate</th>' in source
    assert '<tr><th scope="row">batch_size</th>' in source


def test_runs_are_compared_on_one_page(tmp_path):
    one = fake.make_sft(tmp_path / "a" / "run", steps=50)
    two = fake.make_sft(tmp_path / "b" / "run", steps=60, config={**fake.CONFIG, "batch_size": 64})
    out = compare_report([one, two], tmp_path / "compare.html")
    first, page = out.read_bytes(), Page(out)
    assert_self_contained(page)
    assert "a/run" in page.text
    assert "SFT loss: validation" in page.text
    assert "batch_size 32 64" in page.text
    assert "learning_rate" not in page.text
    assert compare_report([one, two], out).read_bytes() == first


def test_a_comparison_takes_runs_of_one_stage(tmp_path):
    sft, reward = fake.make_sft(tmp_path / "sft", steps=3), fake.make_reward(tmp_path / "rm", 3)
    for wrong in ([sft, reward], [sft], []):
        with pytest.raises(UserError, match="two or more runs of one stage"):
            compare_report(wrong, tmp_path / "compare.html")


def test_without_matplotlib_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"python -m pip install matplotlib"):
        write_report(fake.make_sft(tmp_path / "sft", steps=3))
