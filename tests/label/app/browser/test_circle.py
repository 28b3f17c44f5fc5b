"""The whole circle: sampled answers become a queue, two labelers rank them on the app's pages, the
reward model trains on just what they said, and PPO takes a step.
"""

import hashlib
import html
import io
import json
import re
import zipfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser

from instructgpt.pipeline.config import SampleConfig
from instructgpt.pipeline.sample import sample
from tests.label.app.browser.site import PASSWORD, Site
from tests.small_runs import one_backend, run_stage, write_inputs

pytestmark = pytest.mark.slow

Order = tuple[frozenset[str], ...]
"""The texts of each rank, best first."""
HANDS = {"ann": ">", "ben": "="}
"""How each of them ranks: the letters in turn, or the last two tied."""


@pytest.fixture(autouse=True)
def same_backend() -> Iterator[None]:
    with one_backend():
        yield


class Hand:
    """Somebody who uses the app without a browser."""

    def __init__(self, site: Site, name: str) -> None:
        self.name, self.client = name, httpx.Client(base_url=site.address, trust_env=False)
        self.client.headers["Origin"] = site.address
        self.client.follow_redirects = True
        self.post("/login", name=name, password=PASSWORD)

    def post(self, path: str, **form: str) -> httpx.Response:
        answer = self.client.post(path, data=form)
        assert answer.status_code == 200, answer.text
        return answer

    def rank(self) -> Iterator[tuple[str, Order]]:
        """Rank all there is: each prompt, and what was said of it."""
        page = self.post("/work/next")
        while page.url.path.startswith("/item/"):
            line, said = to_say(page.text, HANDS[self.name])
            (key,) = re.findall(r'name="key" value="([\w-]+)"', page.text)
            yield prompt_on(page.text), said
            page = self.post(page.url.path, key=key, order=line)


def to_say(page: str, sign: str) -> tuple[str, Order]:
    """An order line for the answers of a page, and the texts that it ranks."""
    found = re.findall(r'data-letter="(\w)" data-excerpt="([^"]*)"', page)
    letters = [letter for letter, _ in found][::-1]
    texts = {letter: html.unescape(text).replace("(empty)", "") for letter, text in found}
    *first, last = letters
    line = ">".join(first) + (sign + last if first else last)
    return line, tuple(
        frozenset(texts[letter] for letter in rank.split("=")) for rank in line.split(">")
    )


def prompt_on(page: str) -> str:
    (said,) = re.findall(r'aria-label="Prompt".*?dir="auto">(.*?)</div>', page, re.DOTALL)
    return re.sub("<[^>]*>", "", said).strip()


def said_of(row: dict) -> Order:
    """What a ranking says."""
    ranked = sorted(zip(row["ranks"], row["responses"], strict=True), key=lambda pair: pair[0])
    return tuple(
        frozenset(answer["text"] for _, answer in own)
        for _, own in groupby(ranked, key=lambda pair: pair[0])
    )


def test_from_sampled_answers_over_two_labelers_to_a_policy(tmp_path: Path, browser: Browser):
    settings = write_inputs(tmp_path)
    sampled = {"model": settings["ppo"]["model"], "data": settings["ppo"]["data"], "k": 3}
    sample(SampleConfig(**sampled, response_length=6, out=str(tmp_path / "runs" / "answers")))
    clicked: dict[tuple[str, str], Order] = {}
    with Site(tmp_path) as site:
        rae = Hand(site, "rae")
        form = {"overlap": "2", "priority": "0", "ratings": "none", "guidelines": "", "k": ""}
        rae.post("/queues", name="answers", run="answers", **form)

        page = browser.new_context(base_url=site.address).new_page()  # one of ann's, by mouse
        site.log_in(page, "ann")
        page.get_by_role("button", name="Start, or go on").click()
        page.wait_for_url("**/item/*")
        shown = page.request.get(page.url).text()
        line, clicked["ann", prompt_on(shown)] = to_say(shown, HANDS["ann"])
        for rank, letter in enumerate(line.split(">"), 1):
            page.locator(f".chip[data-letter='{letter}']").click()
            page.locator(f"[data-rank='{rank}']").click()
        page.locator("#submit").click()
        page.wait_for_url("**/item/*?after=*")
        page.context.close()
        for name in HANDS:
            hand = Hand(site, name)
            clicked |= {(name, prompt): said for prompt, said in hand.rank()}
            hand.client.close()
        archive = zipfile.ZipFile(io.BytesIO(rae.post("/queues/answers/export").content))
        rae.client.close()
    archive.extractall(tmp_path / "snapshots")

    file = tmp_path / "snapshots" / "answers" / "rankings.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == len(clicked) == 10  # five prompts, twice
    assert {(row["labeler_id"], row["prompt"]): said_of(row) for row in rows} == clicked

    given = {**settings["reward"], "data": str(file), "epochs": 1}
    rewarded = run_stage("reward", given, tmp_path / "reward")
    (read,) = [one for one in rewarded.info["inputs"] if one["key"] == "data"]
    assert read["digest"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert rewarded.info["status"] == "done"
    given = {**settings["ppo"], "reward_model": str(rewarded.dir / "model"), "total_episodes": 8}
    assert run_stage("ppo", given, tmp_path / "ppo").info["status"] == "done"
