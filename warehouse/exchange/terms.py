"""Terms: under which licence and consent a version may be used, as the project and the manifests of
its recordings say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from voxdata.consent import read_consent
from voxdata.counted import counted

UNKNOWN = "NOASSERTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an export says of the right to use it.

    Attributes:
        description: What the data are.
        creator: Whose they are.
        licence: An SPDX id or a URL; "" when nobody said.
        consent: What the recordings say about consent -> how many: "given", "refused", "not
            stated", "not understood".
        purposes: Purpose named with consent -> how many recordings name it.
    """

    description: str = ""
    creator: str = ""
    licence: str = ""
    consent: Mapping[str, int] = field(default_factory=dict)
    purposes: Mapping[str, int] = field(default_factory=dict)

    @property
    def licence_url(self) -> str:
        """The licence as a URL; SPDX's word for "nobody said" when there is none."""
        return (
            self.licence
            if "://" in self.licence
            else f"https://spdx.org/licenses/{self.licence or UNKNOWN}.html"
        )

    @property
    def consent_sentence(self) -> str:
        """The counts as a sentence."""
        total = sum(self.consent.values())
        counts = ", ".join(f"{kind}: {count}" for kind, count in self.consent.items())
        purposes = ", ".join(f"{name} ({count})" for name, count in self.purposes.items())
        sentence = f"Consent on record for {counted(total, 'recording')}: {counts or 'none'}."
        return sentence + (f" Purposes named: {purposes}." if purposes else "")


def count_consent(
    metadata: Mapping[str, Mapping[str, str]],
) -> tuple[dict[str, int], dict[str, int]]:
    """Consent and purposes over recordings.

    Args:
        metadata: Recording id -> what its manifest says; one entry for each recording that counts.
    """
    consent: Counter[str] = Counter()
    purposes: Counter[str] = Counter()
    for stated in metadata.values():
        read = read_consent(stated)
        if read.problem:
            consent["not understood"] += 1
        elif read.given is None:
            consent["not stated"] += 1
        else:
            consent["given" if read.given else "refused"] += 1
        purposes.update(read.purposes)
    return dict(sorted(consent.items())), dict(sorted(purposes.items()))
