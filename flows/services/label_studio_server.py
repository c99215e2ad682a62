"""Label Studio on this machine: how it is started for a workspace, and the credentials to
reach it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex, token_urlsafe
from urllib.parse import urlsplit

from flows.folders.secret_file import read_or_make_secret
from flows.services.own_origin import own_origins
from flows.services.supervisor import ServiceSpec, read_services
from flows.workspace import Say, Workspace
from voxdata.errors import AnnotationError, ConfigError

ADMIN_EMAIL = "admin@voxdata.local"
VERSION = "1.23.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStudioCredentials:
    """The administrator of a workspace's Label Studio.

    It lies in a file that its owner alone can read.

    Attributes:
        email: Login.
        password: Login.
        token: For the API, 40 hexadecimal digits.
        secret: From which the passwords of scripted annotators are derived.
    """

    email: str
    password: str
    token: str
    secret: str

    @property
    def webhook_secret(self) -> str:
        """What the receiver of webhooks wants to see in their header."""
        return hmac.new(self.secret.encode(), b"webhook", hashlib.sha256).hexdigest()

    def password_for(self, email: str) -> str:
        """The password of another account of this server.

        It is always the same for one e-mail address.
        """
        return hmac.new(self.secret.encode(), email.encode(), hashlib.sha256).hexdigest()[:24]


def label_studio_credentials(workspace: Workspace) -> LabelStudioCredentials:
    """Read the credentials of the workspace's Label Studio; make them when there are none.

    Raises:
        ConfigError: The file is damaged.
    """
    path = workspace.state_dir / "label-studio.json"
    text = read_or_make_secret(path, _new_credentials)
    try:
        return LabelStudioCredentials(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged ({error}); restore it, or remove {path.parent} to begin with a new "
            "server"
        ) from error


def _new_credentials() -> str:
    made = LabelStudioCredentials(
        email=ADMIN_EMAIL, password=token_urlsafe(18), token=token_hex(20), secret=token_hex(32)
    )
    return json.dumps(asdict(made), indent=2)


def label_studio_spec(workspace: Workspace, *, receiver: str | None, say: Say) -> ServiceSpec:
    """How Label Studio is started for a workspace.

    Its environment and a migrated database are made first when absent.

    Args:
        receiver: Where its webhooks may go on this machine.
        say: Told when this is going to take a while.

    Raises:
        AnnotationError: The server could not be installed or its database not be made.
    """
    from annotation import server

    data_dir = workspace.state_dir / "label-studio"
    media_dir = workspace.media_dir
    media_dir.mkdir(parents=True, exist_ok=True)
    program = server.ensure_installed(cache_dir=workspace.secrets.cache_dir, say=say)
    server.ensure_migrated(cache_dir=workspace.secrets.cache_dir, data_dir=data_dir, say=say)
    origin = workspace.settings.services.label_studio_origin
    return ServiceSpec(
        name="label-studio",
        command=server.start_command(program),
        env=label_studio_environment(
            label_studio_credentials(workspace),
            data_dir=data_dir,
            media_dir=media_dir,
            receiver=receiver,
            origin=origin,
        ),
        port=workspace.settings.services.label_studio_port,
        health_path="/health",
        # What the server is told once, at its start, stands here, so that a change of it starts the
        # server again.
        version=" ".join(filter(None, [VERSION, "guarded", receiver, origin])),
        cwd=data_dir,
        ready_timeout_s=300,
    )


def label_studio_environment(
    credentials: LabelStudioCredentials,
    *,
    data_dir: Path,
    media_dir: Path,
    receiver: str | None = None,
    origin: str = "",
) -> dict[str, str]:
    """Variables of a server that is private to this machine: a fixed token, local files, no
    sign-up, no call to the outside.

    It answers under its own address only, and fetches nothing from internal addresses.

    Args:
        credentials: They act when the database gets its first user; later they must stay the same.
        data_dir: The data folder of the server.
        media_dir: Root of the files it serves.
        receiver: The one internal address to which its webhooks may go.
        origin: Another address under which people reach it, such as "https://labels.example.org";
            "" for none.

    Returns:
        Name -> value; `{port}` stands for the port.
    """
    addresses = [*own_origins("{port}"), *([origin] if origin else [])]
    return {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        "LABEL_STUDIO_HOST": origin or "http://127.0.0.1:{port}",
        "LABEL_STUDIO_USERNAME": credentials.email,
        "LABEL_STUDIO_PASSWORD": credentials.password,
        "LABEL_STUDIO_USER_TOKEN": credentials.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(media_dir),
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        **_gate(addresses, receiver=receiver),
        "LATEST_VERSION_CHECK": "false",
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def _gate(addresses: Sequence[str], *, receiver: str | None) -> dict[str, str]:
    """What lets in and out; the server's own switches, and ours beside them
    (`annotation/server_guard`).
    """
    hosts = dict.fromkeys(
        str(urlsplit(address).hostname) for address in addresses if "{" not in address
    )
    return {
        "VOXDATA_GUARD_ADDRESSES": " ".join(addresses),
        "VOXDATA_GUARD_RECEIVER": receiver or "",
        "LABEL_STUDIO_ALLOWED_HOSTS": ",".join(["127.0.0.1", "localhost", *hosts]),
        "LABEL_STUDIO_CSRF_TRUSTED_ORIGINS": ",".join(addresses),
        "LABEL_STUDIO_CORS_ALLOWED_ORIGINS": ",".join(addresses),
        "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "true",
        "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "true",
        "LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "true",
    }


def label_studio_access(workspace: Workspace) -> tuple[str, str]:
    """Address and token of the Label Studio in use: the one of the environment, else the one
    `voxdata up` started.

    Raises:
        ConfigError: An address is set without a token.
        AnnotationError: None runs.
    """
    secrets = workspace.secrets
    if secrets.label_studio_url is not None:
        if secrets.label_studio_token is None:
            raise ConfigError(
                "VOXDATA_LABEL_STUDIO_URL is set without VOXDATA_LABEL_STUDIO_TOKEN; set both"
            )
        return secrets.label_studio_url.rstrip("/"), secrets.label_studio_token
    service = read_services(workspace.state_dir).get("label-studio")
    if service is None or service.url is None or not service.alive:
        raise AnnotationError(
            "Label Studio is not up; start it with `voxdata up`, "
            "or set VOXDATA_LABEL_STUDIO_URL and _TOKEN"
        )
    return service.url, label_studio_credentials(workspace).token
