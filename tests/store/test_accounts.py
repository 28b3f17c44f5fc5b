"""Accounts: invitations that work once, sessions that end, and one admin who always stays."""

import hashlib

import pytest
from sqlalchemy import select

from instructgpt.errors import UserError
from instructgpt.store import tables
from instructgpt.store.accounts import Role
from tests.files import sentence
from tests.store.test_store import rows


@pytest.fixture
def clock(monkeypatch):
    """The time, which a test moves."""
    now = [1_000_000.0]
    monkeypatch.setattr("instructgpt.store.accounts.time.time", lambda: now[0])
    return now


def test_an_invitation_is_good_once(store):
    token = store.accounts.add("ann", Role.ADMIN, by="shell")
    assert store.accounts.password_hash("ann") is None
    invited = store.accounts.invited(token)
    assert (invited.name, invited.role, invited.has_password) == ("ann", Role.ADMIN, False)
    assert store.accounts.accept(token, "hash of it").has_password
    assert store.accounts.password_hash("ann") == "hash of it"
    assert store.accounts.invited(token) is None
    with pytest.raises(UserError, match="ask for a new one") as raised:
        store.accounts.accept(token, "another")
    sentence(raised)
    assert store.accounts.password_hash("ann") == "hash of it"


def test_of_two_that_come_with_one_token_at_a_time_one_gets_in(store, monkeypatch):
    token = store.accounts.add("ann", Role.ADMIN, by="shell")
    both_read = store.accounts.invited(token)
    monkeypatch.setattr("instructgpt.store.accounts._holder", lambda *_: both_read)
    assert store.accounts.enter(token).name == "ann"
    assert store.accounts.enter(token) is None
    with pytest.raises(UserError, match="ask for a new one"):
        store.accounts.accept(token, "hash")


def test_an_invitation_is_good_for_a_week_and_until_the_next(store, clock):
    old = store.accounts.add("ann", Role.LABELER, by="shell")
    new = store.accounts.invite("ann", by="root")
    assert store.accounts.invited(old) is None
    clock[0] += 7 * 24 * 3600 - 1
    assert store.accounts.invited(new)
    clock[0] += 1
    assert store.accounts.invited(new) is None


def test_no_token_stands_in_the_store(store):
    invitation = store.accounts.add("ann", Role.LABELER, by="shell")
    session = store.accounts.open_session("ann", 60)
    for table, token in ((tables.invitations, invitation), (tables.sessions, session)):
        (row,) = rows(store, table)
        assert row["digest"] == hashlib.sha256(token.encode()).hexdigest()
        assert token not in str(dict(row))


def test_a_session_ends_by_time_by_log_out_by_a_new_password_and_with_the_account(store, clock):
    accounts = store.accounts
    accounts.add("root", Role.ADMIN, by="shell")
    accounts.add("ann", Role.LABELER, by="root")
    first, second = (accounts.open_session("ann", 60) for _ in range(2))
    assert accounts.session(first).person.name == "ann"
    assert accounts.session(first).expires == clock[0] + 60
    accounts.close_session(first)
    assert accounts.session(first) is None
    assert accounts.session(second)
    clock[0] += 60
    assert accounts.session(second) is None
    third = accounts.open_session("ann", 60)
    assert len(rows(store, tables.sessions)) == 1  # what is over is swept
    accounts.accept(accounts.invite("ann", by="root"), "new")
    assert accounts.session(third) is None
    fourth = accounts.open_session("ann", 60)
    accounts.change("ann", by="root", active=False)
    assert accounts.session(fourth) is None
    assert accounts.password_hash("ann") is None
    accounts.change("ann", by="root", active=True)
    assert accounts.session(fourth) is None
    fifth = accounts.open_session("ann", 60)
    accounts.end_sessions("ann", by="root")
    assert accounts.session(fifth) is None
    assert accounts.session("\udcff") is None


def test_the_last_admin_stays(store):
    accounts = store.accounts
    for name, role in (("ann", Role.ADMIN), ("bob", Role.ADMIN), ("lea", Role.LABELER)):
        accounts.add(name, role, by="shell")
    accounts.change("lea", by="ann", role=Role.RESEARCHER)
    accounts.change("ann", by="bob", role=Role.LABELER)
    for change in ({"role": Role.RESEARCHER}, {"active": False}):
        with pytest.raises(UserError, match="bob is the last admin") as raised:
            accounts.change("bob", by="bob", **change)
        sentence(raised)
    roles = {person.name: (person.role.value, person.active) for person in accounts.people()}
    assert roles == {
        "ann": ("labeler", True),
        "bob": ("admin", True),
        "lea": ("researcher", True),
    }


def test_what_was_done_is_in_the_audit_without_a_secret(store):
    token = store.accounts.add("ann", Role.ADMIN, by="shell")
    store.accounts.accept(token, "the hash")
    store.accounts.prefer("ann", single_keys=False)
    assert store.accounts.prefer("ann", hide_sensitive=True).preferences == {
        "single_keys": False,
        "hide_sensitive": True,
    }
    found = store.accounts.audit()
    assert [(row.who, row.what) for row in found] == [
        ("ann", "accept invitation"),
        ("shell", "add account"),
    ]
    assert store.accounts.audit(before=found[0].number) == found[1:]
    with store.database.reading() as connection:
        noted = str(connection.execute(select(tables.audit)).all())
    assert token not in noted
    assert "the hash" not in noted


@pytest.mark.parametrize("name", ["", " ann", "a/b", "a\nb", "x" * 101, "taken"])
def test_a_name_that_cannot_be(name, store):
    store.accounts.add("taken", Role.LABELER, by="shell")
    with pytest.raises(UserError, match="name") as raised:
        store.accounts.add(name, Role.LABELER, by="shell")
    sentence(raised)
    assert [person.name for person in store.accounts.people()] == ["taken"]


def test_an_account_that_is_not_there(store):
    assert store.accounts.find("nobody") is None
    assert store.accounts.password_hash("nobody") is None
    for wrong in (
        lambda: store.accounts.invite("nobody", by="root"),
        lambda: store.accounts.change("nobody", by="root", active=True),
        lambda: store.accounts.prefer("nobody", single_keys=True),
    ):
        with pytest.raises(UserError, match="no account nobody") as raised:
            wrong()
        sentence(raised)
