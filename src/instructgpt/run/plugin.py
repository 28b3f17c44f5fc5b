"""`module:function`: a user's own code that a setting names, found in the current directory."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from instructgpt.errors import UserError


def load_function(name: str) -> Callable[..., Any]:
    """What `module:function` names: a function, or an object (`module:a.b` goes on into it); of a
    class, an instance made without arguments.

    Raises:
        UserError: there is no such module or function, or importing it fails.
    """
    module, function = _parts(name)
    module_file(name)
    try:
        with _current_directory_first():
            found: Any = import_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"{name}: importing {module} fails ({_said(error)}); mend it") from error
    for part in function.split("."):
        if not hasattr(found, part):
            raise UserError(f"{name}: {module} has no '{function}'; check its spelling")
        found = getattr(found, part)
    return _made(found, name) if isinstance(found, type) else found


def _made(cls: type[Any], name: str) -> Any:
    try:
        return cls()
    except Exception as error:
        raise UserError(
            f"{name}: making a {cls.__name__} fails ({_said(error)}); mend it"
        ) from error


def _said(error: BaseException) -> str:
    """An error on one line."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {said}' if said else ''}"


def module_file(name: str) -> Path | None:
    """The file of the module of `module:function`; None for one that has no file.

    Raises:
        UserError: there is no such module.
    """
    module, _ = _parts(name)
    try:
        with _current_directory_first():
            spec = find_spec(module)
    except Exception:  # of a package that the module lies in, which does not import
        spec = None
    if spec is None:
        raise UserError(
            f"{name}: there is no module '{module}' in {os.getcwd()} or among the installed "
            "packages; check its name, or run the command where its file is"
        )
    return Path(spec.origin) if spec.has_location and spec.origin else None


def _parts(name: str) -> tuple[str, str]:
    module, colon, function = name.partition(":")
    parts = [*module.split("."), *function.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise UserError(
            f"'{name}' names no function; write module:function, such as rewards:brevity for the "
            "function brevity in rewards.py"
        )
    return module, function


@contextmanager
def _current_directory_first() -> Iterator[None]:
    """Modules are looked for here first; and here last from then on, for what they import later."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)
