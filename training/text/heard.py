"""What the machine heard in the examples: the text that a model will read in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from training.text.text_head import Heard
from voxdata.context import context_path, read_context, read_context_header
from voxdata.counted import counted
from voxdata.dataset import Example
from voxdata.errors import ManifestError


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineTexts:
    """The transcripts on record.

    Attributes:
        texts: Utterance id -> what the transcriber heard.
    """

    texts: Mapping[str, str]


def read_machine_texts(manifest: Path, *, version_id: str) -> MachineTexts | None:
    """What the context beside a manifest tells of the transcripts of its examples.

    Args:
        version_id: Of the manifest.

    Returns:
        None when the manifest has no context, as those of earlier releases.

    Raises:
        ManifestError: The context is malformed, not as it was written, or of another version.
    """
    path = context_path(manifest)
    if not path.exists():
        return None
    described = read_context_header(path).version_id
    if described != version_id:
        raise ManifestError(
            f"{path}: describes version {described[:12]}, and the manifest is of "
            f"{version_id[:12]}; train on the version again"
        )
    texts: dict[str, str] = {}
    for row in chain.from_iterable(read_context(path)):
        if row.is_labelled and row.machine_text is not None:
            texts[row.utterance_id] = row.machine_text
    return MachineTexts(texts=texts)


def machine_text(example: Example, on_record: MachineTexts | None) -> str:
    """What the transcriber heard; the text of the manifest, which a person may have corrected,
    where that is not on record.
    """
    if on_record is None:
        return example.text
    return on_record.texts.get(example.utterance_id, example.text)


def hear(examples: Sequence[Example], on_record: MachineTexts | None) -> Heard:
    """What the machine heard in examples, in their order."""
    return Heard(
        texts=[machine_text(example, on_record) for example in examples],
        languages=[example.language for example in examples],
    )


def note_source(examples: Sequence[Example], on_record: MachineTexts | None) -> str:
    """Says how many texts may be other than what the model will read in use; "" for none."""
    if on_record is None:
        return (
            "the texts are those of the manifest, which people may have corrected: "
            "no context.jsonl beside it says what the machine heard"
        )
    missing = [example for example in examples if example.utterance_id not in on_record.texts]
    if not missing:
        return ""
    return (
        f"of {counted(len(missing), 'example')} it is not on record what the machine heard; "
        "the text of the manifest is read instead"
    )
