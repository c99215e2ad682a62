"""Prefect's server behind a gate that lets in its own Host and Origin only.

    python -m flows.services.prefect_server --port PORT

Started by `voxdata up` with the variables of `flows.services.prefect_env`. It does what `prefect
server start` does in the foreground; that command has no place for a gate.
"""

from __future__ import annotations

import argparse

import uvicorn

from flows.folders.private_files import keep_files_private
from flows.services.own_origin import OwnOriginOnly


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    keep_files_private()
    # Prefect reads its variables when it is imported.
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    uvicorn.run(
        OwnOriginOnly(create_app(final=True), port=port),
        host="127.0.0.1",
        port=port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
