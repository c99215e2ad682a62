"""A trained model on disk: `head.safetensors` and `model.json`, known by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from training.config import TrainingConfig, encode_config, parse_config
from training.models.head import Head
from voxdata.durable import write_file
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef, canonical_json

FORMAT = "voxdata-head/2"
READABLE = ("voxdata-head/1", FORMAT)
"""In the first format the configuration is flat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained head and all that is needed to use it.

    Attributes:
        labels: In the order of the head's outputs.
        encoder_revision: The weights it was trained on; others are refused.
        padding_policy: How clips became features.
        version_id: The dataset version it was trained on.
        versions: Library name -> version at training time.
        shape: (num_layers, dim) of its input.
        feature_dtype: To whose digits the features were rounded that it learnt from; "float32" for
            those of earlier releases, which were not rounded.
    """

    head: Head
    config: TrainingConfig
    labels: tuple[str, ...]
    encoder_revision: str
    padding_policy: str
    version_id: str
    versions: Mapping[str, str]
    shape: tuple[int, int]
    feature_dtype: str


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> ModelRef:
    """Write both files and return the model's identity.

    Raises:
        MachineError: They cannot be written.
    """
    weights = _encode_weights(checkpoint.head)
    card: dict[str, object] = {
        "format": FORMAT,
        "config": encode_config(checkpoint.config),
        "labels": list(checkpoint.labels),
        "encoder": checkpoint.config.encoder,
        "encoder_revision": checkpoint.encoder_revision,
        "padding_policy": checkpoint.padding_policy,
        "version_id": checkpoint.version_id,
        "seed": checkpoint.config.seed,
        "versions": dict(checkpoint.versions),
        "shape": list(checkpoint.shape),
        "feature_dtype": checkpoint.feature_dtype,
    }
    card["revision"] = _revision(weights, card)
    content = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
    write_file(folder / "head.safetensors", weights)
    write_file(folder / "model.json", content.encode())
    return _model_ref(card)


def _encode_weights(head: Head) -> bytes:
    tensors = {name: tensor.contiguous() for name, tensor in head.state_dict().items()}
    return safetensors.torch.save(tensors)


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
    num_layers, dim = card["shape"]
    head = Head(
        num_layers=num_layers,
        dim=dim,
        num_labels=len(labels),
        config=config,
    )
    head.load_state_dict(safetensors.torch.load(weights))
    return Checkpoint(
        head=head.eval(),
        config=config,
        labels=labels,
        encoder_revision=card["encoder_revision"],
        padding_policy=card["padding_policy"],
        version_id=card["version_id"],
        versions=card["versions"],
        shape=(num_layers, dim),
        feature_dtype=str(card.get("feature_dtype", "float32")),
    )


def _revision(weights: bytes, card: Mapping[str, object]) -> str:
    """SHA-256 over the weights and all of the card but the revision itself."""
    content = {name: value for name, value in card.items() if name != "revision"}
    weights_digest = hashlib.sha256(weights).digest()
    return hashlib.sha256(weights_digest + canonical_json(content).encode()).hexdigest()


def _model_ref(card: Mapping[str, object]) -> ModelRef:
    config = card["config"]
    scheme = config["scheme"] if isinstance(config, Mapping) else ""
    return ModelRef(
        name=f"{scheme}-head/{card['encoder']}",
        revision=str(card["revision"]),
        params={
            "scheme": scheme,
            "encoder_revision": card["encoder_revision"],
            "padding_policy": card["padding_policy"],
        },
    )
