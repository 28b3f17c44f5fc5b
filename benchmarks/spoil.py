"""Spoils files: what editors, other tools, crashes and jokers leave, drawn from a seed."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

DEEP = 3000
"""Levels of lists in each other: more than Python's parsers go down."""


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


JUNK: tuple[Callable[[Random], Any], ...] = (
    lambda _: None,
    lambda random: random.choice([True, False]),
    lambda random: random.choice([0, 1, -1, 3, 2**31, -(2**63), 2**64, 10**30]),
    lambda random: random.choice([0.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")]),
    lambda random: random.choice(["", " ", "x", "null", "true", "1e5", "a" * 300, "a\nb", "日本"]),
    lambda random: random.choice(["\x1b[31mred\x1b[0m", "\u202egnp.exe", "a\0b", "\ud800", "\r"]),
    lambda random: random.choice([[], {}, [[]], [None], {"": ""}, {"a": {"b": [1]}}, ["x", 1]]),
    lambda random: [random.choice([0, "x"])] * random.choice([1, 3, 2000]),
    lambda random: _deep(random.choice([5, 90, 150])),
    lambda random: random.choice(["../../etc", "/dev/null", ".", "~", "n" * 256, "a/b", "-x"]),
)


def junk(random: Random) -> Any:
    """A value of any shape."""
    return random.choice(JUNK)(random)


def spoiled(value: Any, random: Random) -> Any:
    """A JSON value with one to three of its places changed."""
    root = [json.loads(json.dumps(value))]
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        parent, key = random.choice(_places(root))
        change = random.random()
        if change < 0.7 or parent is root:
            parent[key] = junk(random)
        elif change < 0.85:
            del parent[key]
        elif isinstance(parent, dict):
            parent[str(junk(random))[:400]] = parent.pop(key)
        else:
            parent.insert(key, parent[key])
    return root[0]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every list or object in a value, with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += _places(value[key])
    return found


def broken(content: bytes, random: Random) -> bytes:
    """The bytes of a file, no longer those of a text that any program wrote."""
    cut = random.randrange(len(content) + 1)
    ways: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: b" \n\t\n",
        lambda: content[:cut],
        lambda: content[:cut] + random.randbytes(random.choice([1, 4, 64])) + content[cut:],
        lambda: content[:cut] + b"\0" * random.choice([1, 512]),
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.decode("utf-8", "replace").encode(random.choice(["utf-16", "utf-32-le"])),
        lambda: content.replace(b"\n", b"\r\n"),
        lambda: content.replace(b'"', b"'"),
        lambda: random.choice([b"[", b'{"a":', b"- ", b"{", b"a: ["]) * DEEP,
        lambda: b"[" * 90 + b"1" + b"]" * 90,
        lambda: b"9" * random.choice([400, 5000]),
        lambda: random.choice([b"NaN", b"null", b"3", b'"text"', b"[]", b"{}", b"true"]),
        lambda: content + content,
        lambda: random.randbytes(200),
    ]
    return random.choice(ways)()


def spoiled_json(content: bytes, random: Random) -> bytes:
    """A JSON file, spoiled in its values or in its bytes."""
    if random.random() < 0.25:
        return broken(content, random)
    return json.dumps(spoiled(json.loads(content), random)).encode()


def spoiled_lines(content: bytes, random: Random) -> bytes:
    """JSON Lines, one of them spoiled."""
    if random.random() < 0.15:
        return broken(content, random)
    lines = content.splitlines()
    number = random.randrange(len(lines))
    lines[number] = spoiled_json(lines[number], random)
    return b"\n".join(lines) + random.choice([b"\n", b""])


BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
YAML = (
    *("a: &a [*a]", "- x", "? [1]\n: 2", "a: 2020-13-45", "a: 0x", "a: !!binary x", "a: !!int x"),
    *("a: !!python/name:os.system", "%TAG", "a: b: c", "\ta: 1", "<<: 3", "a: .inf", "1: 2", BOMB),
    *("a: !!set {b, c}", "a: !!timestamp x", "~: 1", "a: *b", "a: 1\na: 2", "[1]: 2", "a: 1:60:99"),
)


def spoiled_yaml(content: bytes, random: Random) -> bytes:
    """A YAML file, given as JSON, spoiled in its values or in its bytes."""
    if random.random() < 0.2:
        return content + b"\n" + random.choice(YAML).encode()
    if random.random() < 0.3:
        return random.choice(YAML).encode()
    return spoiled_json(content, random)
