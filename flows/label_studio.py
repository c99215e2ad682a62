"""Label Studio on this machine: how it is started for a workspace, and the credentials to reach it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex, token_urlsafe

from annotation import server

from flows.supervisor import ServiceSpec, read_services
from flows.workspace import Say, Workspace
from voxdata.errors import AnnotationError, ConfigError

ADMIN_EMAIL = "admin@voxdata.local"
