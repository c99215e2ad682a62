"""The AnnotationQueue port on a Label Studio server; the only module that speaks to its SDK.

Measured traps this works around: importing the same task twice makes two; the SDK's own retries double imports; an unknown choice
in a prediction is stored or dropped in silence; a cursor time without fractions is answered with an error 500; skipped
annotations are missing from the annotation list; deletions are invisible to the cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from annotation.config import build_config, build_instructions
from annotation.decode import decode_annotation
from annotation.encode import KEY, encode_entry, encode_predictions, model_version
from voxdata.errors import AnnotationError, TransientError
from voxdata.label import Annotation
from voxdata.ports import PushResult, QueueEntry
from voxdata.scheme import Scheme

CLIPS = "clips"
"""Folder below the media folder that the server may serve; it must not be the media folder itself."""

LOOK_UP_CHUNK = 100
IMPORT_CHUNK = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_RETRY = {"max_retries": 0, "timeout_in_seconds": 600}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerClip:
    """A clip as the server has it.

    Attributes:
        number: The server's id of it.
        model_versions: Of the proposals it carries.
        predictions: The server's ids of them.
        shown: (text, audio) as the server shows them.
        annotators: Login names of those who answered or skipped it.
    """

    number: int
    utterance_id: str
    model_versions: frozenset[str]
    predictions: tuple[int, ...]
    shown: tuple[str, str]
    annotators: frozenset[str]


class LabelStudioQueue:
    """One Label Studio project.

    Args:
        url: Of the server.
        token: Of an administrator or owner of the organisation.
        project_title: 3-50 characters; the project is made when absent.
        schemes: What the labelling screen asks; the project's screen is brought up to date.
        media_dir: The server's document root; clips lie in its folder `clips`.
        guidelines: Shown inside the labelling screen.
        votes_wanted: People who should hear each clip.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str,
        project_title: str,
        schemes: Sequence[Scheme],
        media_dir: Path,
        guidelines: str = "",
        votes_wanted: int = 1,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._title = project_title
        self._schemes = tuple(schemes)
        self._config = build_config(schemes)
        self._instructions = build_instructions(schemes, guidelines=guidelines)
        self._media_dir = media_dir
        self._votes_wanted = votes_wanted

    @cached_property
    def _client(self) -> Any:
        import label_studio_sdk

        sdk: Any = label_studio_sdk
        return sdk.LabelStudio(base_url=self.url, api_key=self._token, timeout=120)

    @cached_property
    def project_id(self) -> int:
        """The server's id of the project, found by its title or made.

        Raises:
            AnnotationError: The server refused the labelling screen, for instance because a control in use was renamed.
            TransientError: The server could not be reached.
        """
        wanted = {
            "title": self._title,
            "label_config": self._config,
            "expert_instruction": self._instructions,
            "show_instruction": True,
            "maximum_annotations": self._votes_wanted,
            "show_collab_predictions": True,
        }
        with self._errors("find or make the project"):
            found = [p for p in self._client.projects.list() if p.title == self._title]
            if not found:
                project_id = int(self._client.projects.create(**wanted, request_options=NO_RETRY).id)
            else:
                project = min(found, key=lambda p: p.id)
                project_id = int(project.id)
                if any(getattr(project, name) != value for name, value in wanted.items()):
                    self._client.projects.update(id=project_id, **wanted)
            self._attach_storage(project_id)
        return project_id

    def _attach_storage(self, project_id: int) -> None:
        folder = self._media_dir / CLIPS
        folder.mkdir(parents=True, exist_ok=True)
        if not any(s.path == str(folder) for s in self._client.import_storage.local.list(project=project_id)):
            self._client.import_storage.local.create(project=project_id, path=str(folder), title=CLIPS, use_blob_urls=True)

    def push(self, entries: Sequence[QueueEntry]) -> PushResult:
        """See `AnnotationQueue.push`."""
        self._validate(entries)
        wanted = {entry.utterance_id: entry for entry in entries}
        before = self.find_clips(list(wanted))
        missing = [entry for key, entry in wanted.items() if key not in before]
        with self._errors("import clips"):
            for start in range(0, len(missing), IMPORT_CHUNK):
                batch = [encode_entry(entry) for entry in missing[start : start + IMPORT_CHUNK]]
                self._client.projects.import_tasks(id=self.project_id, request=batch, return_task_ids=True, request_options=NO_RETRY)
        changed = {clip: wanted[key] for key, clip in before.items() if clip.shown != _shown(encode_entry(wanted[key])["data"])}
        self._replace(changed)
        stale = {
            clip.number: wanted[key]
            for key, clip in before.items()
            if wanted[key].predictions and model_version(wanted[key].predictions) not in clip.model_versions
        }
        self._add_predictions({clip.number: entry for clip, entry in changed.items() if entry.predictions} | stale)
        after = self.find_clips(list(wanted))
        lost = sorted(set(wanted) - set(after))
        if lost:
            raise TransientError(f"Label Studio did not keep {len(lost)} of {len(wanted)} clips, the first is {lost[0]}; push again")
        self._show_newest(entries)
        return PushResult(
            pushed=tuple(entry.utterance_id for entry in missing),
            already_there=tuple(key for key in wanted if key in before),
            predictions_added=tuple(entry.utterance_id for entry in stale.values()),
            replaced=tuple(entry.utterance_id for entry in changed.values()),
        )

    def _validate(self, entries: Sequence[QueueEntry]) -> None:
        """The server stores anything, so proposals are checked before they leave."""
        from label_studio_sdk import label_interface

        sdk: Any = label_interface
        interface = sdk.LabelInterface(self._config)
        for entry in entries:
            if not (self._media_dir / entry.audio_file).is_file():
                raise AnnotationError(f"clip {entry.utterance_id}: {self._media_dir / entry.audio_file} is missing; push again")
            errors = interface.validate_prediction(encode_predictions(entry), return_errors=True) if entry.predictions else []
            if errors:
                raise AnnotationError(f"clip {entry.utterance_id}: proposal does not fit the labelling screen: {errors[0]}")

    def _replace(self, changed: Mapping[ServerClip, QueueEntry]) -> None:
        """Show another text and clip; the proposals go first, since they repeat the old text."""
        with self._errors("replace a clip"):
            for clip, entry in changed.items():
                for number in clip.predictions:
                    self._request("DELETE", f"/api/predictions/{number}/")
                self._request("PATCH", f"/api/tasks/{clip.number}/", json={"data": encode_entry(entry)["data"]})

    def _add_predictions(self, stale: Mapping[int, QueueEntry]) -> None:
        if not stale:
            return
        rows = [{"task": number, **encode_predictions(entry)} for number, entry in stale.items()]
        with self._errors("add proposals"):
            created = self._request("POST", f"/api/projects/{self.project_id}/import/predictions", json=rows).json().get("created")
        if created != len(rows):
            raise AnnotationError(f"Label Studio kept {created} of {len(rows)} proposals; push again")

    def _show_newest(self, entries: Sequence[QueueEntry]) -> None:
        newest = next((model_version(entry.predictions) for entry in reversed(entries) if entry.predictions), None)
        if newest is not None:
            with self._errors("choose the proposals to show"):
                self._client.projects.update(id=self.project_id, model_version=newest)

    def pull(self, *, since: datetime | None) -> list[Annotation]:
        """See `AnnotationQueue.pull`. Skipped annotations are included, vanished ones are not: see `reconcile`."""
        query = {
            "filters": {
                "conjunction": "and",
                "items": [
                    {
                        "filter": "filter:tasks:updated_at",
                        "operator": "greater_or_equal",
                        "type": "Datetime",
                        # Without fractions the server fails.
                        "value": (since or EPOCH).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                    }
                ],
            },
            "ordering": ["tasks:updated_at"],
        }
        found: dict[int, Annotation] = {}
        with self._errors("read annotations"):
            emails = self._emails()
            for clip in self._client.tasks.list(project=self.project_id, query=json.dumps(query), page_size=100, fields="all"):
                for raw in clip.annotations or []:
                    row = raw if isinstance(raw, Mapping) else raw.model_dump()
                    annotation = decode_annotation(
                        row,
                        project_id=self.project_id,
                        utterance_id=str(clip.data[KEY]),
                        proposed_text=str(clip.data.get("text", "")),
                        annotator=emails.get(_user_id(row), f"user-{_user_id(row)}"),
                        schemes=self._schemes,
                    )
                    found[annotation.annotation_id] = annotation
        return sorted(found.values(), key=lambda a: (a.updated_at, a.annotation_id))

    def reconcile(self, known: Mapping[int, Annotation]) -> list[Annotation]:
        """See `AnnotationQueue.reconcile`."""
        if not known:
            return []
        there: set[int] = set()
        with self._errors("compare annotations"):
            for clip in self._client.tasks.list(project=self.project_id, fields="all", include="id,annotations", page_size=1000):
                for raw in clip.annotations or []:
                    there.add(int(raw["id"] if isinstance(raw, Mapping) else raw.id))
        return [replace(annotation, deleted=True) for number, annotation in sorted(known.items()) if number not in there]

    def count(self) -> int:
        """See `AnnotationQueue.count`."""
        with self._errors("count clips"):
            return int(self._client.projects.get(id=self.project_id).task_number or 0)

    def find_clips(self, keys: Sequence[str]) -> dict[str, ServerClip]:
        """Clips the server has, by utterance id. The look-up by our own key is what makes a push repeatable.

        Raises:
            AnnotationError: The server has a clip twice.
            TransientError: The server could not be reached.
        """
        found: dict[str, ServerClip] = {}
        with self._errors("look clips up"):
            emails = self._emails()
            for start in range(0, len(keys), LOOK_UP_CHUNK):
                chunk = list(keys[start : start + LOOK_UP_CHUNK])
                for clip in self._look_up(chunk):
                    key = str(clip.data[KEY])
                    if key in found:
                        raise AnnotationError(f"Label Studio has clip {key} twice ({found[key].number} and {clip.id}); delete one there")
                    annotations = [a if isinstance(a, Mapping) else a.model_dump() for a in clip.annotations or []]
                    predictions = [p if isinstance(p, Mapping) else p.model_dump() for p in clip.predictions or []]
                    found[key] = ServerClip(
                        number=int(clip.id),
                        utterance_id=key,
                        model_versions=frozenset(str(p.get("model_version")) for p in predictions),
                        predictions=tuple(sorted(int(p["id"]) for p in predictions)),
                        shown=_shown(clip.data),
                        annotators=frozenset(emails.get(_user_id(a), "") for a in annotations),
                    )
        return found

    def _look_up(self, chunk: list[str]) -> Iterable[Any]:
        item = {"filter": f"filter:tasks:data.{KEY}", "operator": "in_list", "type": "String", "value": chunk}
        query = json.dumps({"filters": {"conjunction": "and", "items": [item]}})
        clips: Iterable[Any] = self._client.tasks.list(
            project=self.project_id, query=query, fields="all", page_size=len(chunk), resolve_uri=False
        )
        return clips

    def ensure_annotator(self, email: str, password: str) -> None:
        """Make an account by an invitation when that e-mail address has none.

        Raises:
            AnnotationError: The server refused the sign-up.
            TransientError: The server could not be reached.
        """
        with self._errors("make an account"):
            if email in self._emails().values():
                return
            invitation = self._request("GET", "/api/invite").json()["invite_url"]
            with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as session:
                session.get(invitation)
                answer = session.post(
                    invitation,
                    data={"email": email, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]},
                    headers={"Referer": self.url + invitation},
                )
            if answer.status_code != 302:
                raise AnnotationError(f"Label Studio refused to make the account {email} (status {answer.status_code})")

    def page(self, utterance_id: str | None = None) -> str:
        """Address of the project, or of one clip in it."""
        address = f"{self.url}/projects/{self.project_id}/data"
        if utterance_id is None:
            return address
        return f"{address}?task={self.find_clips([utterance_id])[utterance_id].number}"

    def _emails(self) -> dict[int, str]:
        return {int(user.id): str(user.email) for user in self._client.users.list()}

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Token {self._token}"}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=600, trust_env=False, **options)
        answer.raise_for_status()
        return answer

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Say what failed, and tell a hiccup from a refusal."""
        from label_studio_sdk.core.api_error import ApiError

        try:
            yield
        except ApiError as error:
            if error.status_code is None or error.status_code >= 500 or error.status_code == 429:
                raise TransientError(f"Label Studio at {self.url} could not {what} (status {error.status_code}); try again") from error
            raise AnnotationError(
                f"Label Studio at {self.url} refused to {what} (status {error.status_code}): {_brief(error.body)}"
            ) from error
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            kind = TransientError if status >= 500 or status == 429 else AnnotationError
            raise kind(f"Label Studio at {self.url} could not {what} (status {status}): {_brief(error.response.text)}") from error
        except httpx.HTTPError as error:
            raise TransientError(f"Label Studio at {self.url} does not answer ({error}); `voxdata up` starts it") from error


def _shown(data: Mapping[str, Any]) -> tuple[str, str]:
    return str(data.get("text", "")), str(data.get("audio", ""))


def _user_id(row: Mapping[str, Any]) -> int:
    user = row.get("completed_by")
    return int(user["id"] if isinstance(user, Mapping) else user or 0)


def _brief(body: object) -> str:
    return str(body)[:300]
