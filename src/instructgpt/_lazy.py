"""Names imported on first use: pure functions and `-h` do not wait for transformers."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A module's `__getattr__`, which finds each name in its home module, and its `__dir__`, which
    lists the names before they are imported (`ig.<TAB>`).

    Args:
        package: the package whose `__init__` this serves.
        homes: name → module under the package, or beside it with a dot in front; an empty home
            means that the name is itself a subpackage.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        if not homes[name]:
            return import_module(f"{package}.{name}")
        return getattr(import_module(f".{homes[name]}", package), name)

    def names() -> list[str]:
        return sorted(homes)

    return find, names
