"""On what a run computes, and how exactly: no part of its recipe.

These are the values; `training.device` turns them into torch's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from voxdata.errors import ConfigError

PRECISIONS = ("fp32", "bf16", "fp16")
MOST_THREADS = 1024
_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Where a model runs.

    Attributes:
        device: "cpu", "cuda", "cuda:1" or "mps".
        precision: In which numbers the encoder multiplies: "fp32", "bf16", or "fp16", which needs
            a GPU. A head always learns in fp32.
        threads: On the CPU; 0 leaves it to torch, which takes one a core.
    """

    device: str = "cpu"
    precision: str = "fp32"
    threads: int = 0

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise ConfigError(
                f'device {self.device!r} is none that training knows; use "cpu", "cuda", "cuda:1" '
                'for the second GPU, or "mps"'
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision {self.precision!r} is none that training knows; "
                f"use one of {', '.join(PRECISIONS)}"
            )
        if self.precision == "fp16" and self.device == "cpu":
            raise ConfigError(
                'precision "fp16" needs a GPU; on device "cpu" use "bf16", or the exact "fp32"'
            )
        if not 0 <= self.threads <= MOST_THREADS:
            raise ConfigError(f"threads is {self.threads}; it must be from 0 to {MOST_THREADS}")

    @property
    def arithmetic(self) -> str:
        """The class of the device and the precision: results of different ones are not equal.

        >>> Compute(device="cuda:1", precision="bf16").arithmetic
        'cuda/bf16'
        """
        kind = self.device.partition(":")[0]
        return f"{kind}/{self.precision}"


ON_CPU = Compute()
"""Every machine has it, and it gives the same numbers each time."""
