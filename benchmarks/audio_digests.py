"""What digests of canonical audio cost: reading pieces with and without, comparing whole files, and
decoding them, for scale.

python -m benchmarks.audio_digests
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from voxdata.audio_digest import AudioDigest, check_whole, read_digest
from voxdata.canonical import read_clip, write_canonical
from voxdata.segment import Segment
from voxdata.testing import speech_like

RECORDINGS, MINUTES, CLIP_MS = 8, 5, 3_000
CLIPS = MINUTES * 60_000 // CLIP_MS
ROUNDS = 5


def best_s(work: Callable[[], None]) -> float:
    """CPU seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def main() -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        digests: dict[Path, AudioDigest] = {}
        for number in range(RECORDINGS):
            path = Path(folder) / f"{number}.flac"
            write_canonical(path, speech_like(MINUTES * 60_000, seed=number)[:, None])
            digests[path] = read_digest(path, f"{number:032x}")

        def read_all(*, compared: bool) -> None:
            for path, digest in digests.items():
                for at in range(CLIPS):
                    segment = Segment(
                        start_ms=at * CLIP_MS,
                        end_ms=(at + 1) * CLIP_MS,
                    )
                    read_clip(
                        path,
                        segment=segment,
                        expected=digest if compared else None,
                    )

        def check_all() -> None:
            for path, digest in digests.items():
                check_whole(path, digest)

        def decode_all() -> None:
            for path in digests:
                read_clip(path)

        total_mb = sum(digest.size_bytes for digest in digests.values()) / 1e6
        clips = CLIPS * RECORDINGS
        plain = best_s(lambda: read_all(compared=False))
        compared = best_s(lambda: read_all(compared=True))
        whole = best_s(check_all)
        decoded = best_s(decode_all)
        print(f"{RECORDINGS} recordings of {MINUTES} min, {total_mb:.1f} MB; CPU, best of {ROUNDS}")
        print(
            f"a clip of 3 s read: {plain / clips * 1e3:.3f} ms; with size and head compared: "
            f"{compared / clips * 1e3:.3f} ms"
        )
        print(
            f"an hour of audio compared whole: {whole * 60 / RECORDINGS / MINUTES * 1e3:.1f} "
            f"ms ({total_mb / whole:.0f} MB/s)"
        )
        print(f"an hour of audio decoded: {decoded * 60 / RECORDINGS / MINUTES * 1e3:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
