"""What is refused, whoever asks; what is told to browsers; what is not told to anybody."""

import time
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from instructgpt.errors import UserError
from instructgpt.label.app import guard, sessions
from instructgpt.label.app.security import Address, Attempts, limited
from tests.label.app.served import HOST, SCRIPT, Site

PASSWORD = "seven green bottles"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed with little work."""
    monkeypatch.setattr(sessions, "_hasher", PasswordHasher(1, 64, 1))
    sessions._nobodys.cache_clear()


def invite(site: Site, name: str = "lena", password: str = PASSWORD, **more: str) -> Any:
    """Somebody opens the link of an invitation and chooses a password."""
    token = site.store.accounts.invite(name, by="ada")
    fields = {"password": password, "again": password} | more
    return site.client().post(f"/invite/{token}", data=fields)


def log_in(site: Site, name: str = "lena", password: str = PASSWORD, **more: Any) -> Any:
    return site.client().post("/login", data={"name": name, "password": password}, **more)


@pytest.mark.parametrize("path", ["/login", "/nix", "/static/app.css", "/work", "/people"])
def test_every_answer_carries_what_browsers_have_to_know(site: Site, path: str):
    headers = site.client("lena").get(path).headers
    assert headers["content-security-policy"] == CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")


def test_a_file_that_is_still_the_same_is_not_sent_again(site: Site):
    client = site.client()
    first = client.get("/static/app.css")
    again = client.get("/static/app.css", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert first.headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:8766", ""])
def test_another_name_than_its_own_is_refused(site: Site, host: str):
    answer = site.client("ada").get("/people", headers={"Host": host})
    assert answer.status_code == 400
    assert "lena" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": HOST}, 303),
        ({"Origin": HOST, "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": HOST, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": HOST, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": HOST, "Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://127.0.0.1:8766", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "https://127.0.0.1:8765"}, 403),
        ({"Origin": "http://localhost:8765"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({}, 403),
    ],
)
def test_a_change_comes_from_a_page_of_ours(site: Site, headers: dict[str, str], status: int):
    client = site.client("lena")
    del client.headers["Origin"]
    assert client.post("/preferences", headers=headers).status_code == status
    kept = site.store.accounts.find("lena")
    assert kept
    assert bool(kept.preferences) == (status == 303)


@pytest.mark.parametrize("said", [True, False])
def test_what_is_too_long_is_refused_whether_it_says_so_or_not(site: Site, said: bool):
    body: Any = b"a" * (5 * 2**20) if said else (b"a" * 2**20 for _ in range(5))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = site.client("lena").post("/preferences", content=body, headers=form | SCRIPT)
    assert answer.status_code == 413
    assert answer.json()["error"] == "Too much was sent: 2,097,152 bytes are taken."


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"note=%00", "application/x-www-form-urlencoded"),
        (b"note=%ff%fe", "application/x-www-form-urlencoded"),
        ("note=ü".encode(), "application/x-www-form-urlencoded"),
        (b"&".join(b"a=b" for _ in range(501)), "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"--x", "multipart/form-data; boundary=x"),
    ],
)
def test_what_is_no_form_is_said_to_be_none(site: Site, body: bytes, kind: str):
    answer = site.client("lena").post("/preferences", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert not site.store.accounts.find("lena").preferences


def test_an_invitation_is_good_once_and_ends_older_sessions(site: Site):
    before = site.client("lena")
    assert before.get("/work").status_code == 200
    token = site.store.accounts.invite("lena", by="ada")
    first, again = (
        site.client().post(f"/invite/{token}", data={"password": PASSWORD, "again": PASSWORD})
        for _ in range(2)
    )
    assert (first.status_code, first.headers["location"]) == (303, "/work")
    assert again.status_code == 404
    assert "Ask for another" in again.text
    assert before.get("/work").headers["location"] == "/login?next=%2Fwork"
    assert log_in(site).headers["location"] == "/work"


@pytest.mark.parametrize(
    ("password", "more", "sentence"),
    [
        ("short", {}, "12 letters or more"),
        ("x" * 1001, {}, "1,000 at most"),
        (PASSWORD, {"again": "something else"}, "differ"),
        ("aaaabbbbaaaa", {}, "guessed at once"),
    ],
)
def test_a_bad_password_is_said_and_leaves_the_invitation_good(
    site: Site, password: str, more: dict[str, str], sentence: str
):
    answer = invite(site, password=password, **more)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert password not in answer.text
    assert invite(site).status_code == 303


def test_the_cookie_is_for_this_host_and_for_no_script(site: Site):
    said = invite(site).headers["set-cookie"]
    assert said.startswith("session-8765=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(said.split("; "))
    assert "Secure" not in said


def test_behind_tls_the_cookie_is_bound_to_host_and_tls(tmp_path: Path):
    with Site(tmp_path, url="https://label.example.org").with_people() as site:
        said = invite(site).headers["set-cookie"]
        assert said.startswith("__Host-session=")
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Secure"} <= set(said.split("; "))
        assert "Domain" not in said
        client = site.client("lena")
        assert client.get("/work").status_code == 200
        plain = {"Origin": "http://label.example.org"}
        assert client.post("/logout", headers=plain).status_code == 403
        assert client.post("/logout").headers["location"] == "/login"
        assert client.get("/work").status_code == 303


def test_a_session_ends_when_it_is_over_logged_out_or_ended(site: Site):
    def still_in(client: Any) -> bool:
        return client.get("/work", headers=SCRIPT).status_code == 200

    name = sessions.cookie_name(site.address)
    over, out, ended, closed = (site.client("lena") for _ in range(4))
    over.cookies.set(name, site.store.accounts.open_session("lena", 0.05))
    assert all(map(still_in, (out, ended, closed)))
    time.sleep(0.06)
    assert not still_in(over)
    out.post("/logout")
    out.cookies.set(name, ended.cookies[name])
    assert still_in(ended)
    site.store.accounts.end_sessions("lena", by="ada")
    assert not still_in(ended)
    again = site.client("lena")
    assert still_in(again)
    site.store.accounts.change("lena", by="ada", active=False)
    assert not still_in(again)
    invite(site, "lars")
    assert log_in(site, "lena").status_code == 403


def test_a_login_for_a_script_has_the_same_checks(site: Site):
    invite(site)
    assert log_in(site, headers=SCRIPT).json() == {"next": "/work"}
    wrong = log_in(site, password="wrong", headers=SCRIPT)
    assert wrong.status_code == 403
    assert wrong.json() == {"error": "This name and password do not fit."}
    elsewhere = SCRIPT | {"Origin": "https://evil.example"}
    assert log_in(site, headers=elsewhere).status_code == 403


@pytest.mark.parametrize(
    ("asked", "gone_to"),
    [
        ("/item/3?edit=1", "/item/3?edit=1"),
        ("//evil.example", "/work"),
        ("/\\evil.example", "/work"),
        ("https://evil.example", "/work"),
        ("javascript:alert(1)", "/work"),
        ("/a\r\nSet-Cookie: x", "/work"),
        ("", "/work"),
    ],
)
def test_after_the_login_one_goes_to_a_page_of_ours(site: Site, asked: str, gone_to: str):
    invite(site)
    fields = {"name": "lena", "password": PASSWORD, "next": asked}
    assert site.client().post("/login", data=fields).headers["location"] == gone_to


def test_a_form_of_an_item_outlives_the_session(site: Site):
    invite(site.with_queue())
    number = site.store.desk.next("lena").number
    form = {"order": "b > a <i>", "key": "k1"}
    asked = site.client().post(f"/item/{number}", data=form)
    assert asked.status_code == 401
    assert 'name="kept.order" value="b &gt; a &lt;i&gt;"' in asked.text
    fields = {f"kept.{name}": value for name, value in form.items()}
    fields |= {"name": "lena", "password": PASSWORD, "next": f"/item/{number}"}
    again = site.client().post("/login", data=fields)
    assert f'action="/item/{number}"' in again.text
    assert 'name="order" value="b &gt; a &lt;i&gt;"' in again.text
    assert 'name="password"' not in again.text


def test_guessing_is_slowed_down_by_account_and_by_address(site: Site):
    invite(site)
    codes = [log_in(site, password="wrong").status_code for _ in range(11)]
    assert codes == [403] * 10 + [429]
    locked = log_in(site, headers=SCRIPT)
    assert locked.status_code == 429  # also with the right one
    assert 0 < int(locked.headers["retry-after"]) <= 900
    others = [log_in(site, f"nobody{n}").status_code for n in range(51)]
    assert others == [403] * 50 + [429]  # with the ten above, sixty from one address


def test_who_logs_in_is_not_slowed_down(site: Site):
    invite(site)
    for _ in range(15):
        assert [log_in(site, password="wrong").status_code for _ in range(4)] == [403] * 4
        assert log_in(site).status_code == 303
        site.app.state.attempts[1].take_back("testclient", all=True)


def test_attempts_are_forgotten_after_a_while_and_beyond_some_keys():
    attempts = Attempts(2, 0.05, keys=3)
    assert [attempts.try_once("a") for _ in range(2)] == [0, 0]
    assert 0 < attempts.try_once("a") <= 0.05
    time.sleep(0.06)
    assert attempts.try_once("a") == 0
    for name in "bcde":
        attempts.try_once(name)
    assert list(attempts._tried) == ["c", "d", "e"]


def test_an_attempt_that_one_refuses_is_not_counted_by_the_other():
    account, address = Attempts(1, 60), Attempts(9, 60)
    for _ in range(5):
        limited(((account, "lena"), (address, "here")))
    assert len(address._tried["here"]) == 1


def test_an_unknown_name_costs_as_much_as_a_known_one(site: Site, monkeypatch: pytest.MonkeyPatch):
    invite(site)
    verified = []

    class Counting(PasswordHasher):
        def verify(self, hash: Any, password: Any) -> bool:
            verified.append(hash)
            return super().verify(hash, password)

    monkeypatch.setattr(sessions, "_hasher", Counting(1, 64, 1))
    for name in ("lena", "nobody", "lars", "x" * 5000):  # lars has set no password
        answer = log_in(site, name, "wrong")
        assert answer.status_code == 403
    assert len(verified) == 4
    assert len({each.rpartition("$")[0].rpartition("$")[0] for each in verified}) == 1
    assert log_in(site, "lars", "nobody's password").status_code == 403


def test_no_secret_is_in_the_log(site: Site, capsys: pytest.CaptureFixture[str]):
    token = site.store.accounts.invite("lena", by="ada")
    for _ in range(2):
        site.client().post(f"/invite/{token}", data={"password": PASSWORD, "again": PASSWORD})
    site.client().get(f"/invite/{token}/")
    cookie = log_in(site).headers["set-cookie"].partition("=")[2].partition(";")[0]
    log_in(site, password="a wrong password")
    said = "".join(capsys.readouterr())
    assert "POST /invite/{token} 303" in said
    assert "POST /login 403" in said
    for secret in (token, PASSWORD, "a wrong password", cookie):
        assert secret not in said


def test_a_failure_is_told_without_its_words(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(_: Any) -> None:
        raise RuntimeError("the secret " + "words")

    monkeypatch.setattr(guard, "person_of", fail)
    answer = site.client("lena").get("/work")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == CSP
    said = "".join(capsys.readouterr())
    assert "failed: RuntimeError" in said
    assert "test_security.py" in said
    assert "secret words" not in said + answer.text


@pytest.mark.parametrize(
    ("url", "host", "hosts"),
    [
        (None, "127.0.0.1", {"127.0.0.1:80", "localhost:80", "[::1]:80"}),
        (None, "::1", {"127.0.0.1:80", "localhost:80", "[::1]:80"}),
        (None, "10.0.0.7", {"10.0.0.7:80"}),
        ("https://Label.example.org/", "0.0.0.0", {"label.example.org"}),
        ("http://label:8000", "0.0.0.0", {"label:8000"}),
    ],
)
def test_by_which_names_it_may_be_called(url: str | None, host: str, hosts: set[str]):
    assert Address.of(url, host, 80).hosts == hosts


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (None, "0.0.0.0"),
        (None, "::"),
        ("label.example.org", "127.0.0.1"),
        ("ftp://label.example.org", "127.0.0.1"),
        ("https://label.example.org/app", "127.0.0.1"),
        ("https://me@label.example.org", "127.0.0.1"),
        ("https://label.example.org:port", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str | None, host: str):
    with pytest.raises(UserError, match=r"--(url|host)"):
        Address.of(url, host, 80)
