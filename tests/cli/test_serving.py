"""`label serve` and `label user add`: what they print, and how they end."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from instructgpt.cli import main
from instructgpt.store import Store
from instructgpt.store.accounts import Role
from tests.label.app.process import Server

LINK = re.compile(r"(http\S+)/invite/([\w-]{43})")


def serve(folder: Path) -> Server:
    """A server on any free port."""
    return Server(f"sqlite:///{folder / 's.db'}", folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_the_first_link_and_stops_in_order(tmp_path: Path, number: signal.Signals):
    server = serve(tmp_path)
    found = LINK.search(server.program.said)
    assert found
    assert found[1] == server.address
    with urllib.request.urlopen(found[0], timeout=20) as page:
        assert "Welcome, <bdi>admin</bdi>" in page.read().decode()
    assert server.end(number) == 0
    assert "stopped; all that was submitted is in the store" in server.program.complained
    assert found[2] not in server.program.complained


def test_the_first_link_is_printed_until_an_admin_has_a_password(tmp_path: Path):
    for _ in range(2):
        server = serve(tmp_path)
        server.end()
        (found,) = LINK.findall(server.program.said)
    with Store.open(f"sqlite:///{tmp_path / 's.db'}") as store:
        assert [(one.name, one.role) for one in store.accounts.people()] == [("admin", Role.ADMIN)]
        store.accounts.accept(found[1], "hash")
    server = serve(tmp_path)
    server.end()
    assert server.program.said == ""


def test_a_taken_port_is_said_with_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["label", "serve", "--db", f"sqlite:///{tmp_path / 's.db'}", "--port", str(port)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == (
        f"instructgpt: --port {port}: another program listens there; stop it, or choose another, "
        f"as in --port {port + 1}\n"
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--host", "0.0.0.0", "--port", "0"], "say with --url under which one people reach it"),
        (["--host", "no such host"], "--host no such host: is no address of this machine"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1 --port 8765"),
        (["--port", "0", "--url", "label.example.org"], "give scheme and host"),
        (["--port", "70000"], "--port 70000: expected 0 to 65535"),
    ],
)
def test_an_address_that_cannot_be_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str
):
    with pytest.raises(SystemExit) as ended:
        main(["label", "serve", "--db", f"sqlite:///{tmp_path / 's.db'}", *flags])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_an_old_store_is_refused_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "s.db"
    Store.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as old:
        old.execute("UPDATE alembic_version SET version_num = '0001'")
    old.close()
    with pytest.raises(SystemExit) as ended:
        main(["label", "serve", "--db", f"sqlite:///{path}", "--port", "0"])
    assert ended.value.code == 2
    assert "data upgrade" in capsys.readouterr().err


def test_somebody_is_invited(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    db = f"sqlite:///{tmp_path / 's.db'}"
    words = ["label", "user", "add", "mia", "--db", db, "--url", "https://label.example.org/"]
    with suppress(SystemExit):
        main([*words, "--role", "researcher"])
    found = LINK.search(capsys.readouterr().out)
    assert found
    assert found[1] == "https://label.example.org"
    with Store.open(db) as store:
        invited = store.accounts.invited(found[2])
        assert invited
        assert (invited.name, invited.role) == ("mia", Role.RESEARCHER)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "the name mia is taken" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(tmp_path: Path):
    code = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'uvicorn' else find(name, *more)\n"
        "from instructgpt.cli import main\n"
        "main(['label', 'serve'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 2
    assert done.stderr == (
        "instructgpt: the labelers' web app needs more; run: pip install 'instructgpt[label]'\n"
    )
