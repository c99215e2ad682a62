"""How a client shows Label Studio who it is: both kinds of token that its account page gives.

A legacy token is sent as it is. A personal access token is a JWT that opens nothing by itself: it
is exchanged at the server for an access token that lives five minutes, and a new one is fetched
when the server no longer takes it.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Generator
from typing import TypeVar

import httpx

from annotation.server_answers import not_label_studio, require_api
from voxdata.errors import AnnotationError, TransientError

REFRESH_PATH = "/api/token/refresh/"
WHERE = (
    'It is at "Account & Settings" of the server: a "Personal Access Token", '
    'or a "Legacy Token" where the organisation allows those. '
    "Set VOXDATA_LABEL_STUDIO_TOKEN to one of them"
)


T = TypeVar("T")
Exchange = Generator[httpx.Request, httpx.Response, T]
"""Gives requests, takes their answers, and ends with a value."""


class TokenAuth(httpx.Auth):
    """Puts the right header on each request.

    Args:
        url: The address of the server.
        token: A legacy or a personal access token.

    Raises:
        AnnotationError: Of a kind that cannot be used, or refused; the message says which kind is
            wanted and where it is.
        TransientError: The server failed while it should exchange the token.
    """

    requires_response_body = True

    def __init__(self, *, url: str, token: str) -> None:
        self._url = url
        self._token = token.strip()
        self._kind = token_kind(self._token)
        self._access = ""
        self._exchanging = threading.Lock()

    def sync_auth_flow(self, request: httpx.Request) -> Exchange[None]:
        """See `httpx.Auth`.

        A request that was refused for its token did nothing, so it may be sent again.
        """
        if not self._token.isascii() or len(self._token.split()) != 1:
            raise AnnotationError(
                f"the token for Label Studio at {self._url} is no token: "
                f"it holds blanks or accents. {WHERE}"
            )
        if self._kind == "access":
            raise AnnotationError(
                f"the token for Label Studio at {self._url} is an access token, "
                f"which lives five minutes. {WHERE}"
            )
        if self._kind == "legacy":
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        access = self._access or (yield from self._exchange(""))
        request.headers["Authorization"] = f"Bearer {access}"
        answer = yield request
        if answer.status_code == 401:
            access = yield from self._exchange(access)
            request.headers["Authorization"] = f"Bearer {access}"
            yield request

    def _exchange(self, refused: str) -> Exchange[str]:
        """An access token other than the refused one; one of several threads fetches it."""
        with self._exchanging:
            if self._access == refused:
                answer = yield httpx.Request(
                    "POST",
                    f"{self._url}{REFRESH_PATH}",
                    json={"refresh": self._token},
                )
                answer.read()
                self._access = self._access_of(answer)
            return self._access

    def _access_of(self, answer: httpx.Response) -> str:
        if answer.status_code >= 500 or answer.status_code == 429:
            raise TransientError(
                f"Label Studio at {self._url} could not exchange the token "
                f"(status {answer.status_code}); try again"
            )
        require_api(answer, url=self._url)
        if answer.status_code in {400, 401, 403}:
            raise AnnotationError(
                f"Label Studio at {self._url} does not take the personal access token: "
                f"it is wrong, revoked, or of another server. {WHERE}"
            )
        try:
            return str(answer.json()["access"])
        except (ValueError, KeyError, TypeError) as error:
            raise AnnotationError(
                f"{self._url} cannot exchange a personal access token "
                f"(status {answer.status_code}): it is not Label Studio, or older than 1.17; "
                "check VOXDATA_LABEL_STUDIO_URL, or use a legacy token"
            ) from error


def token_kind(token: str) -> str:
    """What a token is, by its form alone.

    "personal" and "access" are JWTs, everything else is "legacy".
    """
    parts = token.split(".")
    if len(parts) != 3:
        return "legacy"
    payload = parts[1]
    padding = "=" * (-len(payload) % 4)
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + padding))
        kind = claims["token_type"]
    except (ValueError, KeyError, TypeError):
        return "legacy"
    return "access" if kind == "access" else "personal"


def explain_refusal(url: str, token: str, body: str) -> str:
    """Why a server did not take a token (status 401), and which kind is wanted."""
    if "legacy token authentication has been disabled" in body:
        return (
            f"Label Studio at {url} takes no legacy tokens: "
            f"it wants a personal access token. {WHERE}"
        )
    if "detail" not in body:
        why = "it refuses the token (status 401), but not in Label Studio's words"
        return str(not_label_studio(url, why))
    kind = token_kind(token)
    if kind == "personal":
        kind = "personal access"
    return (
        f"Label Studio at {url} does not take the token, "
        f"which has the form of a {kind} token (status 401). {WHERE}"
    )
