"""What commands ask the workspace's Prefect server, without importing Prefect.

Importing Prefect costs a second of CPU time and settles for good which server a process talks to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from flows.services.prefect_env import basic_auth
from voxdata.errors import TransientError


def prefect_answers(access: Mapping[str, str], *, timeout_s: float = 3.0) -> bool:
    """Whether the server answers at all.

    Args:
        access: Environment of a client, as `flows.services.start.prefect_access` gives it.
        timeout_s: How long a busy server may take.
    """
    try:
        found = httpx.get(
            f"{access['PREFECT_API_URL']}/health",
            auth=basic_auth(access),
            timeout=timeout_s,
            trust_env=False,
        )
    except httpx.HTTPError:
        return False
    return found.status_code == httpx.codes.OK


def ask_prefect(access: Mapping[str, str], path: str, query: Mapping[str, Any]) -> list[Any]:
    """Rows of one of the server's filters, such as "flow_runs".

    Raises:
        TransientError: The server does not answer, or not with rows.
    """
    url = f"{access['PREFECT_API_URL']}/{path}/filter"
    try:
        found = httpx.post(url, json=query, auth=basic_auth(access), timeout=30, trust_env=False).raise_for_status()
        rows = found.json()
    except (httpx.HTTPError, ValueError) as error:
        raise TransientError(f"Prefect does not answer at {url} ({error}); `voxdata up` starts it") from error
    if not isinstance(rows, list):
        raise TransientError(f"{url} did not answer with rows; `voxdata doctor` looks at the server")
    return rows
