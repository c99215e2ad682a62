"""A trained model on disk: `head.safetensors` and `model.json`, known by their content.

One that reads no text is a head on an encoder. Any other is made of parts: a head on an encoder, a
head on texts, and how their answers are joined. A model that only reads loads no model framework.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import safetensors.numpy
from safetensors import SafetensorError

from training.config import TrainingConfig, encode_config, parse_config
from training.text.join import Join
from training.text.text_head import Singles, TextHead, decode_text_head, encode_text_head
from voxdata.durable import write_file
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef, canonical_json

if TYPE_CHECKING:
    from training.models.average import HeadAverage
    from training.models.head import Head

T = TypeVar("T")

FORMAT = "voxdata-head/2"
PARTS_FORMAT = "voxdata-model/2"
READABLE = ("voxdata-head/1", FORMAT, PARTS_FORMAT)
"""In the first format the configuration is flat. Only the last one holds a text head."""

_AUDIO, _TEXT = "audio.", "text."
"""With these begin the names of a part's tensors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Trained heads and all that is needed to use them: `audio`, `text`, or both with `join`.

    Attributes:
        labels: In the order of the heads' outputs.
        version_id: The dataset version it was trained on.
        versions: Library name -> version at training time.
    """

    config: TrainingConfig
    labels: tuple[str, ...]
    version_id: str
    versions: Mapping[str, str]
    audio: AudioPart | None = None
    text: TextPart | None = None
    join: Join | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPart:
    """A head on an encoder.

    Attributes:
        encoder_revision: The weights it was trained on; others are refused.
        padding_policy: How clips became features.
        shape: (num_layers, dim) of its input.
        feature_dtype: To whose digits the features were rounded that it learnt from; "float32" for
            those of earlier releases, which were not rounded.
    """

    head: Head | HeadAverage
    encoder_revision: str
    padding_policy: str
    shape: tuple[int, int]
    feature_dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """A head on transcripts.

    Attributes:
        policy: How texts became n-grams.
        sentence_model: The revision of the sentence model; "" where none is read.
    """

    head: TextHead
    policy: str
    sentence_model: str


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> ModelRef:
    """Write both files and return the model's identity.

    Raises:
        MachineError: They cannot be written.
    """
    if checkpoint.text is None:
        weights, card = _encode_head(checkpoint)
    else:
        weights, card = _encode_parts(checkpoint)
    card["revision"] = _revision(weights, card)
    content = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
    write_file(folder / "head.safetensors", weights)
    write_file(folder / "model.json", content.encode())
    return _model_ref(card)


def _encode_head(checkpoint: Checkpoint) -> tuple[bytes, dict[str, object]]:
    """Weights and card of a model that only listens."""
    import safetensors.torch

    audio = checkpoint.audio
    if audio is None:
        raise TrainingError("a model without any head cannot be saved; train again")
    state = audio.head.state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    card: dict[str, object] = {
        "format": FORMAT,
        "config": encode_config(checkpoint.config),
        "labels": list(checkpoint.labels),
        "encoder": checkpoint.config.encoder,
        "encoder_revision": audio.encoder_revision,
        "padding_policy": audio.padding_policy,
        "version_id": checkpoint.version_id,
        "seed": checkpoint.config.seed,
        "versions": dict(checkpoint.versions),
        "shape": list(audio.shape),
        "feature_dtype": audio.feature_dtype,
    }
    return safetensors.torch.save(tensors), card


def _encode_parts(checkpoint: Checkpoint) -> tuple[bytes, dict[str, object]]:
    """Weights and card of a model that reads; the name of a tensor begins with its part."""
    tensors: dict[str, Singles] = {}
    card: dict[str, object] = {
        "format": PARTS_FORMAT,
        "config": encode_config(checkpoint.config),
        "labels": list(checkpoint.labels),
        "version_id": checkpoint.version_id,
        "seed": checkpoint.config.seed,
        "versions": dict(checkpoint.versions),
    }
    audio, text, join = checkpoint.audio, checkpoint.text, checkpoint.join
    if audio is not None:
        for name, tensor in audio.head.state_dict().items():
            tensors[_AUDIO + name] = tensor.contiguous().numpy()
        card["audio"] = {
            "encoder": checkpoint.config.encoder,
            "encoder_revision": audio.encoder_revision,
            "padding_policy": audio.padding_policy,
            "shape": list(audio.shape),
            "feature_dtype": audio.feature_dtype,
        }
    if text is not None:
        for name, values in encode_text_head(text.head).items():
            tensors[_TEXT + name] = values
        card["text"] = {"policy": text.policy, "sentence_model": text.sentence_model}
    if join is not None:
        card["join"] = asdict(join)
    return safetensors.numpy.save(tensors), card


def load_checkpoint(folder: Path) -> tuple[Checkpoint, ModelRef]:
    """Read and verify a checkpoint.

    Raises:
        TrainingError: A file is missing or malformed, or the content does not match its revision.
    """
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        weights = (folder / "head.safetensors").read_bytes()
        if card["format"] not in READABLE:
            raise TrainingError(
                f"{folder}: format {card['format']!r}, this release reads {', '.join(READABLE)}; "
                "use the release that wrote it, or train again"
            )
        if _revision(weights, card) != card["revision"]:
            raise TrainingError(
                f"{folder}: the content does not match its revision {card['revision'][:12]}; "
                "train again or restore it"
            )
        checkpoint = _decode(card, weights, origin=str(folder / "model.json"))
        return checkpoint, _model_ref(card)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"{folder}: is no readable checkpoint ({error!r}); train again or restore it"
        ) from error


def _decode(card: Mapping[str, Any], weights: bytes, *, origin: str) -> Checkpoint:
    config = parse_config(card["config"], origin=origin)
    labels = tuple(card["labels"])
    audio = text = join = None
    if card["format"] != PARTS_FORMAT:
        audio = _decode_audio(card, weights, config, prefix="", num_labels=len(labels))
    elif "audio" in card:
        audio = _decode_audio(card["audio"], weights, config, prefix=_AUDIO, num_labels=len(labels))
    if "text" in card:
        text = _decode_text(card["text"], weights, config)
    if "join" in card:
        join = Join(audio=float(card["join"]["audio"]), text=float(card["join"]["text"]))
    return Checkpoint(
        config=config,
        labels=labels,
        version_id=card["version_id"],
        versions=card["versions"],
        audio=audio,
        text=text,
        join=join,
    )


def _decode_audio(
    card: Mapping[str, Any],
    weights: bytes,
    config: TrainingConfig,
    *,
    prefix: str,
    num_labels: int,
) -> AudioPart:
    import safetensors.torch

    from training.models.average import make_head

    num_layers, dim = card["shape"]
    head = make_head(
        num_layers=num_layers,
        dim=dim,
        num_labels=num_labels,
        config=config,
    )
    head.load_state_dict(_select(safetensors.torch.load(weights), prefix))
    return AudioPart(
        head=head.eval(),
        encoder_revision=card["encoder_revision"],
        padding_policy=card["padding_policy"],
        shape=(num_layers, dim),
        feature_dtype=str(card.get("feature_dtype", "float32")),
    )


def _decode_text(card: Mapping[str, Any], weights: bytes, config: TrainingConfig) -> TextPart:
    tensors = _select(safetensors.numpy.load(weights), _TEXT)
    return TextPart(
        head=decode_text_head(tensors, config.text),
        policy=card["policy"],
        sentence_model=card["sentence_model"],
    )


def _select(tensors: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The tensors whose name begins with a prefix, by the rest of their names."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names}


def _revision(weights: bytes, card: Mapping[str, object]) -> str:
    """SHA-256 over the weights and all of the card but the revision itself."""
    content = {name: value for name, value in card.items() if name != "revision"}
    weights_digest = hashlib.sha256(weights).digest()
    return hashlib.sha256(weights_digest + canonical_json(content).encode()).hexdigest()


def _model_ref(card: Mapping[str, Any]) -> ModelRef:
    scheme = card["config"]["scheme"]
    is_of_parts = card["format"] == PARTS_FORMAT
    audio = card.get("audio") if is_of_parts else card
    text = card.get("text") if is_of_parts else None
    means: list[str] = []
    params: dict[str, object] = {"scheme": scheme}
    if audio is not None:
        means.append(audio["encoder"])
        params["encoder_revision"] = audio["encoder_revision"]
        params["padding_policy"] = audio["padding_policy"]
    if text is not None:
        means.append("text")
        params["text_policy"] = text["policy"]
        params["sentence_model"] = text["sentence_model"]
    return ModelRef(
        name=f"{scheme}-head/{'+'.join(means)}",
        revision=str(card["revision"]),
        params=params,
    )
