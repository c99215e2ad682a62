"""How far two texts differ, by the field's own libraries.

jiwer gives the distance, Whisper's normalisers say what does not count.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
"""Languages written without spaces: characters are compared, not words."""


def error_rate(
    reference: str,
    hypothesis: str,
    language: str,
) -> float | None:
    """Word error rate, or character error rate in scripts without spaces, after normalisation.

    Args:
        language: BCP 47 primary subtag.

    Returns:
        0 for equal texts, above 1 when the hypothesis adds much; None when the reference holds
        nothing to compare.
    """
    import jiwer

    normalise = _normaliser(language)
    wanted = normalise(reference).strip()
    heard = normalise(hypothesis).strip()
    if not any(map(str.isalnum, wanted)):
        return None
    if language in UNSPACED:
        rate = jiwer.cer(wanted.replace(" ", ""), heard.replace(" ", ""))
    else:
        rate = jiwer.wer(wanted, heard)
    return round(float(rate), 4)


@lru_cache
def _normaliser(language: str) -> Any:
    if language == "en":
        from whisper_normalizer.english import EnglishTextNormalizer  # type: ignore[import-untyped]

        return EnglishTextNormalizer()
    from whisper_normalizer.basic import BasicTextNormalizer  # type: ignore[import-untyped]

    return BasicTextNormalizer()
