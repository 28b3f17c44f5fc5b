"""Who may log in: accounts, invitations, sessions. Of tokens the store keeps the SHA-256 alone, of
passwords the hash that it is given.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update

from instructgpt.errors import UserError
from instructgpt.store.audit import note, now
from instructgpt.store.engine import Database
from instructgpt.store.records import add_labelers
from instructgpt.store.tables import accounts, audit, invitations, sessions

INVITED = 7 * 24 * 3600.0
"""Seconds for which an invitation is good."""
LONGEST_NAME = 100


class Role(StrEnum):
    """What an account may do."""

    LABELER = "labeler"
    RESEARCHER = "researcher"
    ADMIN = "admin"


@dataclass(frozen=True)
class Person:
    """An account; its name is the labeler's id."""

    name: str
    role: Role
    active: bool
    has_password: bool
    preferences: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """Who is logged in, and until when (seconds since 1970)."""

    person: Person
    expires: float


class AuditRow(NamedTuple):
    """Who did what, and when."""

    number: int
    who: str
    what: str
    detail: Any
    at: str


class Accounts:
    """The accounts of a store; each call is a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, role: Role, *, by: str) -> str:
        """Make an account; a token that invites its person, once and for a week.

        Raises:
            UserError: the name is taken, or none.
        """
        if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME:
            raise UserError(f"{name!r:.120}: is no name; give 1 to {LONGEST_NAME} letters")
        if not name.isprintable() or "/" in name:
            raise UserError(f"{name!r:.120}: has / or what is not shown; give another name")
        with self._database.writing() as connection:
            if _row(connection, name):
                raise UserError(f"the name {name} is taken; choose another")
            add_labelers(connection, [name])
            values = {"name": name, "role": role.value, "active": True, "at": now()}
            connection.execute(insert(accounts).values(values))
            note(connection, "add account", by=by, account=name, role=role.value)
            return _invite(connection, name)

    def invite(self, name: str, *, by: str) -> str:
        """A new token for an account, as for a forgotten password; older ones are void.

        Raises:
            UserError: there is no such account.
        """
        with self._database.writing() as connection:
            _known(connection, name)
            note(connection, "invite", by=by, account=name)
            return _invite(connection, name)

    def invited(self, token: str) -> Person | None:
        """Whom a token invites; None if it is unknown, used or too old."""
        with self._database.reading() as connection:
            return _holder(connection, invitations, token)

    def accept(self, token: str, password_hash: str) -> Person:
        """Set the password of whom a token invites; the token is used up, and older sessions end.

        Raises:
            UserError: the token invites nobody.
        """
        with self._database.writing() as connection:
            person = _holder(connection, invitations, token)
            if person is None or not _use_up(connection, token):
                raise UserError("the invitation was used or is too old; ask for a new one")
            _drop(connection, person.name, invitations, sessions)
            own = accounts.c.name == person.name
            connection.execute(update(accounts).where(own).values(password=password_hash))
            note(connection, "accept invitation", by=person.name)
            return _known(connection, person.name)

    def enter(self, token: str) -> Person | None:
        """Whom a token invites, who comes in without a password; the token is used up."""
        with self._database.writing() as connection:
            person = _holder(connection, invitations, token)
            if person is None or not _use_up(connection, token):
                return None
            _drop(connection, person.name, invitations)
            note(connection, "enter by link", by=person.name)
            return person

    def find(self, name: str) -> Person | None:
        """An account."""
        with self._database.reading() as connection:
            row = _row(connection, name)
            return _person(row) if row else None

    def password_hash(self, name: str) -> str | None:
        """The hash of an active account's password; None where there is none."""
        with self._database.reading() as connection:
            row = _row(connection, name)
            return row.password if row and row.active else None

    def people(self) -> list[Person]:
        """All accounts, by name."""
        with self._database.reading() as connection:
            return [
                _person(row)
                for row in connection.execute(select(accounts).order_by(accounts.c.name))
            ]

    def change(
        self, name: str, *, by: str, role: Role | None = None, active: bool | None = None
    ) -> Person:
        """Give an account another role, or close or open it; a closed one is logged out.

        Raises:
            UserError: there is no such account, or it is the last open admin's.
        """
        given = {"role": role and role.value, "active": active}
        values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        with self._database.writing() as connection:
            connection.execute(select(accounts.c.name).with_for_update()).all()
            was = _known(connection, name)
            if values:
                own = accounts.c.name == name
                connection.execute(update(accounts).where(own).values(values))
                note(connection, "change account", by=by, account=name, **values)
            if active is False:
                _drop(connection, name, invitations, sessions)
            admins = (accounts.c.role == Role.ADMIN.value, accounts.c.active.is_(True))
            left = connection.scalar(select(func.count()).where(*admins))
            if was.role is Role.ADMIN and was.active and not left:
                raise UserError(f"{name} is the last admin; make another one first")
            return _known(connection, name)

    def prefer(self, name: str, **preferences: Any) -> Person:
        """Keep what a person prefers, beside what was kept."""
        with self._database.writing() as connection:
            merged = {**_known(connection, name).preferences, **preferences}
            own = accounts.c.name == name
            connection.execute(update(accounts).where(own).values(preferences=merged))
            return _known(connection, name)

    def open_session(self, name: str, seconds: float) -> str:
        """Log somebody in for so long; the session's token."""
        token = secrets.token_urlsafe(32)
        with self._database.writing() as connection:
            over = sessions.c.expires <= time.time()
            connection.execute(delete(sessions).where(over))
            _add(connection, sessions, token, name, seconds)
        return token

    def session(self, token: str) -> Session | None:
        """Whose session a token is; None if it is unknown, over, ended, or its account closed."""
        with self._database.reading() as connection:
            row = _row_of_token(connection, sessions, token)
        return Session(_person(row), row.expires) if row else None

    def close_session(self, token: str) -> None:
        """Log a session out."""
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == _digest(token)))

    def end_sessions(self, name: str, *, by: str) -> None:
        """Log an account out everywhere."""
        with self._database.writing() as connection:
            _drop(connection, name, sessions)
            note(connection, "end sessions", by=by, account=name)

    def audit(self, limit: int = 200, before: int | None = None) -> list[AuditRow]:
        """What was done, the latest first; `before` the row of that number."""
        query = select(audit).order_by(audit.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            query = query.where(audit.c.number < before) if before is not None else query
            return [
                AuditRow(row.number, row.who or "", row.what, row.detail, row.at)
                for row in connection.execute(query)
            ]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(accounts).where(accounts.c.name == name)).one_or_none()


def _person(row: Row[Any]) -> Person:
    return Person(row.name, Role(row.role), row.active, bool(row.password), row.preferences or {})


def _known(connection: Connection, name: str) -> Person:
    row = _row(connection, name)
    if row is None:
        raise UserError(f"there is no account {name}; make it first")
    return _person(row)


def _invite(connection: Connection, name: str) -> str:
    token = secrets.token_urlsafe(32)
    _drop(connection, name, invitations)
    _add(connection, invitations, token, name, INVITED)
    return token


def _add(connection: Connection, table: Table, token: str, name: str, seconds: float) -> None:
    values = {"digest": _digest(token), "account": name, "expires": time.time() + seconds}
    connection.execute(insert(table).values(**values, at=now()))


def _drop(connection: Connection, name: str, *tables: Table) -> None:
    for table in tables:
        connection.execute(delete(table).where(table.c.account == name))


def _use_up(connection: Connection, token: str) -> bool:
    """Delete an invitation; of two that do so at a time, one has deleted it."""
    own = invitations.c.digest == _digest(token)
    return connection.execute(delete(invitations).where(own)).rowcount == 1


def _holder(connection: Connection, table: Table, token: str) -> Person | None:
    """Whose token it is, if it is still good and the account open."""
    row = _row_of_token(connection, table, token)
    return _person(row) if row else None


def _row_of_token(connection: Connection, table: Table, token: str) -> Row[Any] | None:
    """The account, and until when the token is good."""
    query = (
        select(accounts, table.c.expires)
        .join(table, table.c.account == accounts.c.name)
        .where(table.c.digest == _digest(token), table.c.expires > time.time())
    )
    row = connection.execute(query).one_or_none()
    return row if row and row.active else None
