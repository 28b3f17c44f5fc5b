"""The labelers' web app: the one room that knows Starlette, its server, Markdown and passwords.

Who serves it imports it when it is asked for.
"""

from importlib.util import find_spec

from instructgpt.errors import UserError

if not all(map(find_spec, ("argon2", "markdown_it", "python_multipart", "starlette", "uvicorn"))):
    raise UserError("the labelers' web app needs more; run: pip install 'instructgpt[label]'")
