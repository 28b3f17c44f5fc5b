"""What the tables are made of: facts and state, keys, references, texts of people."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Number = BigInteger().with_variant(Integer, "sqlite")
Json = JSON(none_as_null=True)


def fact(name: str, *parts: Any, **options: Any) -> Table:
    """A table whose rows are added and never changed."""
    return Table(name, metadata, *parts, info={"kind": "fact"}, **options)


def state(name: str, *parts: Any) -> Table:
    """A table whose rows may change."""
    return Table(name, metadata, *parts, info={"kind": "state"})


def number() -> Column[int]:
    """A row's own number, given by the database."""
    return Column("number", Number, primary_key=True, autoincrement=True)


def key() -> Column[str]:
    """A row's own key: the SHA-256 of what it holds."""
    return Column("key", Text, primary_key=True)


def at() -> Column[str]:
    """When the row was added."""
    return Column("at", Text, nullable=False)


def text(name: str, kind: Any = Json) -> Column[Any]:
    """What a person may have written."""
    return Column(name, kind, info={"text": True})


def to(table: str, name: str = "", *, key: str = "key", optional: bool = False) -> Column[Any]:
    """A reference; its type is that of what it refers to."""
    place = ForeignKey(f"{table}.{key}")
    return Column(name or f"{table}_{key}", place, nullable=optional, index=True)


def of_a_prompt() -> tuple[Column[Any], Column[Any]]:
    """The id that the record has, and the prompt of that id where the store has exactly one."""
    return (
        Column("prompt_id", Text, nullable=False, index=True),
        to("prompts", "prompt_key", optional=True),
    )


def of_an_intake() -> tuple[Column[Any], Column[Any]]:
    """A prompt, and the intake that brought it: together a row's key."""
    return (
        Column("prompt_key", ForeignKey("prompts.key"), primary_key=True),
        Column("run", ForeignKey("intake_runs.number"), primary_key=True),
    )
