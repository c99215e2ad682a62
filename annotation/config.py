"""The labelling screen as Label Studio's XML, generated from schemes.

Intent with groups is shown as grouped choices under headings, not as Label Studio's Taxonomy: a
choice inside a Taxonomy takes no hotkey (measured: its model has no key handler), and every label
must be in reach of the keyboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import chain
from xml.sax.saxutils import quoteattr

from annotation.hotkeys import PLAY_KEY, Keys, assign_hotkeys, with_shift
from annotation.wording import FLAGS, Wording, find_wording
from voxdata.errors import AnnotationError
from voxdata.scheme import RATING_STEPS, SECOND, Scheme

AUDIO = "audio"
TRANSCRIPT = "transcript"
PROPOSAL = "proposal"
"""The line that says what a model proposes and how sure it is. It is part of the prediction, so a
newer prediction brings its own."""
REMARKS = "flags"
UNSEEN = "unseen"
RESERVED = (
    AUDIO,
    TRANSCRIPT,
    PROPOSAL,
    REMARKS,
    UNSEEN,
    f"enter_{TRANSCRIPT}",
    "note",
    "vox_id",
    "text",
)

_STYLE = """
  .lsf-sidepanels:has(.vox) { padding-left: 0 !important; padding-right: 0 !important }
  .lsf-sidepanels:has(.vox) .lsf-sidepanels__wrapper { display: none }
  .vox { max-width: 1180px; font-size: 14px }
  .vox h4 { margin: 0 !important; font-size: 14px; line-height: 20px; font-weight: 600 }
  .vox .lsf-hint { margin-left: 4px; font-size: 11px; top: -3px; color: #475467 }
  .vox-note .lsf-richtext__container { padding: 0; font-size: 13px; color: #667085 }
  .vox-proposal .lsf-text-area, .vox-proposal [data-testid=textarea-regions] \
{ margin: 0 !important }
  .vox-proposal .lsf-row { margin: 0; padding: 0; border: 0 }
  .vox-proposal [data-testid=htx-textbox-actions] { display: none }
  .vox-proposal [data-testid=htx-textbox-content] { min-height: 0; padding: 4px 10px; border: 0; \
border-left: 3px solid #f5a623;
    border-radius: 0; background: #fef6e7; color: #6b4e16 }
  .vox-row { display: grid; grid-template-columns: 180px 1fr; gap: 4px 16px; align-items: start;
    padding: 7px 0; border-top: 1px solid #eaecf0 }
  .vox-row h4 { padding-top: 6px }
  .vox-row .lsf-choices { display: flex; flex-wrap: wrap; gap: 6px 8px; margin: 0 }
  .vox-row .lsf-choice { margin: 0; padding: 2px 6px 2px 8px; border: 1px solid #d0d5dd; \
border-radius: 7px }
  .vox-row .lsf-choice, .vox-row .lsf-choice label, .vox-row .lsf-choice span \
{ line-height: 26px !important }
  .vox-row .lsf-choice__item, .vox-row .lsf-choice label { height: 26px; margin: 0; padding: 0 }
  .vox-row .lsf-choice:has(input:checked) { border-color: #4c5fa9; \
background: rgba(76, 95, 169, 0.14) }
  .vox-group { display: flex; flex-wrap: wrap; gap: 6px; padding-right: 14px }
  .vox-group h4 { padding-right: 2px; font-size: 13px; font-weight: 500; color: #667085 }
  .vox-second { border-top: 0; padding-top: 0 }
  .vox-second h4, .vox-flags h4 { font-weight: 400; color: #667085 }
  .vox-scale .ant-rate { padding-top: 4px; color: #d97706 }
  .vox-text { position: relative }
  .vox-text .lsf-text-area, .vox-text .ant-form-item, .vox-text [data-testid=textarea-regions] \
{ margin: 0 !important }
  .vox-text .ant-input-sm { position: absolute; left: 0; top: 38px; width: 180px; opacity: 0; \
pointer-events: none }
  .vox-text .ant-input-sm:focus { opacity: 1; background: #fef6e7 }
"""
"""Global on the page: the server's side panels (regions, history) have no use here and make way. It
spoils every ">"."""


def second_choice(scheme: Scheme) -> str:
    """Name of the row for the second choice of a ranked scheme."""
    return f"{scheme.name}.{SECOND}"


def rating(scheme: Scheme, scale: str) -> str:
    """Name of the row for a scale, as in `Annotation.ratings`."""
    return f"{scheme.name}.{scale}"


def build_config(schemes: Sequence[Scheme], *, language: str = "en") -> str:
    """The label config: a player, the transcript, a row for each scheme and its scales, and remarks
    on the clip.

    Space plays. Each scheme has a row of the keyboard from the top: digits for the first, letters
    for the next ones; the second choice of a ranked scheme has the same keys with Shift.

    Args:
        language: The language of the annotators.

    Raises:
        AnnotationError: A scheme has a reserved name or a text that begins with $, there are more
            labels than keys, or the screen lacks the language.
    """
    words = find_wording(language)
    for scheme in schemes:
        _check_scheme(scheme, language)
    keys = _assign_keys(schemes)

    rows: list[str] = []
    for scheme in schemes:
        rows += _scheme_rows(scheme, keys, language)
    flags = [
        _choice(words.flag_names[flag], flag, key)
        for flag, key in zip(FLAGS, keys[REMARKS], strict=True)
    ]
    lines = [
        "<View>",
        f"<Style>{_STYLE}</Style>",
        '<View className="vox">',
        '<View className="vox-note"><Text name="note" value="$note"/></View>',
        f'<Audio name="{AUDIO}" value="$audio" hotkey="{PLAY_KEY}" height="72" waveHeight="72" '
        'zoom="true" speed="true" volume="true"/>',
        '<View className="vox-proposal">'
        f'<TextArea name="{PROPOSAL}" toName="{AUDIO}" maxSubmissions="0" editable="false" '
        'showSubmitButton="false"/></View>',
        *rows,
        f'<View className="vox-row vox-flags">{_header(words.flags)}'
        f'<Choices name="{REMARKS}" toName="{AUDIO}" choice="multiple" showInline="true">'
        f"{''.join(flags)}</Choices></View>",
        *_transcript(words, keys[TRANSCRIPT][0]),
        "</View>",
        "</View>",
    ]
    return "\n".join(lines)


def _check_scheme(scheme: Scheme, language: str) -> None:
    if scheme.name in RESERVED:
        raise AnnotationError(
            f"a scheme cannot be called {scheme.name!r}: the labelling screen uses that name itself"
        )
    texts = [scheme.shown_title(language)]
    for label in scheme.labels:
        texts += [label.shown_name(language), label.group]
    for text in texts:
        if text.startswith("$"):
            raise AnnotationError(
                f"scheme {scheme.name!r}: {text!r} begins with $; "
                "Label Studio would show a field of that name"
            )


def _assign_keys(schemes: Sequence[Scheme]) -> dict[str, Keys]:
    """Name of a row of the screen -> its keys."""
    extras = {REMARKS: len(FLAGS), TRANSCRIPT: 1}
    for scheme in schemes:
        for scale in scheme.scales:
            extras[rating(scheme, scale)] = 1
    return assign_hotkeys(
        {scheme.name: len(scheme.labels) for scheme in schemes},
        extras,
        doubled=[scheme.name for scheme in schemes if scheme.choice == "ranked"],
    )


def _transcript(words: Wording, key: str) -> list[str]:
    """The text area holds the clip's own text, not a prediction's: so it is open for typing at
    once, also on a blind clip.

    Label Studio has no hotkey that enters a text area, and Tab needs dozens of presses to come
    there. A filter has one: ours filters nothing, is unseen until it has the keyboard, and stands
    one Tab before the text area. Enter in a filter chooses the first label of what it filters, so
    that is a label which nobody sees and no annotation keeps.
    """
    return [
        f'<View className="vox-row vox-text">{_header(f"{words.transcript} [{key}]")}<View>',
        f'<View style="display: none"><Choices name="{UNSEEN}" toName="{AUDIO}">'
        f'<Choice value="{UNSEEN}" hotkey="f19"/></Choices></View>',
        f'<Filter name="enter_{TRANSCRIPT}" toName="{UNSEEN}" hotkey="{key}" minlength="9999" '
        f"placeholder={quoteattr(words.enter_text)}/>",
        f'<TextArea name="{TRANSCRIPT}" toName="{AUDIO}" value="$text" rows="2" '
        'maxSubmissions="1" editable="true" showSubmitButton="false"/>',
        "</View></View>",
    ]


def _scheme_rows(
    scheme: Scheme,
    keys: Mapping[str, Keys],
    language: str,
) -> list[str]:
    """The rows of the screen for one scheme: its labels, a second choice, its scales."""
    words = find_wording(language)
    title = scheme.shown_title(language)
    own_keys = keys[scheme.name]
    rows = [_scheme_row(scheme, own_keys, language, title=title)]
    if scheme.choice == "ranked":
        shifted = tuple(with_shift(key) for key in own_keys)
        second_row = _scheme_row(
            scheme,
            shifted,
            language,
            title=words.second,
            second=True,
        )
        rows.append(second_row)
    for scale in scheme.scales:
        name = rating(scheme, scale)
        (key,) = keys[name]
        _, heading = words.scales.get(scale, ("", scale))
        rows.append(
            f'<View className="vox-row vox-scale">{_header(f"{heading} [{key}]")}'
            f'<Rating name={quoteattr(name)} toName="{AUDIO}" '
            f'maxRating="{RATING_STEPS}" hotkey="{key}" size="small"/></View>'
        )
    return rows


def _scheme_row(
    scheme: Scheme,
    keys: Keys,
    language: str,
    *,
    title: str,
    second: bool = False,
) -> str:
    """One row of choices.

    Args:
        keys: In the order in which the labels are shown.
        second: The row is for the second choice, which nobody has to make.
    """
    words = find_wording(language)
    shown_labels = chain.from_iterable(scheme.groups.values())
    key_of = dict(zip((label.name for label in shown_labels), keys, strict=True))
    groups = []
    for group, labels in scheme.groups.items():
        choices = "".join(
            _choice(
                label.shown_name(language),
                label.name,
                key_of[label.name],
                label.description,
            )
            for label in labels
        )
        if group:
            header = _header(group, size=6)
            groups.append(f'<View className="vox-group">{header}{choices}</View>')
        else:
            groups.append(choices)

    if second:
        name, style, required = second_choice(scheme), "vox-row vox-second", ""
    else:
        name, style = scheme.name, "vox-row"
        message = words.required.format(title=title)
        required = f' required="true" requiredMessage={quoteattr(message)}'
    takes_many = scheme.choice == "many"
    heading = f"{title} ({words.many})" if takes_many else title
    number = "multiple" if takes_many else "single"
    return (
        f'<View className="{style}">{_header(heading)}'
        f'<Choices name={quoteattr(name)} toName="{AUDIO}" '
        f'choice="{number}" showInline="true"{required}>{"".join(groups)}</Choices></View>'
    )


def _choice(shown: str, name: str, key: str, hint: str = "") -> str:
    attributes = [f"value={quoteattr(shown)}"]
    if shown != name:
        attributes.append(f"alias={quoteattr(name)}")
    attributes.append(f'hotkey="{key}"')
    if hint:
        attributes.append(f"hint={quoteattr(hint)}")
    return f"<Choice {' '.join(attributes)}/>"


def _header(text: str, *, size: int = 5) -> str:
    return f'<Header value={quoteattr(text)} size="{size}"/>'


def build_instructions(
    schemes: Sequence[Scheme],
    *,
    guidelines: str,
    language: str = "en",
) -> str:
    """The guidelines shown inside the labelling screen, as HTML."""
    words = find_wording(language)
    parts = []
    if guidelines:
        parts.append(f"<p>{escape(guidelines)}</p>")
    for scheme in schemes:
        title = escape(scheme.shown_title(language))
        items = [_item(label.shown_name(language), label.description) for label in scheme.labels]
        parts.append(f"<h4>{title}</h4><ul>{''.join(items)}</ul>")
    items = [_item(key, effect) for key, effect in words.keys]
    parts.append(f"<ul>{''.join(items)}</ul><p>{escape(words.about_proposals)}</p>")
    return "".join(parts)


def _item(term: str, explanation: str) -> str:
    return f"<li><b>{escape(term)}</b> {escape(explanation)}</li>"
