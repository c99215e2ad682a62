"""The AnnotationQueue port on a Label Studio server.

With `server_api` it is the only module that knows the server's SDK.

Measured traps this works around: importing the same task twice makes two; the SDK's own retries
double imports; an unknown choice in a prediction is stored or dropped in silence; a cursor time
without fractions is answered with an error 500; skipped annotations are missing from the annotation
list; deletions are invisible to the cursor.
"""

from __future__ import annotations

from collections import defaultdict
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
    Json,
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
"""Folder below the media folder that the server may serve, which must not be that folder itself."""

LOOK_UP_CHUNK = 500
"""Keys in one address: 18 KB; a proxy that allows less than that says 414."""

IMPORT_CHUNK = 1_000
WHOLE_CLIP = (
    "id,data,annotations,predictions,result,was_cancelled,lead_time,updated_at,"
    "completed_by,updated_by,parent_prediction,model_version"
)
"""Fields of a task, and of the annotations and predictions in it.

Asking for all takes the server twice as long."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_RETRY = {"max_retries": 0, "timeout_in_seconds": 600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the server shows of a clip.

    Attributes:
        audio: Address of the sound.
    """

    text: str
    audio: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerClip:
    """A clip as the server has it.

    Attributes:
        number: The server's id of it.
        ticked: Model version of each proposal it carries -> schemes in which that ticks a label.
        predictions: The server's ids of them, by model version.
        shown: As the server has it now.
        annotations: The server's ids of the answers and skips.
        annotators: Login names of those who answered or skipped it.
        doubles: Ids of further copies of it that nobody has worked on.
    """

    number: int
    utterance_id: str
    ticked: Mapping[str, frozenset[str]] = field(hash=False)
    predictions: Mapping[str, tuple[int, ...]] = field(hash=False)
    shown: Shown
    annotations: tuple[int, ...]
    annotators: frozenset[str]
    doubles: tuple[int, ...] = ()

    @property
    def model_versions(self) -> frozenset[str]:
        """Those of the proposals it carries."""
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
        votes_wanted: People who usually hear a clip; a project that is there keeps its own number,
            and clips say when they want another.
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
        self._former: dict[str, dict[str, int]] = {}
        for name, history in (histories or {}).items():
            self._former[name] = history.former_labels()
        self._readable = [
            _with_labels(scheme, self._former.get(scheme.name, {})) for scheme in schemes
        ]
        self._language = language
        self._config = build_config(schemes, language=language)
        self._instructions = build_instructions(schemes, guidelines=guidelines, language=language)
        self._media_dir = media_dir
        self._votes_wanted = self._usual_votes = votes_wanted
        self._proven: set[str] = set()
        self._newest_shown = ""

    @property
    def url(self) -> str:
        """The server's."""
        return self.server.url

    @property
    def project_id(self) -> int:
        """The server's id of the project, found by its title or made.

        Raises:
            AnnotationError: The server refused the labelling screen, for instance because a control
                in use was renamed.
            TransientError: The server could not be reached.
        """
        return int(self._project["id"])

    @property
    def made_at(self) -> str:
        """When the server made the project. Raises as `project_id`.

        It tells the project from one with the same id on a server that was set up again.
        """
        return str(self._project["created_at"])

    @cached_property
    def _project(self) -> Json:
        with self.server.errors("find or make the project"):
            project = self._find_or_make_project()
            self._newest_shown = str(project.get("model_version") or "")
            # A change of it would overwrite the number that single clips were given.
            self._usual_votes = int(project["maximum_annotations"])
            self._attach_storage(int(project["id"]))
        return project

    def _find_or_make_project(self) -> Json:
        wanted = {
            "title": self.title,
            "label_config": self._config,
            "expert_instruction": self._instructions,
            "show_instruction": True,
            "show_collab_predictions": True,
            # Served in the order of the predictions' scores, lowest first.
            "sampling": "Uncertainty sampling",
        }
        same_title = [p for p in self._projects() if p["title"] == self.title]
        if same_title:
            project = min(same_title, key=lambda project: int(project["id"]))
            if any(project.get(name) != value for name, value in wanted.items()):
                self.server.request(
                    "PATCH",
                    f"/api/projects/{project['id']}/",
                    json=wanted,
                )
            return project

        with self.server.sdk_errors("make the project"):
            made = self.server.sdk.projects.create(
                **wanted,
                maximum_annotations=self._votes_wanted,
                request_options=NO_RETRY,
            )
        answer = self.server.request("GET", f"/api/projects/{made.id}/")
        made_project: Json = answer.json()
        return made_project

    def _projects(self) -> Iterator[Json]:
        for page in count(1):
            answer = self.server.read_page(f"/api/projects/?page_size=100&page={page}", kind=dict)
            yield from answer["results"]
            if not answer.get("next"):
                return

    def _attach_storage(self, project_id: int) -> None:
        folder = self._media_dir / CLIPS
        folder.mkdir(parents=True, exist_ok=True)
        address = "/api/storages/localfiles/"
        answer = self.server.request("GET", address, params={"project": project_id})
        attached = answer.json()
        if not any(storage["path"] == str(folder) for storage in attached):
            storage = {
                "project": project_id,
                "path": str(folder),
                "title": CLIPS,
                "use_blob_urls": True,
            }
            self.server.request("POST", address, json=storage)

    def push(
        self,
        entries: Sequence[QueueEntry],
        *,
        recorded: Collection[str] | None = None,
        done: Callable[[PushResult], None] | None = None,
    ) -> PushResult:
        """See `AnnotationQueue.push`.

        The next clips are encoded, and `done` runs, while the server takes some.
        """
        wanted = _by_id(entries)
        distinct = list(wanted.values())
        chunks = [_by_id(chunk) for chunk in _chunks(distinct, IMPORT_CHUNK)]
        total = PushResult(
            pushed=(),
            already_there=(),
            predictions_added=(),
        )
        with ThreadPoolExecutor(max_workers=2) as beside:
            # All are checked before the first leaves: a bad one stops the push with nothing sent.
            encodings = [beside.submit(self._prepare, chunk) for chunk in chunks]
            in_queue: Collection[str] = wanted
            if recorded is not None and self.counts().clips == len(recorded):
                in_queue = recorded
            prepared = [encoding.result() for encoding in encodings]

            notes = []
            for chunk, encoded in zip(chunks, prepared, strict=True):
                before = self.find_clips([key for key in chunk if key in in_queue])
                part = self._push_chunk(chunk, encoded, before)
                total = add_up(total, part)
                if done is not None:
                    notes.append(beside.submit(done, part))
            self._show_newest(entries)
            for note in notes:
                note.result()
        return total

    def _prepare(self, chunk: Mapping[str, QueueEntry]) -> dict[str, Json]:
        encoded = {key: self._encode(entry) for key, entry in chunk.items()}
        self._validate(chunk, encoded)
        return encoded

    def _push_chunk(
        self,
        wanted: Mapping[str, QueueEntry],
        encoded: Mapping[str, Json],
        before: Mapping[str, ServerClip],
    ) -> PushResult:
        missing = [key for key in wanted if key not in before]
        numbers = self._import([encoded[key] for key in missing])

        changed: dict[ServerClip, QueueEntry] = {}
        unfit: dict[ServerClip, QueueEntry] = {}
        for key, clip in before.items():
            if clip.shown != _shown(encoded[key]["data"]):
                changed[clip] = wanted[key]
            elif clip.ticks_otherwise(wanted[key]):
                unfit[clip] = wanted[key]
        self._replace(changed)
        self._remove_predictions(unfit)

        stale: dict[int, QueueEntry] = {}
        for key, clip in before.items():
            entry = wanted[key]
            lacks_proposal = clip in unfit or _version(entry) not in clip.model_versions
            if entry.predictions and lacks_proposal:
                stale[clip.number] = entry
        bare = {clip.number: entry for clip, entry in changed.items() if entry.predictions}
        self._add_predictions(bare | stale)

        new_clips = zip(numbers, missing, strict=True)
        self._spread({number: wanted[key].votes_wanted for number, key in new_clips})
        return PushResult(
            pushed=tuple(missing),
            already_there=tuple(key for key in wanted if key in before),
            predictions_added=tuple(entry.utterance_id for entry in stale.values()),
            replaced=tuple(entry.utterance_id for entry in changed.values()),
        )

    def _encode(self, entry: QueueEntry) -> Json:
        task = encode_entry(entry, schemes=self._schemes, language=self._language)
        if entry.answers:
            task["annotations"] = [self._answer(annotation) for annotation in entry.answers]
        return task

    @cached_property
    def _emails(self) -> dict[int, str]:
        with self.server.errors("list accounts"):
            return self.server.emails()

    @cached_property
    def _accounts(self) -> dict[str, int]:
        """Login name -> the server's id of the account."""
        return {email: number for number, email in self._emails.items()}

    def _answer(self, annotation: Annotation) -> Json:
        if annotation.annotator not in self._accounts:
            raise AnnotationError(
                f"{annotation.annotator} has no account in Label Studio at {self.url}; "
                "make one, then go on"
            )
        result = encode_labels(
            annotation.labels,
            schemes=self._schemes,
            ratings=annotation.ratings,
            flags=annotation.flags,
            text=annotation.text,
        )
        if annotation.simulated is not None:
            result.append(encode_simulation(annotation.annotator, annotation.simulated))
        lead_time_ms = annotation.lead_time_ms
        return {
            "result": result,
            "was_cancelled": annotation.skipped,
            "lead_time": None if lead_time_ms is None else lead_time_ms / 1000,
            "completed_by": self._accounts[annotation.annotator],
            "ground_truth": False,
        }

    def restore(self, annotations: Sequence[Annotation]) -> None:
        """See `AnnotationQueue.restore`."""
        clips = self.find_clips([annotation.utterance_id for annotation in annotations])
        with self.server.errors("write annotations again"):
            for annotation in annotations:
                number = clips[annotation.utterance_id].number
                answer = self._answer(annotation)
                self.server.request("POST", f"/api/tasks/{number}/annotations/", json=answer)

    def _validate(
        self,
        wanted: Mapping[str, QueueEntry],
        encoded: Mapping[str, Json],
    ) -> None:
        """The server stores anything, so proposals are checked before they leave."""
        for key, entry in wanted.items():
            audio = self._media_dir / entry.audio_file
            if not audio.is_file():
                raise AnnotationError(f"clip {key}: {audio} is missing; push again")
        for key, task in encoded.items():
            for prediction in task["predictions"]:
                self._validate_prediction(key, prediction)

    def _validate_prediction(self, key: str, prediction: Json) -> None:
        """Each distinct answer needs it once."""
        rows = [row for row in prediction["result"] if row["type"] != "textarea"]
        answer = str([(row["from_name"], row["value"]) for row in rows])
        if answer in self._proven:
            return
        screen = _interface(self._config)
        errors = screen.validate_prediction(prediction, return_errors=True)
        if errors:
            raise AnnotationError(
                f"clip {key}: proposal does not fit the labelling screen: {errors[0]}"
            )
        self._proven.add(answer)

    def _import(self, tasks: Sequence[Json]) -> list[int]:
        """Import clips; returns the server's ids of them, in order."""
        if not tasks:
            return []
        address = f"/api/projects/{self.project_id}/import"
        options = {"return_task_ids": "true"}
        with self.server.errors("import clips"):
            answer = self.server.request(
                "POST",
                address,
                params=options,
                json=tasks,
            ).json()
            numbers = answer["task_ids"]
        if len(numbers) != len(tasks):
            raise TransientError(
                f"Label Studio kept {len(numbers)} of {len(tasks)} clips; push again"
            )
        return list(map(int, numbers))

    def _spread(self, votes_wanted: Mapping[int, int]) -> None:
        """Ask other than the usual number of people to hear a clip; an import cannot say so."""
        with self.server.errors("set how many people should hear a clip"):
            for number, votes in votes_wanted.items():
                if votes != self._usual_votes:
                    self.server.request(
                        "PATCH",
                        f"/api/tasks/{number}/",
                        json={"overlap": votes},
                    )

    def _replace(self, changed: Mapping[ServerClip, QueueEntry]) -> None:
        """Show another text and clip; the proposals go first, since they repeat the old text."""
        with self.server.errors("replace a clip"):
            for clip, entry in changed.items():
                for number in chain.from_iterable(clip.predictions.values()):
                    self._delete_prediction(number)
                data = {"data": self._encode(entry)["data"]}
                self.server.request(
                    "PATCH",
                    f"/api/tasks/{clip.number}/",
                    json=data,
                )

    def _remove_predictions(self, unfit: Mapping[ServerClip, QueueEntry]) -> None:
        """Take away proposals that tick what should not be ticked, or the other way round."""
        with self.server.errors("take proposals away"):
            for clip, entry in unfit.items():
                for number in clip.predictions[_version(entry)]:
                    self._delete_prediction(number)

    def _delete_prediction(self, number: int) -> None:
        self.server.request("DELETE", f"/api/predictions/{number}/")

    def _delete_clip(self, number: int) -> None:
        self.server.request("DELETE", f"/api/tasks/{number}/")

    def _add_predictions(self, stale: Mapping[int, QueueEntry]) -> None:
        if not stale:
            return
        rows = []
        for number, entry in stale.items():
            proposal = encode_predictions(entry, schemes=self._schemes, language=self._language)
            rows.append({"task": number, **proposal})
        with self.server.errors("add proposals"):
            address = f"/api/projects/{self.project_id}/import/predictions"
            answer = self.server.request("POST", address, json=rows).json()
            created = answer.get("created")
        if created != len(rows):
            raise AnnotationError(
                f"Label Studio kept {created} of {len(rows)} proposals; push again"
            )

    def _show_newest(self, entries: Sequence[QueueEntry]) -> None:
        versions = filter(None, map(_version, reversed(entries)))
        newest = next(versions, None)
        if newest is None or newest == self._newest_shown:
            return
        # The server shows what the first import into an empty project brings.
        if self._newest_shown != "":
            with self.server.errors("choose the proposals to show"):
                address = f"/api/projects/{self.project_id}/"
                self.server.request("PATCH", address, json={"model_version": newest})
        self._newest_shown = newest

    def pull(
        self,
        *,
        since: datetime | None,
        seen: Mapping[str, str] | None = None,
    ) -> PullResult:
        """See `AnnotationQueue.pull`."""
        seen = seen or {}
        changed: dict[str, str] = {}
        with self.server.errors("look for changes"):
            read_at = self.server.now()
            marks = self._list_marks(since or EPOCH)
        for key, mark in marks.items():
            if seen.get(key) != mark:
                changed[key] = mark
        pulled = self.pull_clips(list(changed))
        return replace(pulled, marks=changed, read_at=read_at)

    def _list_marks(self, since: datetime) -> dict[str, str]:
        """Utterance id of each clip that was changed since then -> when that was, in text."""
        changed_since = {
            "filter": "filter:tasks:updated_at",
            "operator": "greater_or_equal",
            "type": "Datetime",
            # Without fractions the server fails.
            "value": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        listed = self.server.list_tasks(
            self.project_id,
            filters=[changed_since],
            fields="task_only",
            include="data,updated_at",
            ordering="tasks:updated_at",
            page_size=5_000,
        )
        return {_key(clip): str(clip["updated_at"]) for clip in listed}

    def pull_clips(self, utterance_ids: Sequence[str]) -> PullResult:
        """See `AnnotationQueue.pull_clips`."""
        annotations: dict[int, Annotation] = {}
        refused: dict[int, Refusal] = {}
        clips: set[str] = set()
        with self.server.errors("read annotations"):
            emails = self.server.emails() if utterance_ids else {}
            for clip in self._list_clips(utterance_ids, include=WHOLE_CLIP):
                key = _key(clip)
                clips.add(key)
                for row in clip["annotations"]:
                    number = int(row["id"])
                    try:
                        annotations[number] = self._decode(row, clip, emails)
                    except AnnotationError as error:
                        refused[number] = Refusal(
                            annotation_id=number,
                            utterance_id=key,
                            why=str(error),
                        )
        ordered = sorted(annotations.values(), key=lambda a: (a.updated_at, a.annotation_id))
        return PullResult(
            annotations=tuple(ordered),
            clips=frozenset(clips),
            refused=tuple(refused.values()),
        )

    def _list_clips(
        self,
        keys: Sequence[str],
        *,
        include: str,
        fields: str = "all",
    ) -> Iterator[Json]:
        """Tasks with these utterance ids, in as many calls as needed.

        Args:
            include: As `LabelStudioServer.list_tasks` takes it, like `fields`.
        """
        for chunk in _chunks(keys, LOOK_UP_CHUNK):
            wanted = {
                "filter": f"filter:tasks:data.{KEY}",
                "operator": "in_list",
                "type": "String",
                "value": list(chunk),
            }
            yield from self.server.list_tasks(
                self.project_id,
                filters=[wanted],
                fields=fields,
                include=include,
            )

    def _decode(self, row: Json, clip: Json, emails: Mapping[int, str]) -> Annotation:
        # The prediction of a blind clip proposes nothing: it only keeps the clip in its place.
        proposals = [prediction for prediction in clip["predictions"] if prediction["result"]]
        versions = {
            int(proposal["id"]): ticked_models(str(proposal["model_version"]), proposal["result"])
            for proposal in proposals
        }
        decoded = decode_annotation(
            row,
            project_id=self.project_id,
            utterance_id=_key(clip),
            proposed_text=str(clip["data"].get("text", "")),
            annotator=_name(row["completed_by"], emails),
            author=_name(row["updated_by"], emails) if row["updated_by"] else "",
            schemes=self._readable,
            model_versions=versions,
        )
        return replace(decoded, scheme_versions=self._scheme_versions(decoded))

    def _scheme_versions(self, decoded: Annotation) -> dict[str, int]:
        """The newest version of each scheme that has all labels the annotation names."""
        versions = {}
        for scheme in self._schemes:
            former = self._former.get(scheme.name, {})
            labels = decoded.labels.get(scheme.name, ())
            last_versions = [former.get(label, scheme.version) for label in labels]
            versions[scheme.name] = min([scheme.version, *last_versions])
        return versions

    def list_copies(self) -> dict[str, list[tuple[int, ...]]]:
        """See `AnnotationQueue.list_copies`."""
        copies: defaultdict[str, list[tuple[int, ...]]] = defaultdict(list)
        with self.server.errors("list clips"):
            listed = self.server.list_tasks(
                self.project_id,
                include="id,data,annotations",
                page_size=5_000,
            )
            for clip in listed:
                numbers = tuple(int(row["id"]) for row in clip["annotations"])
                copies[_key(clip)].append(numbers)
        return dict(copies)

    def counts(self) -> QueueCounts:
        """See `AnnotationQueue.counts`."""
        options = {
            "ids": self.project_id,
            "include": "task_number,total_annotations_number,skipped_annotations_number",
        }
        with self.server.errors("count clips"):
            answer = self.server.request("GET", "/api/projects/counts/", params=options).json()
            (row,) = answer["results"]
        return QueueCounts(
            clips=row["task_number"],
            annotations=row["total_annotations_number"] + row["skipped_annotations_number"],
        )

    def find_clips(self, keys: Sequence[str]) -> dict[str, ServerClip]:
        """Clips the server has, by utterance id.

        The look-up by our own key is what makes a push repeatable. Of several copies of a clip, the
        one with the most answers counts.

        Raises:
            TransientError: The server could not be reached.
        """
        copies: defaultdict[str, list[ServerClip]] = defaultdict(list)
        with self.server.errors("look clips up"):
            emails = self.server.emails() if keys else {}
            for row in self._list_clips(keys, include=WHOLE_CLIP):
                clip = _server_clip(row, emails)
                copies[clip.utterance_id].append(clip)
        return {key: _choose_copy(clips) for key, clips in copies.items()}

    def remove_doubles(self, utterance_ids: Sequence[str]) -> tuple[str, ...]:
        """See `AnnotationQueue.remove_doubles`."""
        clips = self.find_clips(utterance_ids)
        removed = []
        with self.server.errors("remove a doubled clip"):
            for key, clip in clips.items():
                for number in clip.doubles:
                    self._delete_clip(number)
                    removed.append(key)
        return tuple(removed)

    def erase(self, utterance_ids: Sequence[str]) -> int:
        """See `AnnotationQueue.erase`."""
        with self.server.errors("erase a clip"):
            # All are listed before the first goes, which would move the pages.
            tasks = self._list_clips(utterance_ids, fields="task_only", include="id")
            numbers = [task["id"] for task in tasks]
            for number in numbers:
                self._delete_clip(number)
        return len(numbers)

    def page(self, utterance_id: str | None = None) -> str:
        """Address of the project, or of one clip in it."""
        address = f"{self.url}/projects/{self.project_id}/data"
        if utterance_id is None:
            return address
        clip = self.find_clips([utterance_id])[utterance_id]
        return f"{address}?task={clip.number}"


@lru_cache(maxsize=8)
def _interface(config: str) -> Any:
    """The SDK's reading of a labelling screen; to build it takes as long as importing 100 clips."""
    from label_studio_sdk import label_interface

    module: Any = label_interface
    return module.LabelInterface(config)


def _server_clip(row: Json, emails: Mapping[int, str]) -> ServerClip:
    ticked: dict[str, frozenset[str]] = {}
    numbers: dict[str, tuple[int, ...]] = {}
    for prediction in sorted(row["predictions"], key=lambda prediction: int(prediction["id"])):
        version = str(prediction.get("model_version"))
        rows = ticked_rows(prediction["result"] or [])
        ticked[version] = ticked.get(version, frozenset()) | rows
        number = int(prediction["id"])
        numbers[version] = (*numbers.get(version, ()), number)

    answers = row["annotations"]
    answer_ids = sorted(int(answer["id"]) for answer in answers)
    annotators = {_name(answer.get("completed_by"), emails) for answer in answers}
    return ServerClip(
        number=int(row["id"]),
        utterance_id=_key(row),
        ticked=ticked,
        predictions=numbers,
        shown=_shown(row["data"]),
        annotations=tuple(answer_ids),
        annotators=frozenset(annotators),
    )


def _choose_copy(clips: Sequence[ServerClip]) -> ServerClip:
    """The copy with the most answers, which names the other copies that nobody worked on."""
    best = max(clips, key=lambda clip: (len(clip.annotations), -clip.number))
    untouched = [clip.number for clip in clips if clip is not best and not clip.annotations]
    return replace(best, doubles=tuple(sorted(untouched)))


def _with_labels(scheme: Scheme, names: Iterable[str]) -> Scheme:
    former = [SchemeLabel(name=name) for name in names]
    return replace(scheme, labels=(*scheme.labels, *former))


def _version(entry: QueueEntry) -> str:
    """The model version that the label stream shows of a clip."""
    if entry.rivals:
        return RIVALS
    return model_version(entry.predictions) if entry.predictions else ""


def _shown(data: Json) -> Shown:
    return Shown(
        text=str(data.get("text", "")),
        audio=str(data.get("audio", "")),
    )


def _key(task: Json) -> str:
    """The utterance id of a task; "" for one that is not ours."""
    return str(task["data"].get(KEY, ""))


def _name(user: Any, emails: Mapping[int, str]) -> str:
    """Login name of a user, whom the server gives as an id or as a dict with one."""
    number = int(user["id"] if isinstance(user, Mapping) else user or 0)
    return emails.get(number, f"user-{number}")


def _by_id(entries: Iterable[QueueEntry]) -> dict[str, QueueEntry]:
    return {entry.utterance_id: entry for entry in entries}


def _chunks(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
