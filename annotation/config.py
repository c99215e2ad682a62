"""The labelling screen as Label Studio's XML, generated from schemes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from xml.sax.saxutils import quoteattr

from voxdata.errors import AnnotationError
from voxdata.scheme import Scheme

AUDIO = "audio"
TRANSCRIPT = "transcript"
RESERVED = (AUDIO, TRANSCRIPT, "note", "vox_id", "text")

_KEY_ROWS = ("123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm")
"""One row of the keyboard for each scheme, from the top."""

_STYLE = """
    .vox { max-width: 900px }
    .vox-note { color: #667085; font-size: 13px; margin-bottom: 4px }
    .vox-row { margin-top: 14px; padding-top: 10px; border-top: 1px solid #e4e7ec }
    .vox-row .lsf-choices { display: flex; flex-wrap: wrap; gap: 8px 12px }
    .vox-row .lsf-choice { margin: 0; padding: 6px 12px; border: 1px solid #d0d5dd; border-radius: 8px }
    .vox-row .lsf-choice:has(input:checked) { border-color: #4c5fa9; background: rgba(76, 95, 169, 0.1) }
"""


def build_config(schemes: Sequence[Scheme]) -> str:
    """The label config: a player, one row of choices for each scheme, and the transcript.

    Space plays. Each scheme has a row of the keyboard: digits for the first, letters for the next ones.

    Raises:
        AnnotationError: A scheme has a reserved name, or there are more schemes than rows.
    """
    if len(schemes) > len(_KEY_ROWS):
        raise AnnotationError(f"the labelling screen has room for {len(_KEY_ROWS)} schemes; voxdata.toml defines {len(schemes)}")
    for scheme in schemes:
        if scheme.name in RESERVED:
            raise AnnotationError(f"a scheme cannot be called {scheme.name!r}: the labelling screen uses that name itself")
    rows = [_choices(scheme, keys) for scheme, keys in zip(schemes, _KEY_ROWS, strict=False)]
    return "\n".join(
        [
            "<View>",
            f"<Style>{_STYLE}</Style>",
            '<View className="vox">',
            '<View className="vox-note"><Text name="note" value="$note"/></View>',
            f'<Audio name="{AUDIO}" value="$audio" hotkey="space" height="96" waveHeight="96" zoom="true" speed="true" volume="true"/>',
            *rows,
            '<View className="vox-row"><Header value="What is said" size="5"/>',
            f'<TextArea name="{TRANSCRIPT}" toName="{AUDIO}" rows="2" maxSubmissions="1" editable="true" showSubmitButton="false"/></View>',
            "</View>",
            "</View>",
        ]
    )


def _choices(scheme: Scheme, keys: str) -> str:
    lines = []
    for i, label in enumerate(scheme.labels):
        key = f' hotkey="{keys[i]}"' if i < len(keys) else ""
        hint = f" hint={quoteattr(label.description)}" if label.description else ""
        lines.append(f"<Choice value={quoteattr(label.name)}{key}{hint}/>")
    return (
        f'<View className="vox-row"><Header value={quoteattr(scheme.title or scheme.name)} size="5"/>'
        f'<Choices name={quoteattr(scheme.name)} toName="{AUDIO}" choice="single" showInline="true" required="true" '
        f"requiredMessage={quoteattr('Choose one: ' + (scheme.title or scheme.name))}>{''.join(lines)}</Choices></View>"
    )


def build_instructions(schemes: Sequence[Scheme], *, guidelines: str) -> str:
    """The guidelines shown inside the labelling screen, as HTML."""
    parts = [f"<p>{escape(guidelines)}</p>"] if guidelines else []
    for scheme in schemes:
        items = "".join(f"<li><b>{escape(label.name)}</b> {escape(label.description)}</li>" for label in scheme.labels)
        parts.append(f"<h4>{escape(scheme.title or scheme.name)}</h4><ul>{items}</ul>")
    parts.append("<p>Space plays. Ctrl+Enter submits. A proposal is a guess by a model: change it whenever you hear otherwise.</p>")
    return "".join(parts)
