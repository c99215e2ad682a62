"""Import: an exported version brought into a workspace, root and all."""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import soundfile  # type: ignore[import-untyped]
from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from flows.exchange.bundle import FORMAT, HEADER, ROWS, file_hashes, header_hash
from flows.sources import explain_store
from flows.workspace import Say, Workspace
from voxdata.canonical import write_canonical
from voxdata.dataset import Example, Split, decode_gold, fingerprint
from voxdata.errors import AudioError, ConfigError, DropReason, ManifestError
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.segment import Segment
from warehouse.leaves import adopt_salts
from warehouse.versions import DatasetVersion, create_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An export that was read back.

    Attributes:
        header: What voxdata.json says.
        examples: Sorted by utterance id; they give the root together with the leaves of rows that were erased.
        folder: Where it lies.
    """

    header: Mapping[str, object]
    examples: tuple[Example, ...]
    folder: Path

    @property
    def root(self) -> str:
        """The Merkle root it was checked against."""
        return str(self.header["root"])


def read_export(folder: Path) -> Export:
    """Read an export of any format back, and verify every file and the root.

    Raises:
        ManifestError: It is no export, a file was changed, or its rows do not give its root.
    """
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise ManifestError(f"{folder / HEADER}: format {header['format']!r}, this release reads {FORMAT!r}")
        expected, erased = dict(header["files"]), [str(leaf) for leaf in header["erased"]]
        lines = (folder / ROWS).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        examples = tuple(_example(json.loads(line)) for line in lines if line)
        root = fingerprint(examples, erased=erased)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{folder}: is no export, since {error.filename} is missing; name the folder that `voxdata export` wrote"
        ) from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{folder}: is malformed ({error!r}); export the version again") from error
    if header.get("sha256") != header_hash(header):
        raise ManifestError(f"{folder / HEADER}: is not as it was exported; export the version again")
    changed = sorted(name for name, sha in {**expected, **file_hashes(folder)}.items() if expected.get(name) != sha)
    missing = sorted(set(expected) - set(file_hashes(folder)))
    if changed or missing:
        raise ManifestError(f"{folder}: {', '.join((*missing, *changed)[:5])} is not as it was exported; export the version again")
    if root != header["root"]:
        raise ManifestError(
            f"{folder}: its rows give root {root[:12]}, its header says {str(header['root'])[:12]}; export the version again"
        )
    return Export(header=header, examples=examples, folder=folder)


def fetch_export(url: str, folder: Path) -> Path:
    """Copy an export from a store that fsspec reaches into an empty folder; returns the folder.

    Raises:
        ConfigError: There is no export, or the store is unknown or refuses access.
        TransientError: The store cannot be reached.
    """
    try:
        filesystem, root = url_to_fs(url.rstrip("/"))
        names = [path.removeprefix(f"{root}/") for path in filesystem.find(root)] if filesystem.exists(f"{root}/{HEADER}") else []
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            filesystem.get_file(f"{root}/{name}", str(folder / name))
    except Exception as error:  # every store raises exceptions of its own
        raise explain_store(url, error) from error
    if not names:
        raise ConfigError(f"{url}: holds no {HEADER}; name the place that `voxdata export --output` printed")
    return folder


def import_export(workspace: Workspace, export: Export, *, name: str, say: Say) -> tuple[DatasetVersion, bool]:
    """Bring an exported version into a workspace: the same examples under the same root, and their audio.

    Recordings that the workspace lacks are made of the clips, silent where there are none. Rows that were erased before the export do
    not come along; the version has another root then.

    Raises:
        ConfigError: The export has no clips, and the workspace not the recordings.
        WarehouseError: The name will not do.
    """
    needed = sorted({e.audio_file for e in export.examples if not (workspace.audio_dir / e.audio_file).exists()})
    if needed:
        clips = _clips(export)
        by_file: defaultdict[str, list[Example]] = defaultdict(list)
        for example in export.examples:
            by_file[example.audio_file].append(example)
        for number, audio_file in enumerate(needed, start=1):
            write_canonical(workspace.audio_dir / audio_file, _compose(by_file[audio_file], clips))
            if number % 100 == 0 or number == len(needed):
                say(f"import: {number}/{len(needed)} recordings")
    recipe: dict[str, object] = {"imported": {"ref": f"{export.header['name']}@{export.header['number']}", "root": export.root}}
    cut_by = export.header.get("recipe")
    if isinstance(cut_by, Mapping) and cut_by.get("simulated_annotators"):
        recipe["simulated_annotators"] = cut_by["simulated_annotators"]
    with workspace.warehouse() as con:
        adopt_salts(con, export.examples, run_id=workspace.run_id)
        return create_version(con, name, export.examples, recipe=recipe, run_id=workspace.run_id)


def _example(row: Mapping[str, object]) -> Example:
    gold = json.loads(str(row["gold"]))
    return Example(
        utterance_id=str(row["utterance_id"]), recording_id=str(row["recording_id"]), channel=int(str(row["channel"])),
        segment=Segment(start_ms=int(str(row["start_ms"])), end_ms=int(str(row["end_ms"]))), voice=str(row["voice"]),
        group=str(row["group"]), audio_file=str(row["audio_file"]), text=str(row["text"]), language=str(row["language"]),
        split=Split(str(row["split"])), gold=decode_gold(gold), salt=str(row["salt"]),
    )  # fmt: skip


def _clips(export: Export) -> Callable[[str], Samples]:
    """Utterance id -> its samples, wherever the format keeps them."""
    folder = export.folder
    files = {path.stem: path for place in ("audio", "wav") for path in (folder / place).glob("*")}
    members: dict[str, tuple[Path, str]] = {}
    for shard in sorted(folder.rglob("*.tar")):
        with tarfile.open(shard) as tar:
            members |= {Path(name).stem: (shard, name) for name in tar.getnames() if name.endswith(".flac")}
    inside: dict[str, bytes] = {}
    for parquet in sorted((folder / "data").glob("*.parquet")):
        for row in pq.read_table(parquet, columns=["utterance_id", "audio"]).to_pylist():
            inside[row["utterance_id"]] = row["audio"]["bytes"]

    def clip(utterance_id: str) -> Samples:
        if utterance_id in files:
            content = files[utterance_id].read_bytes()
        elif utterance_id in inside:
            content = inside[utterance_id]
        elif utterance_id in members:
            shard, name = members[utterance_id]
            with tarfile.open(shard) as tar:
                member = tar.extractfile(name)
                content = member.read() if member else b""
        else:
            raise ConfigError(f"{folder}: has no clip of utterance {utterance_id}; export with --audio clips")
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
        if rate != MODEL_RATE_HZ:
            raise AudioError(f"{utterance_id}: {rate} Hz, not {MODEL_RATE_HZ}", reason=DropReason.INVALID_FORMAT)
        return np.asarray(samples, dtype=np.float32)

    return clip


def _compose(examples: Sequence[Example], clip: Callable[[str], Samples]) -> Samples:
    """A recording made of its clips: (num_samples, num_channels) float32, silent elsewhere."""
    channels = max(e.channel for e in examples) + 1
    length = max(e.segment.end_ms for e in examples) * MODEL_RATE_HZ // 1000
    samples = np.zeros((length, channels), dtype=np.float32)
    for example in examples:
        start = example.segment.start_ms * MODEL_RATE_HZ // 1000
        found = clip(example.utterance_id)[: length - start]
        samples[start : start + len(found), example.channel] = found
    return samples
