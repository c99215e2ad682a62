"""Run every benchmark: python -m benchmarks [NAME...]."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "diarization",
    "voices",
    "transcription",
    "privacy",
    "muting",
    "crosstalk",
    "leaks",
    "audio_digests",
    "digits",
    "emotion",
    "recipes",
    "judge",
    "shuffled_labels",
    "text_branch",
    "duplicates",
    "splits",
    "consensus",
    "label_errors",
    "active_learning",
    "annotation_sync",
)


def main() -> int:
    """Run the benchmarks named, or all; each in a process of its own, so that memory and threads do
    not mix.
    """
    chosen = sys.argv[1:] or list(NAMES)
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        print(
            f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}",
            file=sys.stderr,
        )
        return 2
    failed = []
    for name in chosen:
        print(f"\n=== {name} ===", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
