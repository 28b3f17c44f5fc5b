"""Two hundred people at work in the labelers' app for three minutes; the server is killed in the
middle. Milliseconds of each kind of request, and what is lost or there twice afterwards.

    python -m benchmarks.label_load --json benchmarks/results/label_load.jsonl
    pg_virtualenv python -m benchmarks.label_load --db postgresql --json FILE
"""

import argparse
import json
import os
import platform
import sqlite3
import tempfile
from pathlib import Path

from tests.label.app.load import run

PAUSE = (5.0, 15.0)
"""Seconds that somebody takes over an item."""


def main() -> None:
    """Let people work, and keep what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--db", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = f"sqlite:///{folder}/store.db"
        if given.db == "postgresql":  # inside pg_virtualenv
            place = "{PGUSER}:{PGPASSWORD}@{PGHOST}:{PGPORT}".format(**os.environ)
            db = f"postgresql+psycopg://{place}/postgres"
        result = run(db, given.people, given.seconds, PAUSE, kill=True)
    named = {"people": given.people, "seconds": given.seconds, "engine": given.db}
    named |= {
        "killed": 1,
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    named |= {"sqlite": sqlite3.sqlite_version, "load_average": round(os.getloadavg()[0], 1)}
    print(json.dumps(named | result))
    if given.json:
        with given.json.open("a") as file:
            file.write(json.dumps(named | result) + "\n")


if __name__ == "__main__":
    main()
