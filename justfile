# Recipes for developers; `just` alone lists them.

default:
    @just --list

# make .venv-test and run everything CI runs
test *ARGS:
    bash scripts/test.sh {{ARGS}}

# make .venv and run the quickstart
demo:
    bash scripts/quickstart.sh

fmt:
    .venv-test/bin/ruff format .
    .venv-test/bin/ruff check --fix .

lint:
    .venv-test/bin/ruff check .
    .venv-test/bin/lint-imports

types:
    .venv-test/bin/basedpyright --level error

# pin every dependency again (needs pip-tools)
lock:
    pip-compile --quiet --strip-extras --no-annotate --no-header --allow-unsafe \
      --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
      --extra report --extra data --extra dev --extra track --extra hub --extra bench --extra eval --extra intake --extra store --extra postgres --extra label \
      -o requirements.lock pyproject.toml
    sed -i -e 's/+cpu//' -e "1i # pip-compile of pyproject.toml with every extra; used as pip's constraints (-c). Regenerate: just lock" requirements.lock
