"""The webhook of a Label Studio project: where it tells that somebody answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annotation.server_api import LabelStudioServer

WEBHOOK_PATH = "/label-studio"
"""At the receiver."""

SECRET_HEADER = "X-Voxdata-Secret"  # noqa: S105 - the name of a header

ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",  # there is no event for one
    "TASKS_DELETED",
)


def ensure_webhook(server: LabelStudioServer, project_id: int, *, url: str, secret: str) -> bool:
    """Make the project's webhook, or correct it; one that leads to an earlier address of ours is
    corrected, not doubled.

    Args:
        url: The address of the receiver.
        secret: Sent with every event, in a header.

    Returns:
        True when something was changed.

    Raises:
        AnnotationError: The server refused, for instance because it may not call addresses of its
            own machine.
        TransientError: The server could not be reached.
    """
    wanted = {
        "url": url,
        "project": project_id,
        "send_payload": True,
        "send_for_all_actions": False,
        "is_active": True,
        "headers": {SECRET_HEADER: secret},
        "actions": sorted(ACTIONS),
    }
    with server.errors("set the webhook"):
        ours = _our_hooks(server, project_id)
        for spare in ours[1:]:
            server.request("DELETE", f"/api/webhooks/{spare['id']}/")
        if not ours:
            server.request("POST", "/api/webhooks/", json=wanted)
            return True

        current = ours[0]
        actions = sorted(current.get("actions") or ())
        comparable = {**current, "actions": actions}
        if all(comparable.get(name) == value for name, value in wanted.items()):
            return len(ours) > 1
        server.request(
            "PATCH",
            f"/api/webhooks/{current['id']}/",
            json=wanted,
        )
        return True


def _our_hooks(server: LabelStudioServer, project_id: int) -> list[dict[str, Any]]:
    """Webhooks of the project that carry our secret, whatever address they lead to."""
    hooks = server.request(
        "GET",
        "/api/webhooks/",
        params={"project": project_id},
    ).json()
    ours = []
    for hook in hooks:
        has_secret = SECRET_HEADER in (hook.get("headers") or {})
        if has_secret and hook.get("project") == project_id:
            ours.append(hook)
    return ours
