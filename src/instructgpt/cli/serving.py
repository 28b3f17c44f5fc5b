"""`label serve` and `label user add`: the labelers' web app, and who may use it."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from instructgpt.cli.store import Db
from instructgpt.run.progress import show


def serve(
    *,
    db: Db = None,
    host: Annotated[str, Parameter(help="where it listens")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="of which port; 0 for any that is free")] = 8765,
    url: Annotated[
        str | None,
        Parameter(
            help="under which address people reach it; https://… where a proxy in front speaks TLS "
            "[http://HOST:PORT]"
        ),
    ] = None,
    runs: Annotated[
        Path | None, Parameter(help="the folder whose runs of `sample` can be made queues [runs]")
    ] = None,
) -> None:
    """Serve the web app in which people rank and rate."""
    from instructgpt.label.app.server import serve

    serve(db, host=host, port=port, url=url, runs=runs or Path("runs"))


def add_user(
    name: Annotated[str, Parameter(help="of the account: the labeler's id in every label")],
    *,
    role: Annotated[
        Literal["labeler", "researcher", "admin"],
        Parameter(help="labelers rank, researchers make queues and see all, admins invite"),
    ] = "labeler",
    db: Db = None,
    url: Annotated[
        str, Parameter(help="the address of the app, with which the invitation begins")
    ] = "http://127.0.0.1:8765",
) -> None:
    """Make an account, and print the link by which its owner sets a password."""
    from instructgpt.label.app.security import Address
    from instructgpt.store import Store
    from instructgpt.store.accounts import Role

    address = Address.of(url, "", 0)
    with Store.open(db) as store:
        token = store.accounts.add(name.strip(), Role(role), by="label user add")
    show(address.invitation(token))
