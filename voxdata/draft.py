"""A draft of a dataset version: which utterances become examples, where, and who stays out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from voxdata.consent import CONSENT
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.label import Annotation, Gold
from voxdata.losses import SplitLoss, describe_losses
from voxdata.phrases import separate_phrases
from voxdata.privacy import restore_text
from voxdata.recipe import Recipe
from voxdata.split import assign_splits, find_conflicts, fix_groups, group_voices
from voxdata.utterance import Utterance
from voxdata.voice import Speaker

Masked = Sequence[tuple[str, str]]
"""(kind, characters) of each part of a text that was masked."""

Hidden = Mapping[tuple[int, str], Sequence[tuple[datetime, Masked]]]
"""(project id, utterance id) -> what each push of it masked, with its time, oldest first."""


def corrected_texts(
    annotations: Sequence[Annotation], hidden: Hidden | None = None
) -> dict[str, str]:
    """Utterance id -> the transcript as last corrected by a person.

    What was masked for that person is put back.

    Args:
        hidden: What the annotators did not see.
    """
    texts: dict[str, str] = {}
    for annotation in sorted(annotations, key=_age):
        if annotation.text is None or annotation.deleted or annotation.skipped:
            continue
        masked = _masked_for(annotation, hidden or {})
        texts[annotation.utterance_id] = restore_text(annotation.text, masked)
    return texts


def _age(annotation: Annotation) -> tuple[datetime, int]:
    return annotation.updated_at, annotation.annotation_id


def _masked_for(annotation: Annotation, hidden: Hidden) -> Masked:
    """What was masked when an annotation was made.

    That is by the last push before it, and since clocks may differ at least by the first.
    """
    pushes = hidden.get((annotation.project_id, annotation.utterance_id), ())
    for pushed_at, masked in reversed(pushes):
        if pushed_at <= annotation.updated_at:
            return masked
    if not pushes:
        return ()
    _, masked_first = pushes[0]
    return masked_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a version would hold.

    Attributes:
        examples: Utterances with a gold label.
        places: Speaker ("recording/speaker") or phrase -> its split, so that it stays there
            whatever voice it is given later.
        conflicts: Voices left out because earlier splits contradict each other.
        left_out: Why labelled utterances or labels are not in it -> how many.
        barred: Recording id -> why its consent does not cover the purpose.
        num_labelled: Utterances with a gold label, in it or not.
        no_consent: Why consent keeps labelled utterances out -> how many.
        before: The newest version of that name, such as "calls@3"; "" when there is none.
        lost: What its splits held and would no longer hold.
    """

    examples: list[Example]
    places: Mapping[str, Split]
    conflicts: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    barred: Mapping[str, str] = field(default_factory=dict)
    num_labelled: int = 0
    no_consent: Mapping[str, int] = field(default_factory=dict)
    before: str = ""
    lost: tuple[SplitLoss, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody should look at.

        That a split loses what it held; that most of what was labelled stays out, and why.
        """
        warnings = []
        if self.lost:
            warnings.append(describe_losses(self.lost, before=self.before))
        missing = self.num_labelled - len(self.examples)
        if 2 * missing > self.num_labelled:
            share = f"{missing} of {self.num_labelled} labelled clips"
            warnings.append(f"{share} are left out: {self.reasons}")
        return tuple(warnings)

    @property
    def reasons(self) -> str:
        """Why labelled utterances are not in it, in words; of consent also what it says."""
        parts = []
        for reason, count in _most_first(self.left_out):
            part = f"{count} by {reason}"
            if reason == CONSENT:
                whys = [f"{why} {number}" for why, number in _most_first(self.no_consent)]
                part += f" ({', '.join(whys)})"
            parts.append(part)
        return ", ".join(parts)


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labelled:
    """An utterance with its gold labels.

    Attributes:
        speaker: "recording/speaker".
        voice: The voice recognised across recordings, or else the speaker.
        gold: Scheme -> gold label.
    """

    utterance: Utterance
    speaker: str
    voice: str
    gold: Mapping[str, Gold]


def build_examples(
    utterances: Sequence[Utterance],
    gold: Mapping[str, Mapping[str, Gold]],
    *,
    texts: Mapping[str, str],
    audio_files: Mapping[str, str],
    fixed: Mapping[str, Split],
    ratios: Mapping[Split, float],
    seed: int,
    voices: Mapping[Speaker, str] | None = None,
    kin: Mapping[str, Sequence[str]] | None = None,
) -> Draft:
    """Join utterances with gold labels and splits.

    Args:
        utterances: All there are; those without any gold label are left out.
        gold: Scheme -> utterance id -> gold label.
        texts: Corrected transcripts by utterance id.
        audio_files: Recording id -> canonical file.
        fixed: Voice or speaker -> the split it was given before.
        ratios: Wanted shares.
        seed: Decides among equals.
        voices: Speaker -> the voice recognised across recordings; without one a speaker is a voice
            by itself.
        kin: Recording id -> what it shares with other recordings, such as a call; these stay in one
            split too.
    """
    labelled = list(_join_gold(utterances, gold, voices or {}))
    groups = group_voices(_ties(labelled, kin or {}))
    conflicts = find_conflicts(groups, fixed)
    splits = assign_splits(
        _count_by_group(labelled, groups),
        fixed=fix_groups(groups, fixed),
        ratios=ratios,
        seed=seed,
    )

    examples: list[Example] = []
    places: dict[str, Split] = {}
    torn: set[str] = set()
    for row in labelled:
        group = groups[row.voice]
        if group in conflicts:
            torn.add(row.voice)
            continue
        utterance = row.utterance
        example = Example(
            utterance_id=utterance.utterance_id,
            recording_id=utterance.recording_id,
            channel=utterance.channel,
            segment=utterance.segment,
            voice=row.voice,
            group=group,
            audio_file=audio_files[utterance.recording_id],
            text=texts.get(utterance.utterance_id, utterance.text),
            language=utterance.language,
            gold={scheme: _gold_label(label) for scheme, label in row.gold.items()},
            split=splits[group],
        )
        examples.append(example)
        places[row.speaker] = splits[group]
    return Draft(
        examples=examples,
        places=places,
        conflicts=tuple(sorted(torn)),
    )


def _join_gold(
    utterances: Sequence[Utterance],
    gold: Mapping[str, Mapping[str, Gold]],
    voices: Mapping[Speaker, str],
) -> Iterator[_Labelled]:
    """The utterances with at least one gold label."""
    for utterance in utterances:
        labels: dict[str, Gold] = {}
        for scheme, by_utterance in gold.items():
            if utterance.utterance_id in by_utterance:
                labels[scheme] = by_utterance[utterance.utterance_id]
        if not labels:
            continue
        speaker = f"{utterance.recording_id}/{utterance.speaker}"
        known_as = (utterance.recording_id, utterance.channel, utterance.speaker)
        yield _Labelled(
            utterance=utterance,
            speaker=speaker,
            voice=voices.get(known_as, speaker),
            gold=labels,
        )


def _count_by_group(
    labelled: Sequence[_Labelled], groups: Mapping[str, str]
) -> dict[str, Counter[str]]:
    """Group -> how many examples it has, in all, of each language and of each label."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in labelled:
        tally = counts[groups[row.voice]]
        tally["examples"] += 1
        tally[f"language={row.utterance.language}"] += 1
        for scheme, label in row.gold.items():
            tally[f"{scheme}={label.label}"] += 1
    return dict(counts)


def _gold_label(gold: Gold) -> GoldLabel:
    return GoldLabel(
        label=gold.label,
        distribution=gold.distribution,
        num_votes=gold.num_votes,
        posterior=gold.posterior,
        standing=gold.standing,
    )


def _ties(
    labelled: Sequence[_Labelled], kin: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """(what may not be divided, voice or speaker), as `group_voices` takes it."""
    for row in labelled:
        recording_id = row.utterance.recording_id
        yield f"speaker {row.speaker}", row.voice
        yield f"speaker {row.speaker}", row.speaker
        yield f"recording {recording_id}", row.speaker
        for tie in kin.get(recording_id, ()):
            yield tie, row.speaker


def separate_by_phrase(
    draft: Draft,
    scheme: str,
    recipe: Recipe,
    fixed: Mapping[str, Split],
) -> Draft:
    """A draft in which no phrase of a scheme is in two splits."""
    separated = separate_phrases(
        draft.examples,
        scheme=scheme,
        fixed=fixed,
        ratios=recipe.ratios,
        seed=recipe.seed,
    )
    left_out = dict(draft.left_out)
    if separated.num_taken:
        left_out[f"{scheme} phrase in another split"] = separated.num_taken
    return replace(
        draft,
        examples=list(separated.examples),
        places={**draft.places, **separated.places},
        left_out=left_out,
    )
