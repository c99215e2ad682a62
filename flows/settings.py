"""Settings: voxdata.toml and the environment, read once, into frozen values."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from annotation.wording import Language
from training.compute import ON_CPU, Compute
from voxdata.consent import Policy
from voxdata.counted import counted
from voxdata.dataset import Split
from voxdata.errors import ConfigError, SchemeError
from voxdata.measure import MEASURES, SAME_VOICE
from voxdata.recipe import Recipe
from voxdata.scheme import Choice, Scheme, SchemeLabel, find_scheme
from voxdata.scheme_history import SchemeChange, SchemeHistory
from voxdata.utterance import MIN_MS


class _Table(BaseModel):
    """A table of the file: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProjectSettings(_Table):
    """[project]: what it is called, and what exports say of the data: what they are, whose, and
    under which terms.
    """

    name: str = Field(default="calls", pattern=r"^[\w.-]{3,40}$")
    description: str = ""
    creator: str = ""
    license: str = Field(default="", pattern=r"^([A-Za-z0-9][A-Za-z0-9.+-]*|https?://\S+)?$")


class SourceSettings(_Table):
    """[sources]"""

    inbox: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    max_hours: float = Field(default=12.0, gt=0, le=1_000)
    workers: int = Field(default=0, ge=0)
    decode_seconds: float = Field(default=600.0, gt=0, le=1_000_000)
    stall_seconds: float = Field(default=120.0, gt=0, le=1_000_000)
    fetch_stall_seconds: float = Field(default=60.0, gt=0, le=1_000_000)
    decode_memory_gb: float = Field(default=2.0, ge=0.5, le=10_000)
    decode_spool_gb: float = Field(default=24.0, gt=0, le=100_000)


class StorageSettings(_Table):
    """[storage]: paths relative to the file."""

    warehouse: str = "warehouse.duckdb"
    audio: str = "audio"
    media: str = "media"
    models: str = "models"
    exports: str = "exports"
    reports: str = "reports"


class WarehouseSettings(_Table):
    """[warehouse]: what the database may take."""

    memory_gb: float = Field(default=0.0, ge=0, le=100_000)
    query_seconds: float = Field(default=300.0, gt=0, le=1_000_000)


class BackendSettings(BaseModel):
    """[diarizer], [transcriber], [second_transcriber]: a backend's name.

    Every other key is an option of that backend.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    backend: str

    @property
    def options(self) -> dict[str, Any]:
        """What is passed to the backend's class."""
        return dict(self.model_extra or {})


class TranscriberSettings(BackendSettings):
    """[transcriber]: a backend, and how what any backend says is written."""

    chinese: Literal["as heard", "simplified", "traditional"] = "as heard"


class PrelabelSettings(_Table):
    """[prelabel]: how the work is spread; none of it changes a result."""

    runner: Literal["process", "dask", "ray"] = "process"
    workers: int = Field(default=0, ge=0)
    batch_minutes: float = Field(default=10.0, gt=0, le=10_000)
    patience: float = Field(default=30.0, gt=0, le=1_000_000)
    stall_seconds: float = Field(default=600.0, gt=0, le=1_000_000)
    memory_gb: float = Field(default=0.0, ge=0, le=100_000)
    dask_address: str = ""
    ray_address: str = ""


class UtteranceSettings(_Table):
    """[utterance]"""

    pause_ms: int = Field(default=500, ge=50)
    max_ms: int = Field(default=15_000, ge=1_000)
    min_ms: int = Field(default=MIN_MS, ge=0)


class PrivacySettings(_Table):
    """[privacy]"""

    scanner: str = "spoken"
    mask: bool = True

    @model_validator(mode="after")
    def _masking_needs_a_scanner(self) -> PrivacySettings:
        if self.mask and not self.scanner:
            raise ValueError(
                "mask = true needs a scanner: name one, or set mask = false and let everything "
                "leave for the annotators"
            )
        return self


class VoiceSettings(_Table):
    """[voices]"""

    threshold: float = Field(default=SAME_VOICE, ge=-1, le=1)


class QualitySettings(_Table):
    """[quality]"""

    mos: str = "dnsmos"


class QuotaSettings(_Table):
    """[[annotation.quotas]]: a smallest share of the chosen clips, for a language, or for a label
    that the model proposes.
    """

    share: float = Field(gt=0, le=1)
    language: str = ""
    scheme: str = ""
    label: str = ""

    @model_validator(mode="after")
    def _names_one_thing(self) -> QuotaSettings:
        if bool(self.language) == bool(self.scheme) or bool(self.scheme) != bool(self.label):
            raise ValueError("a quota names a language, or a scheme and a label")
        return self


class AnnotationSettings(_Table):
    """[annotation]"""

    language: Language = "en"
    votes_wanted: int = Field(default=1, ge=1)
    min_clip_ms: int = Field(default=300, ge=0)
    context_ms: int = Field(default=0, ge=0, le=30_000)
    overlap_share: float = Field(default=0.0, ge=0, le=1)
    overlap_votes: int = Field(default=2, ge=2)
    blind_share: float = Field(default=0.0, ge=0, le=1)
    min_confidence: float = Field(default=0.3, ge=0, le=1)
    check_share: float = Field(default=0.0, ge=0, le=0.5)
    strategy: Literal["hybrid", "margin", "entropy", "badge", "typiclust", "coverage", "random"] = (
        "hybrid"
    )
    random_share: float = Field(default=0.1, ge=0.02, le=1)
    embeddings: bool = False
    quotas: tuple[QuotaSettings, ...] = ()
    guidelines: str = ""


class ReleaseSettings(_Table):
    """[release], and the file that `voxdata release --recipe` names: see
    `voxdata.recipe.Recipe`.
    """

    schemes: tuple[str, ...] = ()
    min_votes: int = Field(default=1, ge=1)
    consensus: Literal["majority", "dawid_skene", "mace", "glad"] = "majority"
    languages: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    purpose: str = "training"
    consent: Policy = "unless_refused"
    limits: Mapping[str, float] = {}
    where: str = ""
    phrases: tuple[str, ...] = ()
    ratios: Mapping[Split, float] = {Split.TRAIN: 0.7, Split.VALIDATION: 0.15, Split.TEST: 0.15}
    seed: int = 0

    @field_validator("ratios")
    @classmethod
    def _ratios_add_up(cls, ratios: Mapping[Split, float]) -> Mapping[Split, float]:
        if (
            set(ratios) != set(Split)
            or any(share < 0 for share in ratios.values())
            or abs(sum(ratios.values()) - 1) > 1e-6
        ):
            raise ValueError("give train, validation and test as shares that add up to 1")
        return ratios

    @field_validator("limits")
    @classmethod
    def _limits_are_of_measures(cls, limits: Mapping[str, float]) -> Mapping[str, float]:
        unknown = sorted(set(limits) - set(MEASURES))
        if unknown:
            raise ValueError(
                f"no measure is called {', '.join(unknown)}; there are {', '.join(MEASURES)}"
            )
        return limits

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> ReleaseSettings:
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"since ({self.since}) is later than until ({self.until})")
        return self

    @property
    def recipe(self) -> Recipe:
        """As the core's value."""
        return Recipe(**{field.name: getattr(self, field.name) for field in fields(Recipe)})


class LineageSettings(_Table):
    """[lineage]: where OpenLineage events go; both empty sends none."""

    file: str = ".voxdata/lineage.jsonl"
    url: str = ""


class TrainingSettings(_Table):
    """[training]: `recipe` replaces single values of the recipe in training/config/recipes.

    Where a model computes is no part of the recipe: nothing is trained again for it.
    """

    schemes: tuple[str, ...] = ("intent", "emotion")
    min_gain: float = Field(default=0.0, ge=0)
    max_group_loss: float = Field(default=0.1, ge=0)
    max_ece_rise: float = Field(default=0.1, ge=0)
    min_examples: int = Field(default=5, ge=1)
    min_voices: int = Field(default=2, ge=1)
    recipe: Mapping[str, Any] = {}
    device: str = ON_CPU.device
    precision: str = ON_CPU.precision
    threads: int = ON_CPU.threads
    timeout_minutes: float = Field(default=0.0, ge=0, le=1_000_000)

    @model_validator(mode="after")
    def _compute_is_known(self) -> TrainingSettings:
        try:
            self.compute  # noqa: B018  (building it checks it)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def compute(self) -> Compute:
        """As the trainer's value."""
        return Compute(device=self.device, precision=self.precision, threads=self.threads)


class ServiceSettings(_Table):
    """[services]"""

    label_studio_port: int = Field(default=8080, ge=1024, le=65_535)
    prefect_port: int = Field(default=4200, ge=1024, le=65_535)
    receiver_port: int = Field(default=4201, ge=1024, le=65_535)
    label_studio_origin: str = Field(default="", pattern=r"^(https?://[A-Za-z0-9.-]+(:\d+)?)?$")


class ScheduleSettings(_Table):
    """[schedules]: cron expressions of five fields, in UTC; "" is off."""

    ingest: str = ""
    prelabel: str = ""
    push: str = ""
    pull: str = ""
    release: str = ""

    @field_validator("*")
    @classmethod
    def _are_cron_expressions(cls, cron: str) -> str:
        if cron:
            try:
                CronSim(cron, datetime.now(UTC))
            except CronSimError as error:
                raise ValueError(f"{cron!r} is no cron expression: {error}") from error
            if len(cron.split()) != 5:
                raise ValueError(f'{cron!r} needs five fields, such as "0 * * * *" for every hour')
        return cron


class LabelSettings(_Table):
    """[[schemes.labels]]"""

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    valence: float | None = Field(default=None, ge=-1, le=1)
    arousal: float | None = Field(default=None, ge=-1, le=1)
    shown: Mapping[Language, Annotated[str, Field(min_length=1)]] = {}
    group: str = ""


class ChangeSettings(_Table):
    """[[schemes.changes]]"""

    to_version: int = Field(ge=2)
    rename: Mapping[str, str] = {}
    merge: Mapping[str, tuple[str, ...]] = {}
    split: Mapping[str, tuple[str, ...]] = {}
    remove: tuple[str, ...] = ()


class SchemeSettings(_Table):
    """[[schemes]]"""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    title: str | Mapping[Language, Annotated[str, Field(min_length=1)]] = ""
    shown: Mapping[Language, Annotated[str, Field(min_length=1)]] = {}
    cold_start: str
    choice: Choice = "one"
    scales: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = ()
    labels: tuple[LabelSettings, ...]
    changes: tuple[ChangeSettings, ...] = ()

    @property
    def history(self) -> SchemeHistory:
        """The scheme with how it came about."""
        return SchemeHistory(
            scheme=self.scheme,
            changes=tuple(SchemeChange(**change.model_dump()) for change in self.changes),
        )

    @property
    def scheme(self) -> Scheme:
        """As the core's value."""
        labels = tuple(
            SchemeLabel(
                name=x.name,
                description=x.description,
                examples=x.examples,
                valence=x.valence,
                arousal=x.arousal,
                shown={str(language): text for language, text in x.shown.items()},
                group=x.group,
            )
            for x in self.labels
        )
        return Scheme(
            name=self.name,
            version=self.version,
            title=self._titles[0],
            shown=self._titles[1],
            labels=labels,
            choice=self.choice,
            scales=self.scales,
        )

    @property
    def _titles(self) -> tuple[str, dict[str, str]]:
        """The title for every language that has none of its own, and those that have."""
        own = {str(language): text for language, text in self.shown.items()}
        if isinstance(self.title, str):
            return self.title or self.name, own
        told = {str(language): text for language, text in self.title.items()}
        return told.get("en") or next(iter(told.values()), self.name), {**told, **own}


class Settings(_Table):
    """The whole file."""

    project: ProjectSettings = ProjectSettings()
    sources: SourceSettings = SourceSettings()
    storage: StorageSettings = StorageSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    diarizer: BackendSettings = BackendSettings(backend="pyannote")
    transcriber: TranscriberSettings = TranscriberSettings(backend="whisper")
    second_transcriber: BackendSettings | None = None
    utterance: UtteranceSettings = UtteranceSettings()
    prelabel: PrelabelSettings = PrelabelSettings()
    privacy: PrivacySettings = PrivacySettings()
    quality: QualitySettings = QualitySettings()
    voices: VoiceSettings = VoiceSettings()
    annotation: AnnotationSettings = AnnotationSettings()
    release: ReleaseSettings = ReleaseSettings()
    lineage: LineageSettings = LineageSettings()
    training: TrainingSettings = TrainingSettings()
    services: ServiceSettings = ServiceSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    schemes: tuple[SchemeSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _schemes_are_sound(self) -> Settings:
        names = [scheme.name for scheme in self.schemes]
        if len(set(names)) != len(names):
            raise ValueError(f"a scheme is defined twice: {names}")
        try:
            for settings in self.schemes:
                settings.history  # noqa: B018  (building it checks it)
            for name in self.training.schemes:
                find_scheme([s.scheme for s in self.schemes], name)
        except SchemeError as error:
            raise ValueError(str(error)) from error
        return self


def parse_settings(text: str, *, origin: str) -> Settings:
    """Parse the text of a voxdata.toml.

    Raises:
        ConfigError: Not TOML, an unknown key, or a wrong value; the message names `origin`, the key
            and the trouble.
    """
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: not valid TOML: {error}") from error
    except ValidationError as error:
        raise wrong_values(error, origin=origin) from error


def wrong_values(error: ValidationError, *, origin: str) -> ConfigError:
    """What is wrong in a file, a line for each value."""
    lines: list[str] = []
    for problem in error.errors():
        place = ".".join(map(str, problem["loc"])) or "file"
        lines.append(f"  {place}: {problem['msg']}")
    return ConfigError(
        f"{origin}: {counted(len(lines), 'setting is', 'settings are')} wrong:\n" + "\n".join(lines)
    )


def template(name: str = "voxdata.toml") -> str:
    """The commented file that `voxdata init` writes, or the demo's."""
    return files("flows").joinpath(name).read_text(encoding="utf-8")


def default_settings() -> Settings:
    """What `voxdata init` writes, as values."""
    return parse_settings(template(), origin="the template")


class Secrets(BaseModel):
    """What comes from the environment and is never written down.

    Attributes:
        label_studio_url: A server not run by `voxdata up`.
        label_studio_token: Its access token.
        hf_token: For models on the Hugging Face hub.
        transcriber_key: For a transcription server (backend "openai").
        cache_dir: Where servers, migrated databases and assembled weights are kept between
            workspaces.
    """

    model_config = ConfigDict(frozen=True)

    label_studio_url: str | None = None
    label_studio_token: str | None = Field(default=None, repr=False)
    hf_token: str | None = Field(default=None, repr=False)
    transcriber_key: str | None = Field(default=None, repr=False)
    cache_dir: Path


def read_environment(environ: Mapping[str, str] | None = None) -> Secrets:
    """Read the environment variables that voxdata knows; the only place that does."""
    env = os.environ if environ is None else environ
    xdg = env.get("XDG_CACHE_HOME") or str(Path(env.get("HOME", "~")).expanduser() / ".cache")
    return Secrets(
        label_studio_url=env.get("VOXDATA_LABEL_STUDIO_URL") or None,
        label_studio_token=env.get("VOXDATA_LABEL_STUDIO_TOKEN") or None,
        hf_token=env.get("HF_TOKEN") or None,
        transcriber_key=env.get("VOXDATA_TRANSCRIBER_KEY") or None,
        cache_dir=Path(env.get("VOXDATA_CACHE") or Path(xdg) / "voxdata"),
    )
