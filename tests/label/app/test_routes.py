"""Every route, by everybody: who gets through, who is asked to log in, who is turned away."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import FileSystemLoader
from starlette.routing import Route

from instructgpt.label.app.guard import Guard
from instructgpt.label.app.routes import RULES
from tests.label.app.served import SCRIPT, Site

ALL, UP, TOP = {"lena", "rosa", "ada"}, {"rosa", "ada"}, {"ada"}
ANYBODY = {None, *ALL}
MAY = {
    "GET /": ALL,
    "GET /login": ANYBODY,
    "POST /login": ANYBODY,
    "POST /logout": ALL,
    "GET /invite/{token}": ANYBODY,
    "POST /invite/{token}": ANYBODY,
    "GET /work": ALL,
    "POST /work/next": ALL,
    "GET /item/{number:row}": ALL,
    "POST /item/{number:row}": ALL,
    "POST /item/{number:row}/draft": ALL,
    "POST /item/{number:row}/skip": ALL,
    "POST /item/{number:row}/withdraw": ALL,
    "GET /history": ALL,
    "GET /guidelines/{queue:path}/{version:row}": ALL,
    "GET /guidelines/{queue:path}": ALL,
    "GET /keys": ALL,
    "POST /preferences": ALL,
    "GET /queues": UP,
    "POST /queues": UP,
    "GET /queues/{queue:path}/items/{task:row}": UP,
    "POST /queues/{queue:path}/export": UP,
    "GET /queues/{queue:path}": UP,
    "POST /queues/{queue:path}": UP,
    "GET /people": TOP,
    "POST /people": TOP,
    "POST /people/{name}": TOP,
    "GET /audit": TOP,
    "GET /static/{file}": ANYBODY,
    "GET /healthz": ANYBODY,
}
"""Who may use which route, written by hand; lena stands for all labelers."""
OWN = {key for key in MAY if "/item/{number" in key}
FORMS = {
    "POST /login": {"name": "lena", "password": "not her password"},
    "POST /queues/{queue:path}": {"action": "guidelines", "guidelines": "New."},
    "POST /people/{name}": {"action": "end"},
    "POST /item/{number:row}/skip": {"reason": "other"},
}
LAST = ["POST /logout"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")).with_people().with_queue(count=9) as made:
        yield made


def in_hand(site: Site, name: str) -> int:
    found = site.store.desk.next(name)
    assert found
    return found.number


def path_of(key: str, **names: object) -> str:
    known = {"token": "x", "queue": "first", "version": 1, "task": 1, "name": "lars"}
    known |= {"file": "app.css"} | names
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: str(known[found[1]]), key.partition(" ")[2])


def test_every_route_has_a_rule_and_every_rule_is_known():
    assert [f"{rule.method} {rule.path}" for rule in RULES] == list(dict.fromkeys(MAY))


def test_no_way_into_the_app_is_without_a_guard(site: Site):
    for route in site.app.routes:
        assert isinstance(route, Route)
        assert isinstance(route.endpoint, Guard)
        assert {route.endpoint.rule.method} == (route.methods or set()) - {"HEAD"}


@pytest.mark.parametrize("name", [None, "lena", "rosa", "ada"])
@pytest.mark.parametrize("key", [*(key for key in MAY if key not in LAST), *LAST])
def test_everybody_at_every_route(site: Site, key: str, name: str | None):
    client = site.client(name)
    number = in_hand(site, name) if key in OWN and name else 1
    method, path = key.partition(" ")[0], path_of(key, number=number)
    answer = client.request(method, path, data=FORMS.get(key))
    if name in MAY[key]:
        is_let_in = answer.status_code in (200, 303, 404, 422) or path == "/login"
        assert is_let_in, answer.text
        assert not answer.headers.get("location", "").startswith("/login?next"), path
        if answer.status_code == 404:
            assert "{token}" in key
    elif name is None:
        asked = client.request(method, path, data=FORMS.get(key), headers=SCRIPT)
        assert asked.status_code == 401
        assert asked.json()["error"]
        if method == "GET":
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login?next=%2F")
        else:
            assert answer.status_code == 401
            assert 'action="/login"' in answer.text
    else:
        assert answer.status_code == 403
        assert client.request(method, path, headers=SCRIPT).status_code == 403


@pytest.mark.parametrize("name", ["lena", "rosa", "ada"])
@pytest.mark.parametrize("key", sorted(OWN))
def test_an_item_of_another_is_as_if_it_were_not_there(site: Site, key: str, name: str):
    number = in_hand(site, "lars")
    client, method = site.client(name), key.partition(" ")[0]
    theirs = client.request(method, path_of(key, number=number), headers=SCRIPT)
    nobodys = client.request(method, path_of(key, number=999_999), headers=SCRIPT)
    assert (theirs.status_code, theirs.json()) == (404, nobodys.json())
    assert site.store.desk.item(number).state == "open"


@pytest.mark.parametrize("path", ["/nix", "/work/", "/static/../pages.py", "/item/x", "/item/1/2"])
def test_what_is_no_route_is_a_page_that_says_so(site: Site, path: str):
    answer = site.client("ada").get(path)
    assert answer.status_code == 404
    assert "This did not work" in answer.text
    assert "Check it, or go on from your work." in answer.text
    answer = site.client("ada").post("/healthz")
    assert answer.status_code == 405
    assert "load the page again" in answer.text


def test_a_server_shows_its_own_pages_whatever_is_installed_meanwhile(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    def changed(*_: object) -> None:
        raise AssertionError("a template or a file is read again")

    monkeypatch.setattr(FileSystemLoader, "get_source", changed)
    monkeypatch.setattr(Path, "read_bytes", changed)
    client = site.client("ada")
    for path in ("/work", "/people", "/queues", "/static/app.css"):
        assert client.get(path).status_code == 200
