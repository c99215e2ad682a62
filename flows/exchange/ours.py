"""Import: an exported version brought into a workspace, root and all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from duckdb import DuckDBPyConnection

from flows.exchange.staging import Staging, stage_audio
from flows.workspace import Say, Workspace
from voxdata.admission import check_schemes, count_labels
from voxdata.audio_digest import AudioDigest, read_digest
from voxdata.canonical import open_canonical, write_canonical
from voxdata.counted import counted
from voxdata.dataset import Example
from voxdata.errors import ManifestError
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.progress import Progress
from warehouse.audio_digests import add_audio_digests, list_audio_digests
from warehouse.exchange.bundle import canonical_path
from warehouse.exchange.read import TOLERANCE_MS, Export, check_lengths, export_files
from warehouse.exchange.read_clips import find_clips
from warehouse.gate import forgotten_among
from warehouse.leaves import adopt_salts
from warehouse.versions import DatasetVersion, check_name_form, create_version


def import_export(
    workspace: Workspace, export: Export, *, name: str, say: Say
) -> tuple[DatasetVersion, bool]:
    """Bring an exported version into a workspace: the same examples under the same root, and their
    audio.

    Everything is checked first; rows and audio come together or not at all. Recordings that the
    workspace lacks are made of the clips, silent where there are none. Rows that were erased before
    the export do not come along, nor those of recordings that were forgotten here; the version has
    another root then.

    Raises:
        ConfigError: The export has no clips, and the workspace not the recordings; or a recording
            is longer than [sources] max_hours.
        AudioError: A clip cannot be read.
        ManifestError: An archive of the export holds a link or a stray file, or everybody in it was
            forgotten here.
        SchemeError: A scheme of the workspace lacks one of the labels.
        WarehouseError: The name will not do.
    """
    check_name_form(name)
    for remark in check_schemes(
        count_labels(export.examples), workspace.schemes, origin=export.origin
    ):
        say(f"import: {remark}")
    by_recording: defaultdict[str, list[Example]] = defaultdict(list)
    for example in export.examples:
        by_recording[example.recording_id].append(example)
    check_lengths(export, max_ms=round(workspace.settings.sources.max_hours * 3_600_000))
    recipe = _recipe_of(export)
    needed = _missing_recordings(workspace, by_recording, origin=export.origin)
    with stage_audio(workspace, say=say) as staging:
        made = _stage(export, {key: by_recording[key] for key in needed}, staging, say=say)
        with workspace.warehouse() as con:
            examples = admit(con, export.examples, say=say)
            if not examples:
                raise ManifestError(
                    f"{export.origin}: everybody in it was forgotten here; "
                    "`voxdata forget --renew` lets them in"
                )
            admitted = {example.recording_id for example in examples}

            def bring_along() -> None:
                adopt_salts(con, examples, run_id=workspace.run_id)
                add_audio_digests(
                    con,
                    [one for one in made if one.recording_id in admitted],
                    run_id=workspace.run_id,
                )
                staging.publish([key for key in needed if key in admitted])

            return create_version(
                con,
                name,
                examples,
                recipe=recipe,
                run_id=workspace.run_id,
                along=bring_along,
            )


def _recipe_of(export: Export) -> dict[str, object]:
    """How the imported version came about, as far as it matters here."""
    recipe: dict[str, object] = {"imported": {"ref": export.ref, "root": export.root}}
    cut_by = export.header.get("recipe")
    if isinstance(cut_by, Mapping) and cut_by.get("simulated_annotators"):
        recipe["simulated_annotators"] = cut_by["simulated_annotators"]
    return recipe


def _stage(
    export: Export, needed: Mapping[str, Sequence[Example]], staging: Staging, *, say: Say
) -> list[AudioDigest]:
    """Make the canonical audio of recordings that are not here from the clips of an export.

    Args:
        needed: Recording -> its examples.

    Returns:
        The digest of each.
    """
    if not needed:
        return []
    clips = find_clips(export.folder, export_files(export), origin=export.origin)
    made: list[AudioDigest] = []
    for number, (key, examples) in enumerate(needed.items(), start=1):
        place = staging.place(key)
        write_canonical(place, _compose(examples, clips.read))
        made.append(read_digest(place, key))
        if number % 100 == 0 or number == len(needed):
            line = f"import: {number}/{len(needed)} recordings"
            say(Progress(line, done=number, total=len(needed)))
    return made


def admit(con: DuckDBPyConnection, examples: Sequence[Example], *, say: Say) -> list[Example]:
    """Those of some examples whose recordings may come in; says how many may not."""
    forgotten = forgotten_among(con, {example.recording_id for example in examples})
    kept = [example for example in examples if example.recording_id not in forgotten]
    if len(kept) < len(examples):
        left_out = counted(
            len(examples) - len(kept), "example of somebody who was", "examples of people who were"
        )
        say(f"import: left out {left_out} forgotten here")
    return kept


def _missing_recordings(
    workspace: Workspace, by_recording: Mapping[str, Sequence[Example]], *, origin: str
) -> list[str]:
    """Recordings without canonical audio here, sorted.

    Those that are here must hold every segment.
    """
    missing = []
    with workspace.warehouse() as con:
        digests = list_audio_digests(con, by_recording)
    for recording_id, examples in sorted(by_recording.items()):
        path = canonical_path(workspace.audio_dir, recording_id)
        if not path.exists():
            missing.append(recording_id)
            continue
        channels = open_canonical(path, expected=digests.get(recording_id))
        length_ms = channels[0].num_samples * 1000 // MODEL_RATE_HZ
        for example in examples:
            if (
                example.channel >= len(channels)
                or example.segment.end_ms > length_ms + TOLERANCE_MS
            ):
                raise ManifestError(
                    f"{origin}: utterance {example.utterance_id} is on channel "
                    f"{example.channel} up to {example.segment.end_ms} ms, and "
                    f"recording {recording_id} has {len(channels)} channel(s) of {length_ms} ms "
                    "here; do not import it"
                )
    return missing


def _compose(examples: Sequence[Example], clip: Callable[[Example], Samples]) -> Samples:
    """A recording made of its clips: (num_samples, num_channels) float32, silent elsewhere."""
    channels = max(e.channel for e in examples) + 1
    length = max(e.segment.end_ms for e in examples) * MODEL_RATE_HZ // 1000
    samples = np.zeros((length, channels), dtype=np.float32)
    for example in examples:
        start = example.segment.start_ms * MODEL_RATE_HZ // 1000
        heard = clip(example)[: length - start]
        samples[start : start + len(heard), example.channel] = heard
    return samples
