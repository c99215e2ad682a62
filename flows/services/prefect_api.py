"""What commands ask the workspace's Prefect server, without importing Prefect.

Importing Prefect costs a second of CPU time and settles for good which server a process talks to.
Two plain requests to this machine need no HTTP library either, whose import would cost more than
the answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.request import HTTPHandler, ProxyHandler, Request, build_opener

from flows.services.prefect_env import basic_auth
from voxdata.errors import TransientError


def prefect_answers(access: Mapping[str, str], *, timeout_s: float = 3.0) -> bool:
    """Whether the server answers at all.

    Args:
        access: Environment of a client, as `flows.services.start.prefect_access` gives it.
        timeout_s: How long a busy server may take.
    """
    try:
        _send(access, "health", None, timeout_s=timeout_s)
    except (OSError, HTTPException):
        return False
    return True


def ask_prefect(access: Mapping[str, str], path: str, query: Mapping[str, Any]) -> list[Any]:
    """Rows of one of the server's filters, such as "flow_runs".

    Raises:
        TransientError: The server does not answer, or not with rows.
    """
    url = f"{access['PREFECT_API_URL']}/{path}/filter"
    try:
        rows = json.loads(_send(access, f"{path}/filter", json.dumps(query).encode(), timeout_s=30))
    except (OSError, HTTPException, ValueError) as error:
        raise TransientError(
            f"Prefect does not answer at {url} ({error}); `voxdata up` starts it"
        ) from error
    if not isinstance(rows, list):
        raise TransientError(
            f"{url} did not answer with rows; `voxdata doctor` looks at the server"
        )
    return rows


def _send(access: Mapping[str, str], path: str, body: bytes | None, *, timeout_s: float) -> bytes:
    """One request, past any proxy: to post when there is a body.

    An answer other than 2xx is an OSError.
    """
    login = base64.b64encode(":".join(basic_auth(access)).encode()).decode()
    request = Request(  # noqa: S310 - the URL is ours
        f"{access['PREFECT_API_URL']}/{path}",
        data=body,
        headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
    )
    opener = build_opener(ProxyHandler({}), HTTPHandler())
    with opener.open(request, timeout=timeout_s) as answer:
        content: bytes = answer.read()
    return content
