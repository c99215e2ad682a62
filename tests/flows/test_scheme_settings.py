"""The [[schemes]] tables of voxdata.toml."""

from __future__ import annotations

import pytest

from flows.settings import Settings, parse_settings, template
from voxdata.errors import ConfigError

HEAD = (
    "[training]\nschemes = []\n\n[[schemes]]\nname = 'intent'\nversion = 1\ncold_start = "
    "'similarity'\n"
)
LABELS = "\n[[schemes.labels]]\nname = 'a'\n\n[[schemes.labels]]\nname = 'b'\n"


def parse(scheme: str = "", labels: str = LABELS) -> Settings:
    return parse_settings(HEAD + scheme + labels, origin="here")


def test_scheme_settings_of_an_old_file_ask_for_one_label() -> None:
    (scheme,) = (s.scheme for s in parse().schemes)
    assert scheme.choice == "one"
    assert scheme.scales == ()
    labels = [(label.group, dict(label.shown)) for label in scheme.labels]
    assert labels == [("", {}), ("", {})]


def test_scheme_settings_read_choice_scales_shown_names_and_groups() -> None:
    labels = """
[[schemes.labels]]
name = "refund"
group = "账单"
shown = { zh = "退款", en = "Refund" }

[[schemes.labels]]
name = "other"
"""
    (scheme,) = (
        s.scheme
        for s in parse("choice = 'ranked'\nscales = ['valence', 'arousal']\n", labels).schemes
    )
    assert scheme.choice == "ranked"
    assert scheme.scales == ("valence", "arousal")
    refund, other = scheme.labels
    assert refund.name == "refund"
    assert refund.group == "账单"
    assert refund.shown_name("zh") == "退款"
    assert refund.shown_name("en") == "Refund"
    assert other.group == ""
    assert other.shown_name("zh") == "other"


@pytest.mark.parametrize(
    ("scheme", "labels", "says"),
    [
        ("choice = 'two'\n", LABELS, "choice"),
        ("scales = ['Intensity']\n", LABELS, "scales"),
        ("scales = ['second']\n", LABELS, "'second'"),
        ("scales = ['valence', 'valence']\n", LABELS, "names a scale twice"),
        ("", LABELS + "shown = { fr = 'x' }\n", "shown.fr"),
        ("", LABELS + "shown = { zh = '' }\n", "shown.zh"),
        ("", LABELS + "shown = { zh = 'a' }\n", "both shown as 'a' in 'zh'"),
        ("", LABELS + "gruop = 'x'\n", "gruop"),
    ],
)
def test_scheme_settings_name_what_is_wrong(scheme: str, labels: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(scheme, labels)


@pytest.mark.parametrize("name", ["voxdata.toml", "demo/voxdata.toml"])
def test_templates_explain_every_setting_of_a_scheme(name: str) -> None:
    text = template(name)
    parse_settings(text, origin=name)
    if name.startswith("templates"):
        assert all(
            f"{key} = " in text for key in ("language", "choice", "scales", "shown", "group")
        )


def test_annotation_settings_refuse_a_language_the_screen_does_not_speak() -> None:
    with pytest.raises(ConfigError, match="language"):
        parse_settings("[annotation]\nlanguage = 'fr'\n" + HEAD + LABELS, origin="here")
