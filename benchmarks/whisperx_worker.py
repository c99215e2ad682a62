"""WhisperX on a folder of clips, in an environment of its own: PYTHON benchmarks/whisperx_worker.py
MODEL_FOLDER CLIPS_FOLDER.

Run by benchmarks/prelabel.py; imports nothing of this project, since WhisperX pins another torch.
Prints one JSON line. Only its transcription runs: its aligner's and diarizer's weights come from a
hub.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from time import process_time


def main() -> int:
    """Transcribe every clip, one thread, greedy, int8; loading is not counted."""
    import torch
    import whisperx

    model_folder = Path(sys.argv[1])
    clips = sorted(Path(sys.argv[2]).glob("*.wav"))
    torch.set_num_threads(1)
    model = whisperx.load_model(
        str(model_folder),
        "cpu",
        compute_type="int8",
        language="en",
        threads=1,
        local_files_only=True,
        asr_options={"beam_size": 1, "best_of": 1, "temperatures": [0.0]},
    )
    model.transcribe(whisperx.load_audio(str(clips[0])), batch_size=8)
    spent, texts = 0.0, {}
    for clip in clips:
        audio = whisperx.load_audio(str(clip))
        began = process_time()
        answer = model.transcribe(audio, batch_size=8)
        spent += process_time() - began
        texts[clip.name] = " ".join(segment["text"].strip() for segment in answer["segments"])
    print(json.dumps({"cpu_s": spent, "texts": texts, "version": version("whisperx")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
