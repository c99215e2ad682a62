"""Plain calls to a Label Studio server, with its failures told apart: a hiccup to retry, or a
refusal.

The hot paths (look-ups, imports, pulls) go over HTTP directly: the SDK takes two seconds and 170 MB
to import, and models every row.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from itertools import count
from typing import Any, TypeVar

import httpx

from annotation.server_answers import not_label_studio, require_api
from annotation.server_auth import TokenAuth, explain_refusal
from voxdata.errors import AnnotationError, TransientError

T = TypeVar(
    "T",
    list[Any],
    dict[str, Any],
)


class LabelStudioServer:
    """One server, as seen by the holder of a token.

    Args:
        url: The address of the server.
        token: A token of either kind of an administrator or owner of the organisation; see
            `server_auth`.
        timeout_s: How long one request may take.
    """

    def __init__(self, *, url: str, token: str, timeout_s: float = 600.0) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._token = token.strip()

    @cached_property
    def _session(self) -> httpx.Client:
        auth = TokenAuth(url=self.url, token=self._token)
        session = httpx.Client(
            base_url=self.url, auth=auth, timeout=self._timeout_s, trust_env=False
        )
        weakref.finalize(self, session.close)
        return session

    @cached_property
    def sdk(self) -> Any:
        """The official client."""
        import label_studio_sdk

        module: Any = label_studio_sdk
        # The session brings the token and renews it; the client's own exchange looks only at dates.
        return module.LabelStudio(
            base_url=self.url,
            api_key="by session",
            httpx_client=self._session,
            timeout=120,
        )

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, never repeated here: a repeated import doubles clips.

        Raises:
            httpx.HTTPError: As `errors` translates it.
            AnnotationError: Something else than Label Studio's API answers there.
        """
        answer = self._session.request(method, path, **options)
        if path.startswith("/api/"):
            require_api(answer, url=self.url)
        answer.raise_for_status()
        return answer

    def read_page(self, path: str, *, kind: type[T]) -> T:
        """What a first call gets, which shows whether this is Label Studio.

        Args:
            kind: What Label Studio answers there: a list, or a dict with the list "results".

        Raises:
            AnnotationError: The address answers in JSON, but not as Label Studio does.
        """
        plain_path = path.partition("?")[0]
        try:
            answer = self.request("GET", path).json()
        except httpx.HTTPStatusError as error:
            if error.response.status_code in {404, 405, 410}:
                raise not_label_studio(self.url, f"it knows no {plain_path}") from error
            raise
        is_page = not isinstance(answer, dict) or isinstance(answer.get("results"), list)
        if not isinstance(answer, kind) or not is_page:
            raise not_label_studio(self.url, f"{plain_path} gives other values there")
        return answer

    def now(self) -> datetime:
        """The server's clock, UTC, to the second below."""
        return parsedate_to_datetime(self.request("GET", "/health").headers["date"])

    def emails(self) -> dict[int, str]:
        """The server's id of each account -> its login name."""
        users = self.read_page("/api/users/", kind=list)
        return {int(user["id"]): str(user["email"]) for user in users}

    def list_tasks(
        self,
        project_id: int,
        *,
        filters: Sequence[Mapping[str, object]] = (),
        fields: str = "all",
        include: str | None = None,
        ordering: str | None = None,
        page_size: int = 1_000,
    ) -> Iterator[dict[str, Any]]:
        """Tasks of a project that pass all filters, page by page.

        Args:
            fields: "all" gives annotations and predictions too, "task_only" does not.
            include: Fields to give, with commas; all when None.
            ordering: Such as "tasks:updated_at".
        """
        query: dict[str, object] = {"filters": {"conjunction": "and", "items": list(filters)}}
        if ordering is not None:
            query["ordering"] = [ordering]
        options: dict[str, object] = {
            "project": project_id,
            "query": json.dumps(query),
            "fields": fields,
            "page_size": page_size,
            "resolve_uri": "false",
        }
        if include is not None:
            options["include"] = include

        num_read = 0
        for page in count(1):
            params = {**options, "page": page}
            answer = self.request("GET", "/api/tasks/", params=params).json()
            tasks = answer["tasks"]
            yield from tasks
            num_read += len(tasks)
            if not tasks or num_read >= answer["total"]:
                return

    def ensure_annotator(self, email: str, password: str) -> int:
        """Make an account by an invitation when that e-mail address has none.

        Returns:
            The server's id of the account.

        Raises:
            AnnotationError: The server refused the sign-up.
            TransientError: The server could not be reached.
        """
        with self.errors("make an account"):
            number = self._find_account(email)
            if number is not None:
                return number
            invitation = self.request("GET", "/api/invite").json()["invite_url"]
            status = self._sign_up(invitation, email, password)
            if status != 302:
                raise AnnotationError(
                    f"Label Studio refused to make the account {email} (status {status})"
                )
            return next(number for number, address in self.emails().items() if address == email)

    def _find_account(self, email: str) -> int | None:
        accounts = {address: number for number, address in self.emails().items()}
        return accounts.get(email)

    def _sign_up(self, invitation: str, email: str, password: str) -> int:
        """Fill in the form that an invitation leads to; returns the status of the answer."""
        with httpx.Client(
            base_url=self.url,
            timeout=60,
            trust_env=False,
        ) as session:
            session.get(invitation)
            form = {
                "email": email,
                "password": password,
                "csrfmiddlewaretoken": session.cookies["csrftoken"],
            }
            headers = {"Referer": self.url + invitation}
            return session.post(invitation, data=form, headers=headers).status_code

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Say what failed, and tell a hiccup from a refusal.

        Raises:
            AnnotationError: The server refused.
            TransientError: It did not answer, or failed in a way that may pass.
        """
        try:
            yield
        except httpx.HTTPStatusError as error:
            response = error.response
            raise self._failure(what, response.status_code, response.text) from error
        except json.JSONDecodeError as error:
            raise not_label_studio(self.url, "what it answers is no JSON") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            why = f"it is no address ({error}); it begins with http:// or https://"
            raise not_label_studio(self.url, why) from error
        except httpx.HTTPError as error:
            hint = "; it may speak http and not https" if "SSL" in str(error) else ""
            raise TransientError(
                f"Label Studio at {self.url} does not answer ({error}){hint}; "
                "`voxdata up` starts it"
            ) from error

    @contextmanager
    def sdk_errors(self, what: str) -> Iterator[None]:
        """As `errors`, for calls of the SDK."""
        from label_studio_sdk.core.api_error import ApiError

        with self.errors(what):
            try:
                yield
            except ApiError as error:
                raise self._failure(what, error.status_code, error.body) from error

    def _failure(
        self, what: str, status: int | None, body: object
    ) -> AnnotationError | TransientError:
        if status == 401:
            return AnnotationError(explain_refusal(self.url, self._token, str(body)))
        if status is None or status >= 500 or status == 429:
            return TransientError(
                f"Label Studio at {self.url} could not {what} (status {status}); try again"
            )
        return AnnotationError(
            f"Label Studio at {self.url} refused to {what} (status {status}): {str(body)[:300]}"
        )
