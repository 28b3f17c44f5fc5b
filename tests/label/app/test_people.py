"""The admins' pages: invitations, roles, closed accounts, and the audit."""

import re

import pytest

from tests.label.app.served import HOST, Site


def link_of(text: str) -> str:
    found = re.search(rf'value="({HOST}/invite/[\w-]+)"', text)
    assert found
    return found[1]


def test_an_admin_invites_and_the_link_works_once(site: Site):
    answer = site.client("ada").post("/people", data={"name": "mia", "role": "researcher"})
    assert answer.status_code == 200
    link = link_of(answer.text)
    fields = {"password": "seven green bottles", "again": "seven green bottles"}
    assert "Welcome, <bdi>mia</bdi>" in site.client().get(link).text
    mia = site.client()
    assert mia.post(link, data=fields).headers["location"] == "/work"
    assert mia.get("/queues").status_code == 200
    assert mia.get("/people").status_code == 403
    assert site.client().post(link, data=fields).status_code == 404


@pytest.mark.parametrize(
    ("name", "role", "sentence"),
    [
        ("lena", "labeler", "is taken"),
        ("", "labeler", "is no name"),
        ("a/b", "labeler", "is not shown"),
        ("a\u202eb", "labeler", "is not shown"),
        ("x" * 101, "labeler", "1 to 100"),
        ("mia", "boss", "labeler, researcher, admin"),
    ],
)
def test_what_is_wrong_with_an_account_is_said(site: Site, name: str, role: str, sentence: str):
    answer = site.client("ada").post("/people", data={"name": name, "role": role})
    assert answer.status_code == 422
    assert sentence in answer.text
    assert len(site.store.accounts.people()) == 4


def test_what_is_done_to_an_account_counts_at_once(site: Site):
    ada, lena = site.client("ada"), site.client("lena")

    def do(name: str, **fields: str) -> int:
        return ada.post(f"/people/{name}", data=fields).status_code

    assert lena.get("/queues").status_code == 403
    assert do("lena", action="role", role="researcher") == 303
    assert lena.get("/queues").status_code == 200
    assert do("lena", action="end") == 303
    assert lena.get("/work").status_code == 303
    lena = site.client("lena")
    assert do("lena", action="close") == 303
    assert lena.get("/work").status_code == 303
    assert do("lena", action="open") == 303
    assert do("lena", action="something") == 422
    assert do("nobody", action="end") == 404
    again = ada.post("/people/lena", data={"action": "invite"})
    assert link_of(again.text)
    text = ada.get("/people?done=end&name=lena").text
    assert "lena: The account is logged out everywhere." in text
    assert "Pay here" not in ada.get("/people?done=end&name=Pay+here").text


def test_the_last_admin_stays(site: Site):
    ada = site.client("ada")
    for fields in ({"action": "close"}, {"action": "role", "role": "labeler"}):
        answer = ada.post("/people/ada", data=fields)
        assert answer.status_code == 422
        assert "last admin" in answer.text
    assert ada.get("/people").status_code == 200


def test_the_audit_tells_who_did_what_and_keeps_no_secret(site: Site):
    ada = site.client("ada")
    link = link_of(ada.post("/people", data={"name": "mia", "role": "labeler"}).text)
    for _ in range(101):
        ada.post("/people/mia", data={"action": "end"})
    first = ada.get("/audit").text
    assert first.count("<tr>") == 101  # with its head
    older = re.search(r'href="(/audit\?before=\d+)"', first)
    assert older
    last = ada.get(older[1]).text
    assert "add account" in last
    assert "Older" not in last
    assert link.rpartition("/")[2] not in first + last
    assert "<bdi>ada</bdi>" in first
