"""The commands of a store, as they are typed."""

import importlib.util
import subprocess
import sys

from instructgpt.store import Store


def test_an_upgrade_says_what_it_did(cli, tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    result = cli("data", "upgrade", db=url)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "there is no store; check --db" in result.err
    Store.open(url).close()
    result = cli("data", "upgrade", db=url)
    assert (result.status, result.err) == (0, f"{url}: has revision 0005\n")


def test_help_does_without_a_database_and_a_store_names_what_it_needs(monkeypatch, cli):
    program = (
        "import sys; from instructgpt.cli import main\n"
        "try: main(['data', '-h'])\n"
        "finally: print(*sys.modules.keys() & {'sqlalchemy', 'alembic', 'psycopg', 'torch'})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (found.returncode, found.stdout.splitlines()[-1], found.stderr) == (0, "", "")
    for name in [name for name in sys.modules if name.startswith("instructgpt.store")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = cli("data", "upgrade")
    assert result.status == 2
    assert "pip install 'instructgpt[store]'" in result.err
