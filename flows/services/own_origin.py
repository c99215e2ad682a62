"""A gate in front of a web application that is private to this machine.

A page of the internet reaches a port of 127.0.0.1 through the browser of whoever opens it: across
origins, or under a name of its own that it lets point to 127.0.0.1 (DNS rebinding). Both show in
the headers that a browser sets by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

FOREIGN_HOST = "this server answers under its own address only"
FOREIGN_ORIGIN = "this server answers to its own pages only"


def own_hosts(port: int | str) -> tuple[str, ...]:
    """What the header Host may say to a server on a port of this machine."""
    return (f"127.0.0.1:{port}", f"localhost:{port}")


def own_origins(port: int | str) -> tuple[str, ...]:
    """What the header Origin may say to a server on a port of this machine."""
    return tuple(f"http://{host}" for host in own_hosts(port))


class OwnOriginOnly:
    """Refuses every request whose Host or Origin is not the server's own.

    Programs send no Origin, and none is needed.

    Args:
        app: The application behind the gate.
        port: Where it listens on this machine.
    """

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._hosts = frozenset(own_hosts(port))
        self._origins = frozenset(own_origins(port))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it: 421 for a foreign Host, 403 for a foreign Origin."""
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": refusal[0], "headers": headers})
            await send({"type": "http.response.body", "body": refusal[1].encode()})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if scope["type"] not in {"http", "websocket"}:
            return None
        hosts = _header(scope, b"host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 421, FOREIGN_HOST
        if not self._origins.issuperset(_header(scope, b"origin")):
            return 403, FOREIGN_ORIGIN
        return None


def _header(scope: Scope, wanted: bytes) -> list[str]:
    """All values of a header, since a second one must not slip past the first."""
    return [
        value.decode("latin-1").lower()
        for name, value in scope["headers"]
        if name.lower() == wanted
    ]
