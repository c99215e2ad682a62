"""The Label Studio server that `voxdata up` starts: with a gate, and one exception for webhooks.

    LABEL_STUDIO_VENV/bin/python voxdata_guard.py start ...

takes what `label-studio start ...` takes. It runs in the server's own environment, which has no
voxdata; so it imports nothing of ours. Two things cannot be set by variables of the server:

- its API asks no CSRF token of a session, so a page on another port of this machine could act for
  whoever is logged in: a request whose Host or Origin is not the server's own is refused;
- its protection against requests to internal addresses (SSRF) knows no exception, but the receiver
  of its webhooks is one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

ADDRESSES = "VOXDATA_GUARD_ADDRESSES"
"""Variable: where people may reach the server, such as "http://127.0.0.1:8080", separated by
blanks."""

RECEIVER = "VOXDATA_GUARD_RECEIVER"
"""Variable: the one internal address to which webhooks may go; empty for none."""


def main() -> None:
    """Start the server with the gate in its settings."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "label_studio.core.settings.label_studio"
    server = import_module("label_studio.server")
    # The server does this itself, but only after its settings could be changed.
    sys.path.insert(0, server.LS_PATH)
    settings: Any = import_module("django.conf").settings
    settings.MIDDLEWARE = [f"{Path(__file__).stem}.own_addresses_only", *settings.MIDDLEWARE]
    # Django gives uploads rights of their own, whatever the umask says.
    settings.FILE_UPLOAD_PERMISSIONS = 0o600
    sys.exit(server.main())


def own_addresses_only(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware: 421 for a foreign Host, 403 for a foreign Origin. Programs send no Origin, and
    none is needed."""
    origins = {address.lower() for address in os.environ[ADDRESSES].split()}
    hosts = {origin.partition("://")[2] for origin in origins}
    allow_receiver(os.environ.get(RECEIVER, ""))

    def answer(request: Any) -> Any:
        response = import_module("django.http").HttpResponse
        if request.META.get("HTTP_HOST", "").lower() not in hosts:
            return response("this server answers under its own address only", status=421)
        if "HTTP_ORIGIN" in request.META and request.META["HTTP_ORIGIN"].lower() not in origins:
            return response("this server answers to its own pages only", status=403)
        return get_response(request)

    return answer


def allow_receiver(address: str) -> None:
    """Let webhooks go to one internal address; everything else that the server fetches stays under
    its protection."""
    if not address:
        return
    guard: Any = import_module("core.utils.io")
    delivery: Any = import_module("webhooks.utils")
    checks: Any = import_module("webhooks.serializers")
    origin = address.rpartition("/")[0]

    def post(url: str, *args: Any, **options: Any) -> Any:
        if url != address:
            return guard.ssrf_safe_post(url, *args, **options)
        with guard.ssrf_safe_session(trusted_origin=origin) as session:
            return session.post(url, *args, allow_redirects=False, **options)

    def validate(url: str, block_local_urls: bool = True) -> None:
        if url != address:
            guard.validate_url_for_ssrf(url, block_local_urls=block_local_urls)

    delivery.ssrf_safe_post = post
    checks.validate_url_for_ssrf = validate


if __name__ == "__main__":
    main()
