"""The AnnotationQueue port on a Label Studio server; with `server_api` the only module that knows its SDK.

Measured traps this works around: importing the same task twice makes two; the SDK's own retries double imports; an unknown choice
in a prediction is stored or dropped in silence; a cursor time without fractions is answered with an error 500; skipped
annotations are missing from the annotation list; deletions are invisible to the cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

from annotation.config import build_config, build_instructions
from annotation.decode import decode_annotation
from annotation.encode import (
    KEY,
    RIVALS,
    encode_entry,
    encode_labels,
    encode_predictions,
    encode_simulation,
    model_version,
    ticked_models,
    ticked_rows,
)
from annotation.server_api import LabelStudioServer
from voxdata.errors import AnnotationError, TransientError
from voxdata.label import Annotation
from voxdata.ports import PullResult, PushResult, QueueCounts, QueueEntry, Refusal
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.scheme_history import SchemeHistory
from voxdata.tally import add_up

T = TypeVar("T")

CLIPS = "clips"
"""Folder below the media folder that the server may serve; it must not be the media folder itself."""

LOOK_UP_CHUNK = 500
"""Keys in one address: 18 KB; a proxy that allows less than that says 414."""

IMPORT_CHUNK = 1_000
WHOLE_CLIP = (
    "id,data,annotations,predictions,result,was_cancelled,lead_time,updated_at,completed_by,updated_by,parent_prediction,model_version"
)
"""Fields of a task, and of the annotations and predictions in it; asking for all takes the server twice as long."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_RETRY = {"max_retries": 0, "timeout_in_seconds": 600}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerClip:
    """A clip as the server has it.

    Attributes:
        number: The server's id of it.
        ticked: Model version of each proposal it carries -> schemes in which that ticks a label.
        predictions: The server's ids of them, by model version.
        shown: (text, audio) as the server shows them.
        annotations: The server's ids of the answers and skips.
        annotators: Login names of those who answered or skipped it.
        doubles: Ids of further copies of it that nobody has worked on.
    """

    number: int
    utterance_id: str
    ticked: Mapping[str, frozenset[str]] = field(hash=False)
    predictions: Mapping[str, tuple[int, ...]] = field(hash=False)
    shown: tuple[str, str]
    annotations: tuple[int, ...]
    annotators: frozenset[str]
    doubles: tuple[int, ...] = ()

    @property
    def model_versions(self) -> frozenset[str]:
        """Of the proposals it carries."""
        return frozenset(self.predictions)

    def ticks_otherwise(self, entry: QueueEntry) -> bool:
        """Whether it shows these proposals with other ticks, and nobody has begun with them yet."""
        version = _version(entry)
        if version not in self.predictions or self.annotations or entry.rivals:
            return False
        return self.ticked[version] != {prediction.scheme for prediction in entry.ticked}


class LabelStudioQueue:
    """One Label Studio project.

    Args:
        url: Of the server.
        token: Of an administrator or owner of the organisation.
        project_title: 3-50 characters; the project is made when absent.
        schemes: What the labelling screen asks; the project's screen is brought up to date.
        media_dir: The server's document root; clips lie in its folder `clips`.
        guidelines: Shown inside the labelling screen.
        language: Of the labelling screen: "en" or "zh".
        histories: Scheme name -> earlier versions, whose labels old annotations still name.
        votes_wanted: People who usually hear a clip; a project that is there keeps its own number, and clips say when they want another.
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
        language: str = "en",
        votes_wanted: int = 1,
        histories: Mapping[str, SchemeHistory] | None = None,
    ) -> None:
        self.server = LabelStudioServer(url=url, token=token)
        self.title = project_title
        self._schemes = tuple(schemes)
        # The server keeps old answers as they were, so labels of earlier versions are still read.
        self._former = {name: history.former_labels() for name, history in (histories or {}).items()}
        self._readable = tuple(_with_labels(scheme, self._former.get(scheme.name, {})) for scheme in schemes)
        self._language = language
        self._config = build_config(schemes, language=language)
        self._instructions = build_instructions(schemes, guidelines=guidelines, language=language)
        self._media_dir = media_dir
        self._votes_wanted = self._usual_votes = votes_wanted
        self._proven: set[str] = set()
        self._newest_shown = ""

    @property
    def url(self) -> str:
        """Of the server."""
        return self.server.url

    @property
    def project_id(self) -> int:
        """The server's id of the project, found by its title or made.

        Raises:
            AnnotationError: The server refused the labelling screen, for instance because a control in use was renamed.
            TransientError: The server could not be reached.
        """
        return int(self._project["id"])

    @property
    def made_at(self) -> str:
        """When the server made the project; tells it from one with the same id on a server that was set up anew. Raises as `project_id`."""
        return str(self._project["created_at"])

    @cached_property
    def _project(self) -> dict[str, Any]:
        wanted = {
            "title": self.title,
            "label_config": self._config,
            "expert_instruction": self._instructions,
            "show_instruction": True,
            "show_collab_predictions": True,
            # Served in the order of the predictions' scores, lowest first.
            "sampling": "Uncertainty sampling",
        }
        with self.server.errors("find or make the project"):
            found = [p for p in self._projects() if p["title"] == self.title]
            if found:
                project = min(found, key=lambda p: int(p["id"]))
                if any(project.get(name) != value for name, value in wanted.items()):
                    self.server.request("PATCH", f"/api/projects/{project['id']}/", json=wanted)
            else:
                with self.server.sdk_errors("make the project"):
                    made = self.server.sdk.projects.create(**wanted, maximum_annotations=self._votes_wanted, request_options=NO_RETRY)
                project = self.server.request("GET", f"/api/projects/{made.id}/").json()
            self._newest_shown = str(project.get("model_version") or "")
            # A change of it would overwrite the number that single clips were given.
            self._usual_votes = int(project["maximum_annotations"])
            self._attach_storage(int(project["id"]))
        return project

    def _projects(self) -> Iterator[dict[str, Any]]:
        for page in count(1):
            answer = self.server.read_page(f"/api/projects/?page_size=100&page={page}", kind=dict)
            yield from answer["results"]
            if not answer.get("next"):
                return

    def _attach_storage(self, project_id: int) -> None:
        folder = self._media_dir / CLIPS
        folder.mkdir(parents=True, exist_ok=True)
        there = self.server.request("GET", "/api/storages/localfiles/", params={"project": project_id}).json()
        if not any(storage["path"] == str(folder) for storage in there):
            storage = {"project": project_id, "path": str(folder), "title": CLIPS, "use_blob_urls": True}
            self.server.request("POST", "/api/storages/localfiles/", json=storage)

    def push(
        self, entries: Sequence[QueueEntry], *, recorded: Collection[str] | None = None, done: Callable[[PushResult], None] | None = None
    ) -> PushResult:
        """See `AnnotationQueue.push`. The next clips are encoded, and `done` runs, while the server takes some."""
        wanted = {entry.utterance_id: entry for entry in entries}
        total = PushResult(pushed=(), already_there=(), predictions_added=())
        with ThreadPoolExecutor(max_workers=2) as beside:
            chunks = [{entry.utterance_id: entry for entry in chunk} for chunk in _chunks(list(wanted.values()), IMPORT_CHUNK)]
            # All are checked before the first leaves, so that a bad one stops the push while nothing is there.
            ready = [beside.submit(self._prepare, chunk) for chunk in chunks]
            known = recorded is not None and self.counts().clips == len(recorded)
            prepared = [future.result() for future in ready]
            notes = []
            for chunk, encoded in zip(chunks, prepared, strict=True):
                looked_for = [key for key in chunk if not known or key in (recorded or ())]
                part = self._push_chunk(chunk, encoded, self.find_clips(looked_for))
                total = add_up(total, part)
                if done is not None:
                    notes.append(beside.submit(done, part))
            self._show_newest(entries)
            for note in notes:
                note.result()
        return total

    def _prepare(self, chunk: Mapping[str, QueueEntry]) -> dict[str, dict[str, Any]]:
        encoded = {key: self._encode(entry) for key, entry in chunk.items()}
        self._validate(chunk, encoded)
        return encoded

    def _push_chunk(
        self, wanted: Mapping[str, QueueEntry], encoded: Mapping[str, dict[str, Any]], before: Mapping[str, ServerClip]
    ) -> PushResult:
        missing = [key for key in wanted if key not in before]
        numbers = self._import([encoded[key] for key in missing])
        changed = {clip: wanted[key] for key, clip in before.items() if clip.shown != _shown(encoded[key]["data"])}
        self._replace(changed)
        unfit = {clip: wanted[key] for key, clip in before.items() if clip not in changed and clip.ticks_otherwise(wanted[key])}
        self._remove_predictions(unfit)
        stale = {
            clip.number: wanted[key]
            for key, clip in before.items()
            if wanted[key].predictions and (clip in unfit or _version(wanted[key]) not in clip.model_versions)
        }
        self._add_predictions({clip.number: entry for clip, entry in changed.items() if entry.predictions} | stale)
        self._spread({number: wanted[key].votes_wanted for number, key in zip(numbers, missing, strict=True)})
        return PushResult(
            pushed=tuple(missing),
            already_there=tuple(key for key in wanted if key in before),
            predictions_added=tuple(entry.utterance_id for entry in stale.values()),
            replaced=tuple(entry.utterance_id for entry in changed.values()),
        )

    def _encode(self, entry: QueueEntry) -> dict[str, Any]:
        task = encode_entry(entry, schemes=self._schemes, language=self._language)
        if entry.answers:
            accounts = {email: number for number, email in self._emails.items()}
            task["annotations"] = [self._answer(annotation, accounts) for annotation in entry.answers]
        return task

    @cached_property
    def _emails(self) -> dict[int, str]:
        with self.server.errors("list accounts"):
            return self.server.emails()

    def _answer(self, annotation: Annotation, accounts: Mapping[str, int]) -> dict[str, Any]:
        if annotation.annotator not in accounts:
            raise AnnotationError(f"{annotation.annotator} has no account in Label Studio at {self.url}; make one, then go on")
        result = encode_labels(
            annotation.labels, schemes=self._schemes, ratings=annotation.ratings, flags=annotation.flags, text=annotation.text
        )
        if annotation.simulated is not None:
            result.append(encode_simulation(annotation.annotator, annotation.simulated))
        return {
            "result": result,
            "was_cancelled": annotation.skipped,
            "lead_time": None if annotation.lead_time_ms is None else annotation.lead_time_ms / 1000,
            "completed_by": accounts[annotation.annotator],
            "ground_truth": False,
        }

    def restore(self, annotations: Sequence[Annotation]) -> None:
        """See `AnnotationQueue.restore`."""
        clips = self.find_clips([annotation.utterance_id for annotation in annotations])
        accounts = {email: number for number, email in self._emails.items()}
        with self.server.errors("write annotations again"):
            for annotation in annotations:
                address = f"/api/tasks/{clips[annotation.utterance_id].number}/annotations/"
                self.server.request("POST", address, json=self._answer(annotation, accounts))

    def _validate(self, wanted: Mapping[str, QueueEntry], encoded: Mapping[str, Mapping[str, Any]]) -> None:
        """The server stores anything, so proposals are checked before they leave; each distinct answer needs it once."""
        for key, entry in wanted.items():
            if not (self._media_dir / entry.audio_file).is_file():
                raise AnnotationError(f"clip {key}: {self._media_dir / entry.audio_file} is missing; push again")
        for key, task in encoded.items():
            for prediction in task["predictions"]:
                answer = str([(r["from_name"], r["value"]) for r in prediction["result"] if r["type"] != "textarea"])
                if answer not in self._proven:
                    errors = _interface(self._config).validate_prediction(prediction, return_errors=True)
                    if errors:
                        raise AnnotationError(f"clip {key}: proposal does not fit the labelling screen: {errors[0]}")
                    self._proven.add(answer)

    def _import(self, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Import clips; the server's ids of them, in order."""
        if not tasks:
            return []
        address = f"/api/projects/{self.project_id}/import"
        with self.server.errors("import clips"):
            numbers = self.server.request("POST", address, params={"return_task_ids": "true"}, json=tasks).json()["task_ids"]
        if len(numbers) != len(tasks):
            raise TransientError(f"Label Studio kept {len(numbers)} of {len(tasks)} clips; push again")
        return list(map(int, numbers))

    def _spread(self, votes_wanted: Mapping[int, int]) -> None:
        """Ask other than the usual number of people to hear a clip; an import cannot say so."""
        with self.server.errors("set how many people should hear a clip"):
            for number, votes in votes_wanted.items():
                if votes != self._usual_votes:
                    self.server.request("PATCH", f"/api/tasks/{number}/", json={"overlap": votes})

    def _replace(self, changed: Mapping[ServerClip, QueueEntry]) -> None:
        """Show another text and clip; the proposals go first, since they repeat the old text."""
        with self.server.errors("replace a clip"):
            for clip, entry in changed.items():
                for number in chain.from_iterable(clip.predictions.values()):
                    self.server.request("DELETE", f"/api/predictions/{number}/")
                self.server.request("PATCH", f"/api/tasks/{clip.number}/", json={"data": self._encode(entry)["data"]})

    def _remove_predictions(self, unfit: Mapping[ServerClip, QueueEntry]) -> None:
        """Take proposals away that tick what should not be ticked, or the other way round."""
        with self.server.errors("take proposals away"):
            for clip, entry in unfit.items():
                for number in clip.predictions[_version(entry)]:
                    self.server.request("DELETE", f"/api/predictions/{number}/")

    def _add_predictions(self, stale: Mapping[int, QueueEntry]) -> None:
        if not stale:
            return
        rows = [
            {"task": number, **encode_predictions(entry, schemes=self._schemes, language=self._language)} for number, entry in stale.items()
        ]
        with self.server.errors("add proposals"):
            created = self.server.request("POST", f"/api/projects/{self.project_id}/import/predictions", json=rows).json().get("created")
        if created != len(rows):
            raise AnnotationError(f"Label Studio kept {created} of {len(rows)} proposals; push again")

    def _show_newest(self, entries: Sequence[QueueEntry]) -> None:
        newest = next((_version(entry) for entry in reversed(entries) if _version(entry)), None)
        if newest is not None and self._newest_shown == "":
            self._newest_shown = newest  # the server shows what the first import into an empty project brings
        elif newest is not None and newest != self._newest_shown:
            with self.server.errors("choose the proposals to show"):
                self.server.request("PATCH", f"/api/projects/{self.project_id}/", json={"model_version": newest})
            self._newest_shown = newest

    def pull(self, *, since: datetime | None, seen: Mapping[str, str] | None = None) -> PullResult:
        """See `AnnotationQueue.pull`."""
        item = {
            "filter": "filter:tasks:updated_at",
            "operator": "greater_or_equal",
            "type": "Datetime",
            # Without fractions the server fails.
            "value": (since or EPOCH).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        marks: dict[str, str] = {}
        with self.server.errors("look for changes"):
            read_at = self.server.now()
            listed = self.server.list_tasks(
                self.project_id, filters=[item], fields="task_only", include="data,updated_at", ordering="tasks:updated_at", page_size=5_000
            )
            for clip in listed:
                marks[str(clip["data"].get(KEY, ""))] = str(clip["updated_at"])
        changed = [key for key, mark in marks.items() if (seen or {}).get(key) != mark]
        return replace(self.pull_clips(changed), marks={key: marks[key] for key in changed}, read_at=read_at)

    def pull_clips(self, utterance_ids: Sequence[str]) -> PullResult:
        """See `AnnotationQueue.pull_clips`."""
        found: dict[int, Annotation] = {}
        refused: dict[int, Refusal] = {}
        clips: set[str] = set()
        with self.server.errors("read annotations"):
            emails = self.server.emails() if utterance_ids else {}
            for chunk in _chunks(utterance_ids, LOOK_UP_CHUNK):
                for clip in self.server.list_tasks(self.project_id, filters=[_keys_filter(chunk)], include=WHOLE_CLIP):
                    key = str(clip["data"].get(KEY, ""))
                    clips.add(key)
                    for row in clip["annotations"]:
                        try:
                            found[int(row["id"])] = self._decode(row, clip, key, emails)
                        except AnnotationError as error:
                            refused[int(row["id"])] = Refusal(annotation_id=int(row["id"]), utterance_id=key, why=str(error))
        ordered = sorted(found.values(), key=lambda a: (a.updated_at, a.annotation_id))
        return PullResult(annotations=tuple(ordered), clips=frozenset(clips), refused=tuple(refused.values()))

    def _decode(self, row: Mapping[str, Any], clip: Mapping[str, Any], key: str, emails: Mapping[int, str]) -> Annotation:
        decoded = decode_annotation(
            row,
            project_id=self.project_id,
            utterance_id=key,
            proposed_text=str(clip["data"].get("text", "")),
            annotator=_name(row["completed_by"], emails),
            author=_name(row["updated_by"], emails) if row["updated_by"] else "",
            schemes=self._readable,
            # The prediction of a blind clip proposes nothing: it only keeps the clip in the order of work.
            model_versions={int(p["id"]): ticked_models(str(p["model_version"]), p["result"]) for p in clip["predictions"] if p["result"]},
        )
        versions = {
            scheme.name: min(
                [scheme.version, *(self._former.get(scheme.name, {}).get(x, scheme.version) for x in decoded.labels.get(scheme.name, ()))]
            )
            for scheme in self._schemes
        }
        return replace(decoded, scheme_versions=versions)

    def list_copies(self) -> dict[str, list[tuple[int, ...]]]:
        """See `AnnotationQueue.list_copies`."""
        found: dict[str, list[tuple[int, ...]]] = {}
        with self.server.errors("list clips"):
            for clip in self.server.list_tasks(self.project_id, include="id,data,annotations", page_size=5_000):
                numbers = tuple(int(row["id"]) for row in clip["annotations"])
                found.setdefault(str(clip["data"].get(KEY, "")), []).append(numbers)
        return found

    def counts(self) -> QueueCounts:
        """See `AnnotationQueue.counts`."""
        asked = {"ids": self.project_id, "include": "task_number,total_annotations_number,skipped_annotations_number"}
        with self.server.errors("count clips"):
            (row,) = self.server.request("GET", "/api/projects/counts/", params=asked).json()["results"]
        return QueueCounts(clips=row["task_number"], annotations=row["total_annotations_number"] + row["skipped_annotations_number"])

    def find_clips(self, keys: Sequence[str]) -> dict[str, ServerClip]:
        """Clips the server has, by utterance id. The look-up by our own key is what makes a push repeatable.

        Of several copies of a clip, the one with the most answers counts.

        Raises:
            TransientError: The server could not be reached.
        """
        copies: dict[str, list[ServerClip]] = {}
        with self.server.errors("look clips up"):
            emails = self.server.emails() if keys else {}
            for chunk in _chunks(keys, LOOK_UP_CHUNK):
                for row in self.server.list_tasks(self.project_id, filters=[_keys_filter(chunk)], include=WHOLE_CLIP):
                    clip = _server_clip(row, emails)
                    copies.setdefault(clip.utterance_id, []).append(clip)
        found = {}
        for key, several in copies.items():
            best = max(several, key=lambda clip: (len(clip.annotations), -clip.number))
            found[key] = replace(best, doubles=tuple(sorted(clip.number for clip in several if clip is not best and not clip.annotations)))
        return found

    def remove_doubles(self, utterance_ids: Sequence[str]) -> tuple[str, ...]:
        """See `AnnotationQueue.remove_doubles`."""
        doubles = [(key, number) for key, clip in self.find_clips(utterance_ids).items() for number in clip.doubles]
        with self.server.errors("remove a doubled clip"):
            for _, number in doubles:
                self.server.request("DELETE", f"/api/tasks/{number}/")
        return tuple(key for key, _ in doubles)

    def erase(self, utterance_ids: Sequence[str]) -> int:
        """See `AnnotationQueue.erase`."""
        with self.server.errors("erase a clip"):
            numbers = [
                row["id"]
                for chunk in _chunks(utterance_ids, LOOK_UP_CHUNK)
                for row in self.server.list_tasks(self.project_id, filters=[_keys_filter(chunk)], fields="task_only", include="id")
            ]
            for number in numbers:
                self.server.request("DELETE", f"/api/tasks/{number}/")
        return len(numbers)

    def page(self, utterance_id: str | None = None) -> str:
        """Address of the project, or of one clip in it."""
        address = f"{self.url}/projects/{self.project_id}/data"
        if utterance_id is None:
            return address
        return f"{address}?task={self.find_clips([utterance_id])[utterance_id].number}"


@lru_cache(maxsize=8)
def _interface(config: str) -> Any:
    """The SDK's reading of a labelling screen; building it takes as long as importing a hundred clips."""
    from label_studio_sdk import label_interface

    module: Any = label_interface
    return module.LabelInterface(config)


def _server_clip(row: Mapping[str, Any], emails: Mapping[int, str]) -> ServerClip:
    ticked: dict[str, frozenset[str]] = {}
    numbers: dict[str, tuple[int, ...]] = {}
    for prediction in sorted(row["predictions"], key=lambda p: int(p["id"])):
        version = str(prediction.get("model_version"))
        ticked[version] = ticked.get(version, frozenset()) | ticked_rows(prediction["result"] or [])
        numbers[version] = (*numbers.get(version, ()), int(prediction["id"]))
    return ServerClip(
        number=int(row["id"]),
        utterance_id=str(row["data"].get(KEY, "")),
        ticked=ticked,
        predictions=numbers,
        shown=_shown(row["data"]),
        annotations=tuple(sorted(int(a["id"]) for a in row["annotations"])),
        annotators=frozenset(_name(a.get("completed_by"), emails) for a in row["annotations"]),
    )


def _with_labels(scheme: Scheme, names: Iterable[str]) -> Scheme:
    return replace(scheme, labels=(*scheme.labels, *(SchemeLabel(name=name) for name in names)))


def _version(entry: QueueEntry) -> str:
    """The model version that the label stream shows of a clip."""
    if entry.rivals:
        return RIVALS
    return model_version(entry.predictions) if entry.predictions else ""


def _shown(data: Mapping[str, Any]) -> tuple[str, str]:
    return str(data.get("text", "")), str(data.get("audio", ""))


def _name(user: Any, emails: Mapping[int, str]) -> str:
    number = int(user["id"] if isinstance(user, Mapping) else user or 0)
    return emails.get(number, f"user-{number}")


def _keys_filter(keys: Sequence[str]) -> dict[str, object]:
    return {"filter": f"filter:tasks:data.{KEY}", "operator": "in_list", "type": "String", "value": list(keys)}


def _chunks(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
