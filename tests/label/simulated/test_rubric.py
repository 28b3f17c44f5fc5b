"""The rubric: good answers score high, and each fault costs where it should."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructgpt.data.reading import load_records
from instructgpt.data.records import Demonstration, Prompt
from instructgpt.errors import UserError
from instructgpt.label.simulated.audit import trivial_predictors
from instructgpt.label.simulated.rubric import WEIGHTS, Quality, addressed, overall, quality
from instructgpt.label.simulated.stage import noise_free
from instructgpt.label.simulated.task import Task
from instructgpt.label.simulated.text import count_items, sentences, words
from tests.files import sentence
from tests.label.invented import PROMPTS, candidates

DEMONSTRATIONS = load_records(["shipped:demonstrations"], Demonstration)
TASKS = {name: Task.of(prompt) for name, prompt in PROMPTS.items()}
REFUSAL = "I'm sorry, but as an AI language model I cannot help with that."
GUSHING = " Amazing, wonderful, fantastic, awesome! I love it, I love you, perfect! Thanks!"
OFF_TOPIC = "The volcano sent ash above the clouds, and hot lava ran down its slope."


def cut_off(answer: str) -> str:
    found = answer.split()
    return " ".join(found[: len(found) * 2 // 3]).rstrip(".!?,;:")


PERTURBATIONS = {
    "cut off": ("complete", lambda a, _: cut_off(a)),
    "items dropped": (
        "task",
        lambda a, task: task.checks.items and re.split(r"[,?]|\sor\s|\sand\s", a)[0] + ".",
    ),
    "addressee removed": (
        "task",
        lambda a, task: task.checks.addressee and a.replace(task.checks.addressee, "friend"),
    ),
    "rewrite copied": ("task", lambda _, task: task.checks.rewrite_of),
    "repeated": ("clean", lambda a, _: f"{a} {a}"),
    "role marker": ("clean", lambda a, _: f"{a}\nUser: Thank you."),
    "gushing": ("tone", lambda a, _: a + GUSHING),
    "off topic": ("topic", lambda *_: OFF_TOPIC),
    "refusal": ("direct", lambda *_: REFUSAL),
    "disclaimer": ("direct", lambda a, _: f"As an AI language model, I say: {a}"),
    "rambling": ("concise", lambda a, task: f"{a} {' '.join(words(task.text) * 4)}."),
    "empty phrase": ("substance", lambda *_: "It is that."),
}
"""The criterion that a fault is meant to cost, and the answer with the fault (None: not here)."""


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_fault_costs_its_criterion_always_and_the_total_nearly_always(name: str):
    criterion, perturb = PERTURBATIONS[name]
    lower: list[bool] = []
    for demonstration in DEMONSTRATIONS:
        task = TASKS[demonstration.prompt_id]
        if not (worse := perturb(demonstration.response, task)):
            continue
        before = quality(task, demonstration.response)
        after = quality(task, worse, finished=name != "cut off")
        assert getattr(after, criterion) < getattr(before, criterion), (worse, before, after)
        lower.append(after.total < before.total)
    assert len(lower) >= 25
    assert sum(lower) >= 0.99 * len(lower)


def test_demonstrations_score_high():
    totals = [quality(TASKS[d.prompt_id], d.response).total for d in DEMONSTRATIONS]
    assert min(totals) > 0.5
    assert sum(total > 0.85 for total in totals) >= 0.98 * len(totals)


def test_a_demonstration_beats_every_fault_it_can_have():
    for demonstration in DEMONSTRATIONS[:60]:
        task = TASKS[demonstration.prompt_id]
        best = quality(task, demonstration.response).total
        for name, (_, perturb) in PERTURBATIONS.items():
            if worse := perturb(demonstration.response, task):
                assert quality(task, worse, finished=name != "cut off").total < best


@pytest.mark.parametrize(
    ("prompt_id", "done", "missed", "warm"),
    [
        (
            "p0078",
            "Mr. Novak, your library book was due on Friday, and other readers wait for it today.",
            "Your library book was due on Friday, and other readers wait for it today.",
            "Please kindly bring your library book back, thank you, and enjoy your Friday.",
        ),
        (
            "p0073",
            "Read a story aloud, play a game of cards, and look for animals from the window.",
            "Read a story aloud to pass the time while animals look in through the window.",
            "I hope that you enjoy the long train ride with your lovely children.",
        ),
        (
            "p0048",
            "This line is news, because it tells what a swarm of bees did on Monday.",
            "This line is advice, because it tells what a swarm of bees did on Monday.",
            "Thank you, this line gives kind advice about a swarm of bees on the street.",
        ),
        (
            "p0030",
            "The tongs are for the bread in this shop, so use them instead of your hands.",
            "Do not touch the bread! Use the tongs in this shop instead of your hands.",
            "Please do not touch the bread! Use the tongs, and thank you kindly, dear guest.",
        ),
        (
            "p0003",
            "A queen bee lives longer than all the other bees of her old hive.",
            "A worker bee lives longer than all the other bees of her old hive.",
            "A worker bee lives longer than all the other bees, and I am glad to help.",
        ),
    ],
)
def test_warmth_does_not_make_up_for_a_missed_task(
    prompt_id: str, done: str, missed: str, warm: str
):
    plain, *others = (quality(TASKS[prompt_id], answer) for answer in (done, missed, warm))
    assert plain.task == 1
    assert all(other.task == 0 and other.complete == other.direct == 1 for other in others)
    # The task weighs 1.5 of 13. So does the tone, which warm words raise by 1/2 at the most.
    assert plain.total - others[0].total >= 1.5 / 13 - 1e-9
    assert plain.total - others[1].total >= 0.75 / 13 - 1e-9


def test_a_refusal_stays_in_the_lower_half_whatever_it_says_besides():
    answer = "As an AI language model, I would put the hand into cold water for ten minutes."
    assert quality(TASKS["p0091"], answer).total < 0.5


def test_refusing_to_come_is_no_refusal_to_answer():
    answer = "Hi Jonas, I am sorry, but I cannot come today because I have a cold."
    assert quality(TASKS["p0122"], answer).direct == 1


@given(
    st.sampled_from(sorted(TASKS)),
    st.one_of(st.text(max_size=120), st.from_regex(r"([A-Za-z,.!?:\"'0-9 \n-]){0,120}")),
    st.booleans(),
)
@settings(deadline=None)
def test_any_text_has_a_quality_between_0_and_1(prompt_id: str, answer: str, finished: bool):
    result = quality(TASKS[prompt_id], answer, finished)
    assert all(0 <= value <= 1 for value in result)
    assert result == quality(TASKS[prompt_id], answer, finished)
    assert result.total <= 0.5 or result.direct == 1


@pytest.mark.parametrize("answer", ["", " \n", "...", "\N{GRINNING FACE}"])
def test_an_answer_without_words_is_worth_nothing(answer: str):
    assert quality(TASKS["p0003"], answer) == Quality(*[0.0] * 9)


def test_no_trivial_feature_predicts_the_rubric():
    figures = trivial_predictors(candidates(), noise_free)
    assert all(0.5 <= figure <= 0.60 for figure in figures.values()), figures


@pytest.mark.parametrize(
    ("feature", "rubric"),
    [
        ("words", lambda queued: [len(words(r.text)) for r in queued.responses]),
        ("ended", lambda queued: [r.finished for r in queued.responses]),
    ],
)
def test_a_rubric_that_is_a_trivial_feature_is_found_out(feature: str, rubric):
    assert trivial_predictors(candidates(), rubric)[feature] > 0.60


def test_longer_is_not_better():
    task = TASKS["p0188"]
    answer = "On a train people can read, rest, or work, and nobody has to watch the traffic."
    longer = f"{answer} They may also look out of the window, talk with friends, eat, and sleep."
    assert quality(task, longer).total <= quality(task, answer).total


@pytest.mark.parametrize(
    ("answer", "finished", "value"),
    [
        ("It is safe.", True, 1.0),
        ("It is safe. Yes.", True, 1.0),
        ("1. Bread\n2. Ham", True, 1.0),
        ('He said: "It is safe."', True, 1.0),
        ("It is safe", True, 0.5),
        ("It is safe because of the.", True, 0.5),
        ("It is safe.", False, 0.5),
        ("It is safe\n...", True, 1.0),
        ("It is", False, 0.0),
    ],
)
def test_complete(answer: str, finished: bool, value: float):
    assert quality(TASKS["p0091"], answer, finished).complete == value


def test_curly_quotes_hide_nothing():
    answer = "I’m sorry, but I can’t help with that."
    assert quality(TASKS["p0091"], answer).direct == 0


def test_tone_saturates_and_gushing_costs():
    task = TASKS["p0154"]
    start = "Dear Priya, the report was hard work, and your three pages made it clear."
    extra = ["", " Thank you.", " Thank you, and regards.", GUSHING, GUSHING + GUSHING]
    tones = [quality(task, start + text).tone for text in extra]
    assert tones[0] < tones[1] == tones[2] > tones[3] > tones[4] - 1e-9


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Dear Mr. Novak, your book was due.", 1.0),
        ("Subject: Book\n\nDear Mr. Novak,\nyour book was due.", 1.0),
        ("Mr. Novak, your book was due.", 1.0),
        ("Thank you for the book, Mr. Novak!", 1.0),
        ("Thank you, it was due. I saw Mr. Novak.", 0.5),
        ("History was what old Mr. Novak liked.", 0.5),
        ("Mr. Novak borrowed a book.", 0.5),
        ("Your book was due.", 0.0),
    ],
)
def test_addressed(answer: str, value: float):
    assert addressed(answer, "Novak") == value


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("Explain it in one or two sentences.", (1, 2)),
        ("Explain it in a sentence or two.", (1, 2)),
        ("Write a two-sentence greeting.", (2, 2)),
        ("Answer in one short sentence.", (1, 1)),
        ("Answer in a full sentence.", (1, 1)),
        ("Fix the grammar of this sentence.", None),
        ("Name three colors.", None),
    ],
)
def test_the_number_of_sentences_is_read_off_the_prompt(prompt: str, asked):
    assert Task.of(Prompt(prompt=prompt)).sentences == asked


def test_a_prompt_without_checks_is_judged_by_its_words():
    prompt = Prompt(prompt="Why is the sea salty?")
    good = quality(prompt, "Rivers carry salt from the rocks to the sea, and it stays there.")
    assert good.task == 1
    assert good.total > quality(prompt, OFF_TOPIC).total


def test_unknown_checks_are_refused():
    prompt = Prompt.model_validate({"prompt": "Name two fish.", "checks": {"item": 2}})
    with pytest.raises(UserError, match=r"checks\.item") as raised:
        quality(prompt, "Trout and carp.")
    sentence(raised)


def test_overall_by_hand():
    weights = dict.fromkeys(WEIGHTS, 1.0)
    criteria = dict.fromkeys(WEIGHTS, 1.0) | {"task": 0.5, "tone": 0.0}
    assert overall(criteria, weights) == pytest.approx(0.8125)  # 6.5 of 8
    assert overall(criteria | {"direct": 0.0}, weights) == pytest.approx(0.34375)  # half of 5.5 / 8


@pytest.mark.parametrize(
    ("criterion", "points"),
    [
        ("task", 11.5),
        ("complete", 11.5),
        ("clean", 11),
        ("substance", 11.5),
        ("topic", 10.5),
        ("tone", 11.5),
        ("concise", 11.5),
        ("direct", 6),  # half of 12
    ],
)
def test_what_the_loss_of_one_criterion_leaves_of_13_points(criterion: str, points: float):
    criteria = dict.fromkeys(WEIGHTS, 1.0) | {criterion: 0.0}
    assert overall(criteria, WEIGHTS) == pytest.approx(points / 13)


def test_keywords_are_the_topic_and_no_task():
    checks = {"items": 2, "keywords": ["trout", "carp"]}
    fish = Prompt.model_validate({"prompt": "Name two fish.", "checks": checks})
    named, other = (quality(fish, text) for text in ("Trout and carp.", "Bread and cheese."))
    assert named.task == other.task == 1
    assert (named.topic, other.topic) == (pytest.approx(2 / 3), 0)


def test_sentences_and_items():
    assert len(sentences("Dear Mrs. Hill, hello. How are you?")) == 2
    assert count_items("1. Bread 2. Cheese 3. Ham") == 3
