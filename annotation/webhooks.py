"""The webhook of a Label Studio project: where it tells that somebody answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        url: Of the receiver.
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
        ours = [
            hook
            for hook in server.request(
                "GET", "/api/webhooks/", params={"project": project_id}
            ).json()
            if SECRET_HEADER in (hook.get("headers") or {}) and hook.get("project") == project_id
        ]
        for spare in ours[1:]:
            server.request("DELETE", f"/api/webhooks/{spare['id']}/")
        if not ours:
            server.request("POST", "/api/webhooks/", json=wanted)
            return True
        found = {**ours[0], "actions": sorted(ours[0].get("actions") or ())}
        if all(found.get(name) == value for name, value in wanted.items()):
            return len(ours) > 1
        server.request("PATCH", f"/api/webhooks/{ours[0]['id']}/", json=wanted)
        return True
