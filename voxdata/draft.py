"""A draft of a dataset version: which utterances become examples, in which split, and who stays out."""

from __future__ import annotations

from collections import Counter
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

Hidden = Mapping[tuple[int, str], Sequence[tuple[datetime, Sequence[tuple[str, str]]]]]
"""(project id, utterance id) -> what each push of it masked, as (kind, characters), with its time, oldest first."""


def corrected_texts(
    annotations: Sequence[Annotation], hidden: Hidden | None = None
) -> dict[str, str]:
    """Utterance id -> the transcript as last corrected by a person, with what was masked for that person put back.

    Args:
        hidden: What the annotators did not see.
    """
    ordered = sorted(annotations, key=lambda a: (a.updated_at, a.annotation_id))
    return {
        a.utterance_id: restore_text(a.text, _hidden_from(a, hidden or {}))
        for a in ordered
        if a.text is not None and not a.deleted and not a.skipped
    }


def _hidden_from(annotation: Annotation, hidden: Hidden) -> Sequence[tuple[str, str]]:
    """What was masked when an annotation was made: by the last push before it, since clocks may differ at least the first."""
    pushes = hidden.get((annotation.project_id, annotation.utterance_id), ())
    return next(
        (parts for at, parts in reversed(pushes) if at <= annotation.updated_at),
        pushes[0][1] if pushes else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a version would hold.

    Attributes:
        examples: Of utterances with a gold label.
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
        """What somebody should look at: that most of what was labelled stays out, and why; that a split loses what it held."""
        found = [describe_losses(self.lost, before=self.before)] if self.lost else []
        missing = self.num_labelled - len(self.examples)
        if 2 * missing > self.num_labelled:
            found.append(
                f"{missing} of {self.num_labelled} labelled clips are left out: {self.reasons}"
            )
        return tuple(found)

    @property
    def reasons(self) -> str:
        """Why labelled utterances are not in it, in words; of consent also what it says."""
        whys = [
            f"{why} {count}"
            for why, count in sorted(self.no_consent.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        parts = []
        for reason, count in sorted(self.left_out.items(), key=lambda pair: (-pair[1], pair[0])):
            parts.append(
                f"{count} by {reason}" + (f" ({', '.join(whys)})" if reason == CONSENT else "")
            )
        return ", ".join(parts)


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
    labelled = [u for u in utterances if any(u.utterance_id in found for found in gold.values())]
    speaker_of = {u.utterance_id: f"{u.recording_id}/{u.speaker}" for u in labelled}
    voice_of = {
        u.utterance_id: (voices or {}).get(
            (u.recording_id, u.channel, u.speaker), speaker_of[u.utterance_id]
        )
        for u in labelled
    }
    groups = group_voices(_shared(labelled, speaker_of, voice_of, kin or {}))
    conflicts = find_conflicts(groups, fixed)
    counts: dict[str, Counter[str]] = {}
    for u in labelled:
        tally = counts.setdefault(groups[voice_of[u.utterance_id]], Counter())
        tally["examples"] += 1
        tally[f"language={u.language}"] += 1
        tally.update(
            f"{scheme}={found[u.utterance_id].label}"
            for scheme, found in gold.items()
            if u.utterance_id in found
        )
    splits = assign_splits(counts, fixed=fix_groups(groups, fixed), ratios=ratios, seed=seed)
    kept = [u for u in labelled if groups[voice_of[u.utterance_id]] not in conflicts]
    examples = [
        Example(
            utterance_id=u.utterance_id,
            recording_id=u.recording_id,
            channel=u.channel,
            segment=u.segment,
            voice=voice_of[u.utterance_id],
            group=groups[voice_of[u.utterance_id]],
            audio_file=audio_files[u.recording_id],
            text=texts.get(u.utterance_id, u.text),
            language=u.language,
            gold={
                scheme: GoldLabel(
                    label=g.label,
                    distribution=g.distribution,
                    num_votes=g.num_votes,
                    posterior=g.posterior,
                    standing=g.standing,
                )
                for scheme, found in gold.items()
                if (g := found.get(u.utterance_id)) is not None
            },
            split=splits[groups[voice_of[u.utterance_id]]],
        )
        for u in kept
    ]
    left_out = {
        voice_of[u.utterance_id] for u in labelled if groups[voice_of[u.utterance_id]] in conflicts
    }
    places = {speaker_of[u.utterance_id]: splits[groups[voice_of[u.utterance_id]]] for u in kept}
    return Draft(examples=examples, places=places, conflicts=tuple(sorted(left_out)))


def _shared(
    labelled: Sequence[Utterance],
    speaker_of: Mapping[str, str],
    voice_of: Mapping[str, str],
    kin: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, str]]:
    """(what may not be divided, voice or speaker), as `group_voices` takes it."""
    for u in labelled:
        speaker = speaker_of[u.utterance_id]
        yield f"speaker {speaker}", voice_of[u.utterance_id]
        yield f"speaker {speaker}", speaker
        yield f"recording {u.recording_id}", speaker
        for tie in kin.get(u.recording_id, ()):
            yield tie, speaker


def _separate(draft: Draft, scheme: str, recipe: Recipe, fixed: Mapping[str, Split]) -> Draft:
    found = separate_phrases(
        draft.examples, scheme=scheme, fixed=fixed, ratios=recipe.ratios, seed=recipe.seed
    )
    left_out = {
        **draft.left_out,
        **({f"{scheme} phrase in another split": found.num_taken} if found.num_taken else {}),
    }
    return replace(
        draft,
        examples=list(found.examples),
        places={**draft.places, **found.places},
        left_out=left_out,
    )
