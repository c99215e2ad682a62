"""The text branch: a linear head on what the machine heard, alone or joined with the audio head."""

from __future__ import annotations
