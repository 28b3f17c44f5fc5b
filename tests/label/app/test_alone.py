"""One person ranks in a browser for a program that waits: `rank.by: web`."""

import json
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from instructgpt.errors import UserError
from instructgpt.label.app.alone import ALONE, QUEUE, Alone, Ending, rank_in_browser
from instructgpt.label.app.server import make_app, server_of
from instructgpt.pipeline.config import RankConfig
from instructgpt.pipeline.rank import look
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from instructgpt.store.desk import Asked
from tests.files import sentence, write_rows
from tests.label.app.served import HOST, SCRIPT, Site, candidates
from tests.preloaded import Program

NEED_NO_SESSION = {
    "GET /enter/{token}", "GET /login", "POST /login", "GET /static/{file}", "GET /healthz",
}  # fmt: skip
OPEN = {
    "GET /work", "GET /", "POST /work/next", "GET /item/{number:row}", "POST /item/{number:row}",
    "POST /item/{number:row}/draft", "POST /item/{number:row}/skip",
    "POST /item/{number:row}/withdraw", "GET /history", "GET /keys", "POST /preferences",
    "GET /guidelines/{queue:path}/{version:row}", "GET /guidelines/{queue:path}",
}  # fmt: skip
CODE = """
from instructgpt.label.app import alone
from instructgpt.pipeline.config import RankConfig
from instructgpt.pipeline.rank import rank_candidates
alone.GRACE = 0.3
rank_candidates(RankConfig(by="web", data="candidates.jsonl", out="run", prompts=3, port=0))
"""


@pytest.fixture
def site(tmp_path: Path):
    """Somebody alone before three prompts, and Lars, who has an item of his own."""
    with Site(tmp_path) as made:
        made.store.desk.make_queue(QUEUE, candidates(3), overlap=1, ratings=Asked.NONE, by="you")
        for name in ("you", "lars"):
            made.store.accounts.add(name, Role.LABELER, by="you")
        alone = Alone(made.store, "you", 3)
        made.app = make_app(made.store, made.address, tmp_path, rules=ALONE, alone=alone)
        yield made


def test_nobody_comes_in_without_the_link(site: Site):
    assert {f"{rule.method} {rule.path}" for rule in ALONE} == NEED_NO_SESSION | OPEN
    client = site.client()
    for rule in ALONE:
        key = f"{rule.method} {rule.path}"
        path = re.sub(r"\{\w+(:\w+)?\}", "1", rule.path)
        answer = client.request(rule.method, path, headers=SCRIPT)
        expected = {"GET /enter/{token}": 404, "GET /healthz": 200, "GET /static/{file}": 404}
        assert answer.status_code == expected.get(key, 401), key
    assert "prints a new link" in client.get("/login").text
    assert "prints a new link" in client.get("/enter/x").text


def test_the_link_is_good_once_and_others_items_are_not_there(site: Site):
    theirs = site.store.desk.next("lars")
    link = site.app.state.alone.link(site.address).removeprefix(HOST)
    client = site.client()
    assert client.head(link).status_code == 405
    assert client.get(link).headers["location"] == "/work"
    assert "0 of 3 prompts are done" in client.get("/work").text
    assert site.client().get(link).status_code == 404
    assert client.get(link).headers["location"] == "/work"
    assert client.get(f"/item/{theirs.number}").status_code == 404
    for path in ("/queues", "/people", "/audit", "/invite/x", "/logout"):
        assert client.get(path).status_code in (404, 405), path


def test_an_ended_session_says_how_to_come_back_and_keeps_what_was_typed(site: Site):
    client = site.client("you")
    client.post("/work/next")
    path = "/item/1"
    shown = client.get(path).text
    assert "What to do" in shown
    assert "password" not in shown
    site.store.accounts.end_sessions("you", by="you")
    form = {"key": "k", "order": "b a c d"}
    answer = client.post(path, data=form)
    assert answer.status_code == 401
    assert "prints a new link" in answer.text
    assert 'name="order" value="b a c d"' in answer.text
    assert "password" not in answer.text
    assert "prints a new link" in client.post(path, data=form, headers=SCRIPT).json()["error"]
    assert "prints a new link" in client.post("/work/next").text
    client.get(site.app.state.alone.link(site.address).removeprefix(HOST))
    assert client.post(path, data=form).status_code == 303


def test_whatever_leaves_nothing_to_rank_is_noticed(site: Site):
    told = []
    site.app.state.alone.changed = lambda: told.append(site.app.state.alone.is_over())
    client = site.client("you")
    client.post("/preferences", data={"hide_sensitive": "1"})
    client.post("/work/next")
    client.post("/item/1/skip", data={"reason": "other"})
    assert told == [False] * 3


def test_what_is_taken_back_is_left_again_and_what_is_hidden_is_not(site: Site):
    alone = site.app.state.alone
    client = site.client("you")
    for _ in range(3):
        client.post("/work/next")
        (number,) = (one.number for one in [site.store.desk.next("you")])
        client.post(f"/item/{number}", data={"key": "k", "order": "a b c d"})
    assert alone.is_over()
    assert "All is ranked" in client.get("/work").text
    client.post(f"/item/{number}/withdraw")
    assert not alone.is_over()
    assert alone.settled == 2
    assert "2 of 3 prompts are done" in client.get("/work").text
    with Store.open(f"sqlite:///{site.store.database.path}.2") as other:
        batch = [one.model_copy(update={"sensitive": True}) for one in candidates(2)]
        other.desk.make_queue(QUEUE, batch, overlap=1, by="you")
        other.accounts.add("you", Role.LABELER, by="you")
        assert not Alone(other, "you", 2).is_over()
        other.accounts.prefer("you", hide_sensitive=True)
        assert Alone(other, "you", 2).is_over()


def test_where_all_is_skipped_nobody_reads_that_it_was_ranked(site: Site):
    client = site.client("you")
    for number in (1, 2, 3):
        client.post("/work/next")
        client.post(f"/item/{number}/skip", data={"reason": "other"})
    shown = client.get("/work").text
    assert "Nothing was ranked" in shown
    assert "All is ranked" not in shown


def test_the_end_never_takes_a_stop_back(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("instructgpt.label.app.alone.GRACE", 0.01)
    alone, server = site.app.state.alone, server_of(site.app)
    ending, is_over = Ending(alone, server), [True, False, True]
    monkeypatch.setattr(alone, "is_over", lambda: is_over.pop())
    ending.look()
    time.sleep(0.05)
    assert server.should_exit
    ending.look()  # taken back while a signal stops the server
    time.sleep(0.05)
    assert server.should_exit
    assert not ending.over.is_set()


class Browser:
    """Somebody at the address that a program prints, with the cookies of before."""

    def __init__(self, folder: Path) -> None:
        self.client = httpx.Client(trust_env=False)
        self.program = Program(["-c", CODE], folder=folder)
        self.link = self.wait_for(lambda: re.search(r"http://\S+/enter/\S+", self.program.said))[0]
        self.address = self.link.partition("/enter/")[0]

    def wait_for(self, found: Callable[[], re.Match | None]) -> re.Match:
        for _ in range(600):
            if match := found():
                return match
            assert self.program.poll() is None, self.program.complained
            time.sleep(0.05)
        raise AssertionError(self.program.complained)

    def end(self) -> int:
        """Waits for the program; its exit code."""
        self.client.close()
        return self.program.wait(30)

    def ask(self, method: str, path: str, **form: str) -> httpx.Response:
        more = {"headers": {"Origin": self.address}, "follow_redirects": True}
        return self.client.request(method, self.address + path, data=form or None, **more)

    def rank(self, order: str) -> httpx.Response:
        page = self.ask("POST", "/work/next")
        key = re.search(r'name="key" value="([\w-]+)"', page.text)[1]
        return self.ask("POST", page.url.path, key=key, order=order)


def test_the_program_goes_on_by_itself_also_after_ctrl_c(tmp_path: Path):
    rows = [one.model_dump() | {"split": "train"} for one in candidates(5, k=3)]
    write_rows(tmp_path / "candidates.jsonl", rows)
    one = Browser(tmp_path)
    assert "0 of 3 prompts are done" in one.client.get(one.link, follow_redirects=True).text
    assert "Item 2 of 3" in one.rank("c b=a").text
    assert (tmp_path / "run" / "own.jsonl").read_text().count("\n") == 1
    one.program.send_signal(signal.SIGINT)
    assert one.end() != 0
    assert (tmp_path / "run" / "own.jsonl").read_text().count("\n") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"

    two = Browser(tmp_path)
    assert "2 of 3 prompts wait for you" in two.program.complained
    two.client.get(two.link)
    two.rank("a b c")
    number = two.ask("POST", "/work/next").url.path
    last = two.ask("POST", f"{number}/skip", reason="cannot judge")
    assert "All is ranked" in last.text
    assert two.end() == 0, two.program.complained
    lines = (tmp_path / "run" / "rankings.jsonl").read_text().splitlines()
    ranked = [json.loads(line) for line in lines]
    assert [row["labeler_id"] for row in ranked] == ["you", "you"]
    assert [sorted(row["ranks"]) for row in ranked] == [[1, 2, 2], [1, 2, 3]]
    shown = [[row["ranks"][place] for place in row["shown_order"]] for row in ranked]
    assert shown == [[2, 2, 1], [1, 2, 3]]
    assert Program(["-c", CODE], folder=tmp_path).wait(30) == 0  # it is finished


def test_a_taken_port_is_said_before_anything(tmp_path: Path):
    data = write_rows(tmp_path / "candidates.jsonl", [one.model_dump() for one in candidates(1)])
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = RankConfig(by="web", data=data, out=str(tmp_path / "run"), port=port)
        with pytest.raises(UserError, match="another program listens") as raised:
            look(config)
    assert f"--rank.port {port + 1}" in sentence(raised)


def test_a_prompt_with_one_answer_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="sample 2 to 26"):
        rank_in_browser(candidates(1, k=1), tmp_path, labeler_id="you", port=0, stage="rank")
