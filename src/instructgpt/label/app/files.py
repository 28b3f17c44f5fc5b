"""The app's own files that browsers ask for."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def static(request: Request) -> Response:
    """A file; browsers keep it, and ask each time whether it is still the same."""
    found = files().get(request.path_params["file"])
    if found is None:
        raise HTTPException(404)
    content, kind, digest = found
    headers = {"ETag": digest, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == digest:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@cache
def files() -> dict[str, tuple[bytes, str, str]]:
    """By name, each with its type and its digest; read now, as templates are."""
    found = {}
    for path in sorted((Path(__file__).parent / "static").iterdir()):
        content = path.read_bytes()
        digest = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        found[path.name] = (content, TYPES[path.suffix], digest)
    return found
