"""What `voxdata audit` finds and what it cries wolf at: python -m benchmarks.audit.

Splits of RAVDESS and FSDD by speaker, over several seeds, should be clean; splits by clip, corpora
whose speakers give the label away, altered copies across the split and wrong labels should be
found. The bounds on the correlation of copies and on the cosine of voices were chosen on these two
corpora: figures on others may differ.
"""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt
import polars as pl
import soundfile  # type: ignore[import-untyped]

from benchmarks.speech_corpus import find_corpus
from flows.audit.model_checks import judge_labels
from flows.audit.verdict import audit_table
from voxdata.audit.audit_table import AuditTable, check_rows
from voxdata.audit.clips import listen
from voxdata.audit.copies import find_copies, prepare_clip
from voxdata.audit.findings import Audit, Finding, Severity
from voxdata.sound import MODEL_RATE_HZ, Samples
from voxdata.testing.recordings import read_recording

Rows = list[dict[str, object]]

SEEDS = range(5)
LABELS = {"ravdess": "emotion", "fsdd": "intent"}
MAX_CLIPS = 300
NUM_COPIED = 60
NUM_SHARING = 300
NOISE_SHARE = 0.1
GIVEN_AWAY = 0.96
ALTERATIONS: dict[str, Sequence[str]] = {
    "MP3, 64 kbit/s": ("mp3", "-b:a", "64k"),
    "MP3, 24 kbit/s, 16 kHz": ("mp3", "-b:a", "24k", "-ar", "16000"),
    "Opus, 24 kbit/s": ("opus", "-c:a", "libopus", "-b:a", "24k"),
    "8 kHz mu-law": ("wav", "-ar", "8000", "-c:a", "pcm_mulaw"),
    "12 dB quieter": ("wav", "-af", "volume=-12dB"),
    "a tenth cut off at both ends": ("wav",),
    "white noise, 20 dB SNR": ("wav",),
    "white noise, 10 dB SNR": ("wav",),
    "2 % faster": ("wav", "-af", "atempo=1.02"),
}


def silent(_: str) -> None:
    """Say nothing."""


def read_rows(folder: Path) -> Rows:
    """Every clip, all in training."""
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        {
            "audio": r["path"],
            "label": r[LABELS[folder.name]],
            "speaker": r["speaker"],
            "text": r["transcript"],
            "split": "train",
        }
        for r in rows
    ]


def split_rows(rows: Rows, *, by: str, seed: int) -> Rows:
    """A quarter of the values of a column, such as the speakers, to test."""
    draws = np.random.default_rng(seed)
    values = draws.permutation(sorted({str(row[by]) for row in rows}))
    num_test = max(1, len(values) // 4)
    test = set(values[:num_test].tolist())
    placed: Rows = []
    for row in rows:
        split = "test" if row[by] in test else "train"
        placed.append({**row, "split": split})
    return placed


def without(rows: Rows, column: str) -> Rows:
    """The rows without a column."""
    bare: list[dict[str, object]] = []
    for row in rows:
        bare.append({key: value for key, value in row.items() if key != column})
    return bare


def give_away(rows: Rows, *, share: float, seed: int) -> Rows:
    """Labels that follow the speaker in `share` of the rows, and differ from the speaker's in the
    others.
    """
    draws = np.random.default_rng(seed)
    labels = sorted({str(row["label"]) for row in rows})
    speakers = sorted({str(row["speaker"]) for row in rows})
    own = {speaker: labels[i % len(labels)] for i, speaker in enumerate(speakers)}
    given: list[dict[str, object]] = []
    for row in rows:
        label = own[str(row["speaker"])]
        if draws.random() >= share:
            label = str(draws.choice([other for other in labels if other != label]))
        given.append({**row, "label": label})
    return given


def audit(
    rows: Rows,
    folder: Path,
    *,
    with_audio: bool,
    seed: int = 0,
) -> Audit:
    """The whole audit, as the command runs it."""
    table = check_rows(rows, origin=folder.name)
    return audit_table(
        table,
        audio_root=folder,
        with_audio=with_audio,
        max_clips=MAX_CLIPS,
        seed=seed,
        say=silent,
    )


def tell(
    what: str,
    audits: Sequence[Audit],
    *,
    wanted: str,
) -> None:
    """One line of the table of verdicts."""
    findings = list(itertools.chain.from_iterable(a.findings for a in audits))
    leaks = _named(findings, Severity.LEAK)
    warnings = _named(findings, Severity.WARNING)
    num_leaking = sum(audited.has_leak for audited in audits)
    print(
        f"{what:<58}{num_leaking} of {len(audits)} leak ({wanted}); "
        f"leaks: {leaks}; warnings: {warnings}",
        flush=True,
    )


def _named(findings: Sequence[Finding], severity: Severity) -> str:
    """The checks that found something so severe."""
    checks = {finding.check for finding in findings if finding.severity is severity}
    return ", ".join(sorted(checks)) or "none"


def print_verdicts(folder: Path) -> None:
    """Clean and leaking splits of a corpus."""
    rows, name = read_rows(folder), folder.name
    tell(
        f"{name}, by speaker",
        [
            audit(split_rows(rows, by="speaker", seed=s), folder, with_audio=s < 2, seed=s)
            for s in SEEDS
        ],
        wanted="want 0",
    )
    tell(
        f"{name}, by clip",
        [audit(split_rows(rows, by="audio", seed=s), folder, with_audio=False) for s in SEEDS],
        wanted="want all",
    )
    nameless = without(rows, "speaker")
    tell(
        f"{name}, by speaker, speaker column removed",
        [
            audit(
                without(split_rows(rows, by="speaker", seed=s), "speaker"),
                folder,
                with_audio=True,
                seed=s,
            )
            for s in range(3)
        ],
        wanted="want 0",
    )
    tell(
        f"{name}, by clip, speaker column removed",
        [
            audit(split_rows(nameless, by="audio", seed=s), folder, with_audio=True, seed=s)
            for s in range(3)
        ],
        wanted="want all",
    )
    for by in ("audio", "speaker"):
        given = [
            audit(
                split_rows(give_away(rows, share=GIVEN_AWAY, seed=s), by=by, seed=s),
                folder,
                with_audio=False,
            )
            for s in SEEDS
        ]
        wanted = "want all" if by == "audio" else "want 0, and a warning"
        tell(
            f"{name}, speaker gives {GIVEN_AWAY:.0%} of labels away, by "
            f"{'clip' if by == 'audio' else by}",
            given,
            wanted=wanted,
        )


def alter(path: Path, target: Path, name: str, *, seed: int) -> Path:
    """One altered copy."""
    suffix, *options = ALTERATIONS[name]
    target = target.with_suffix(f".{suffix}")
    if not options:
        samples, rate = soundfile.read(path, dtype="float32")
        if name.startswith("a tenth"):
            tenth = len(samples) // 10
            samples = samples[tenth:-tenth]
        else:
            _, _, after = name.partition(",")
            snr_db = float(after.split()[0])
            samples = samples + _white_noise(samples, snr_db=snr_db, seed=seed)
        soundfile.write(target, samples, rate)
        return target
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-i", path, *options, target], check=True)
    return target


def _white_noise(samples: Samples, *, snr_db: float, seed: int) -> Samples:
    """(num_samples,) of noise that lies so much below some samples."""
    rms = float(np.sqrt(np.mean(samples**2)))
    ratio = 10 ** (-snr_db / 20)
    draws = np.random.default_rng(seed)
    noise = draws.normal(0, ratio * rms, len(samples))
    return noise.astype(np.float32)


def print_copies(folder: Path) -> None:
    """Share of altered copies that are found among all clips of the corpus, and clips wrongly
    called copies.
    """
    rows = split_rows(
        read_rows(folder),
        by="speaker",
        seed=0,
    )
    learned = [row for row in rows if row["split"] == "train"]
    step = max(1, len(rows) // NUM_COPIED)
    originals = learned[::step][:NUM_COPIED]
    kept, _ = listen(
        check_rows(rows, origin="c").frame,
        range(len(rows)),
        audio_root=folder,
        with_voices=False,
        say=silent,
    )
    started = monotonic()
    copies = find_copies([clip.sound for clip in kept])
    alarms = [c for c in copies if kept[c.first].digest != kept[c.second].digest]
    pairs = len(kept) * (len(kept) - 1) // 2
    print(
        f"{folder.name}: {len(alarms)} of {pairs} pairs of clips called near copies by "
        f"mistake ({monotonic() - started:.0f} s)"
    )
    names = [str(row["audio"]) for row in rows]
    with tempfile.TemporaryDirectory() as place:
        for name in ALTERATIONS:
            paths = [
                alter(folder / str(row["audio"]), Path(place) / f"{i}", name, seed=i)
                for i, row in enumerate(originals)
            ]
            frame = pl.DataFrame(
                {
                    "audio": [str(p) for p in paths],
                    "start_s": [None] * len(paths),
                    "end_s": [None] * len(paths),
                    "channel": [None] * len(paths),
                }
            )
            heard, _ = listen(
                frame,
                range(len(paths)),
                audio_root=Path(place),
                with_voices=False,
                say=silent,
            )
            found = find_copies([*(clip.sound for clip in kept), *(clip.sound for clip in heard)])
            wanted: set[tuple[int, int]] = set()
            for i, clip in enumerate(heard):
                original = str(originals[clip.at]["audio"])
                wanted.add((names.index(original), len(kept) + i))
            linked = {(kept[c.first].at, c.second) for c in found if c.first < len(kept)}
            num_found = len(linked & wanted)
            print(f"  {name:<32}{num_found:>3} of {len(heard)} found", flush=True)


def print_shared_sounds(folder: Path) -> None:
    """Pairs wrongly called copies among different clips that share one loud sound, or of which
    little is heard.
    """
    rows = read_rows(folder)
    step = max(1, len(rows) // NUM_SHARING)
    paths = [folder / str(row["audio"]) for row in rows[::step]]
    clips = [read_recording(path)[1][:, 0] for path in paths]
    time = np.arange(MODEL_RATE_HZ // 5) / MODEL_RATE_HZ
    tone = np.sin(2 * np.pi * 1_000 * time)
    click = np.random.default_rng(0).normal(size=40)
    kinds: dict[str, list[Samples]] = {
        "their loudest 0.2 s in 3 s of a quiet room": [
            in_quiet_room(clip, seed=i) for i, clip in enumerate(clips)
        ]
    }
    for louder_db in (20, 30, 40):
        for name, sound in (("click", click), ("0.2 s of tone", tone)):
            kinds[f"the same {name}, {louder_db} dB above"] = [
                add_sound(clip, sound, louder_db=louder_db, seed=i) for i, clip in enumerate(clips)
            ]
    for name, altered in kinds.items():
        alarms = find_copies([prepare_clip(clip) for clip in altered])
        num_pairs = len(clips) * (len(clips) - 1) // 2
        print(
            f"  {folder.name}, {name}: {len(alarms)} of {num_pairs} pairs called near copies",
            flush=True,
        )


def add_sound(
    clip: Samples,
    sound: npt.NDArray[np.float64],
    *,
    louder_db: float,
    seed: int,
) -> Samples:
    """The clip, of 0.5 s at least, with a sound added anywhere, so much louder than it is."""
    missing = max(0, MODEL_RATE_HZ // 2 - clip.size)
    both = np.pad(clip, (0, missing))
    draws = np.random.default_rng(seed)
    at = int(draws.integers(0, both.size - sound.size))
    clip_power = np.mean(np.square(clip))
    sound_power = np.mean(np.square(sound))
    ratio = 10 ** (louder_db / 20) * np.sqrt(clip_power / sound_power)
    both[at : at + sound.size] += (ratio * sound).astype(np.float32)
    return both


def in_quiet_room(clip: Samples, *, seed: int) -> Samples:
    """The loudest 0.2 s of a clip, anywhere in 3 s of noise 50 dB below."""
    size = MODEL_RATE_HZ // 5
    power = np.zeros(1)
    if clip.size > size:
        power = np.convolve(np.square(clip), np.ones(size), mode="valid")
    loudest = int(np.argmax(power))
    part = clip[loudest : loudest + size]
    rms = float(np.sqrt(np.mean(np.square(part))))
    draws = np.random.default_rng(seed)
    room = draws.normal(
        0,
        10**-2.5 * rms,
        3 * MODEL_RATE_HZ,
    ).astype(np.float32)
    at = int(draws.integers(0, room.size - part.size))
    room[at : at + part.size] += part
    return room


def print_noise(folder: Path) -> None:
    """How many of the labels doubted first were made wrong."""
    rows = split_rows(
        read_rows(folder),
        by="speaker",
        seed=0,
    )
    table: AuditTable = check_rows(rows, origin="noise")
    heard, _ = listen(
        table.frame,
        range(len(rows)),
        audio_root=folder,
        with_voices=False,
        say=silent,
    )
    labels = sorted({str(row["label"]) for row in rows})
    precision = []
    for seed in range(3):
        draws = np.random.default_rng(seed)
        wrong = set(
            draws.choice(len(rows), size=round(NOISE_SHARE * len(rows)), replace=False).tolist()
        )
        given = []
        for i, row in enumerate(rows):
            label = str(row["label"])
            if i in wrong:
                label = str(draws.choice([a for a in labels if a != row["label"]]))
            given.append(label)
        frame = table.frame.with_columns(pl.Series("label", given))
        says, statistic, finding = judge_labels(
            frame,
            heard,
            [str(row["speaker"]) for row in rows],
            seed=seed,
        )
        first = {int(str(e["row"])) - 1 for e in finding.evidence} if finding else set()
        precision.append(len(first & wrong) / max(len(first), 1))
        if seed == 0 and statistic:
            print(f"{folder.name}, {NOISE_SHARE:.0%} of labels wrong: {says}")
    print(
        f"  of the 25 doubted first {np.mean(precision):.0%} were made wrong (at random "
        f"{NOISE_SHARE:.0%})",
        flush=True,
    )


def main() -> int:
    """Print the tables."""
    folders = [folder for name in LABELS if (folder := find_corpus(name)) is not None]
    for part in (print_verdicts, print_copies, print_shared_sounds, print_noise):
        print()
        for folder in folders:
            part(folder)
    print("Repeat: VOXDATA_CORPORA=... python -m benchmarks.audit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
