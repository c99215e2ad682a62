from dataclasses import replace
from pathlib import Path

import pytest

from annotation.config import build_config, build_instructions
from flows.models import ModelSpecs, build_models
from flows.place import DEMO_DIR, FILE_NAME, find_workspace
from flows.settings import (
    UtteranceSettings,
    default_settings,
    parse_settings,
    read_environment,
    template,
)
from flows.workspace import open_workspace
from voxdata.errors import ConfigError
from voxdata.prelabel import Models
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.testing.backends import FakeDiarizer, FakeTranscriber
from voxdata.utterance import MIN_MS

MINIMAL = """
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [{name = "是", examples = ["是的"]}, {name = "否", examples = ["不是"]}]
[training]
schemes = ["intent"]
"""


def test_template_is_valid_and_holds_both_schemes() -> None:
    names = [scheme.name for scheme in default_settings().schemes]
    assert names == ["intent", "emotion"]


def test_parse_settings_keeps_unicode_labels() -> None:
    assert parse_settings(MINIMAL, origin="x").schemes[0].scheme.label_names == ("是", "否")


def test_parse_settings_passes_backend_options_on() -> None:
    settings = parse_settings(
        MINIMAL + '[diarizer]\nbackend = "pyannote"\nthreshold = 0.5\n', origin="x"
    )
    assert settings.diarizer.options == {"threshold": 0.5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[project\n", ["f.toml", "not valid TOML"]),
        (MINIMAL + "[project]\nnmae = 'a'\n", ["f.toml", "project.nmae"]),
        (MINIMAL + "[utterance]\nmax_ms = 'long'\n", ["utterance.max_ms"]),
        (
            MINIMAL + "[release]\nratios = {train = 0.9, validation = 0.2, test = 0.1}\n",
            ["release.ratios", "add up to 1"],
        ),
        (MINIMAL.replace('schemes = ["intent"]', 'schemes = ["mood"]'), ["mood", "intent"]),
        (MINIMAL.replace("否", "是"), ["twice"]),
        ("[project]\nname = 'calls'\n", ["schemes"]),
    ],
)
def test_parse_settings_names_the_trouble(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, origin="f.toml")
    assert [word for word in words if word not in str(caught.value)] == []


def test_find_workspace_searches_parents(tmp_path: Path) -> None:
    settings_file = tmp_path / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_workspace(below) == tmp_path.resolve()


def test_find_workspace_takes_the_demo_below_when_nothing_else_is_there(tmp_path: Path) -> None:
    (tmp_path / DEMO_DIR).mkdir()
    settings_file = tmp_path / DEMO_DIR / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    assert find_workspace(tmp_path) == (tmp_path / DEMO_DIR).resolve()


def test_find_workspace_fails_with_a_remedy_when_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="voxdata init"):
        find_workspace(tmp_path)


def test_find_workspace_does_not_search_on_when_the_folder_is_named(tmp_path: Path) -> None:
    settings_file = tmp_path / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="other"):
        find_workspace(tmp_path, explicit=tmp_path / "other")


def test_read_environment_prefers_the_named_cache() -> None:
    assert read_environment({"VOXDATA_CACHE": "/c", "XDG_CACHE_HOME": "/x"}).cache_dir == Path("/c")
    assert read_environment({"XDG_CACHE_HOME": "/x"}).cache_dir == Path("/x/voxdata")


def test_secrets_do_not_show_tokens() -> None:
    assert "hunter2" not in repr(
        read_environment(
            {"HF_TOKEN": "hunter2", "VOXDATA_LABEL_STUDIO_TOKEN": "hunter2", "HOME": "/h"}
        )
    )


def test_min_ms_has_one_default_and_reaches_the_cutting(tmp_path: Path) -> None:
    settings_file = tmp_path / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    workspace = open_workspace(tmp_path)
    assert workspace.settings.utterance.min_ms == UtteranceSettings().min_ms == MIN_MS
    (tmp_path / FILE_NAME).write_text(
        template().replace("min_ms = 600", "min_ms = 900"),
        encoding="utf-8",
    )
    models = build_models(open_workspace(tmp_path), ModelSpecs())
    assert models.cutting["min_ms"] == 900


@pytest.mark.parametrize(
    ("min_ms", "same"),
    [(MIN_MS, True), (900, False)],
)
def test_stage_keys_of_earlier_cuts_hold_while_min_ms_does_not_change_the_cutting(
    min_ms: int, same: bool
) -> None:
    models = Models(
        diarizer=FakeDiarizer(),
        transcriber=FakeTranscriber(),
        labelers={},
        cutting={"pause_ms": 500, "max_ms": 15_000},
    )
    now = replace(models, cutting={**models.cutting, "min_ms": min_ms})
    changed = {
        a.name
        for a, b in zip(
            models.specs(scheme_versions={}), now.specs(scheme_versions={}), strict=True
        )
        if a != b
    }
    assert changed == (set() if same else {"cut"})


def test_scheme_title_has_a_language() -> None:
    def titles(text: str) -> list[str]:
        scheme = (
            parse_settings(
                '[training]\nschemes = []\n[[schemes]]\nname = "s"\nversion = 1\ncold_start '
                f'= "x"\n{text}\n'
                'labels = [{ name = "a" }, { name = "b" }]',
                origin="t",
            )
            .schemes[0]
            .scheme
        )
        return [scheme.shown_title(language) for language in ("en", "zh")]

    assert titles('title = "Want?"\nshown = { zh = "要什么？" }') == ["Want?", "要什么？"]
    assert titles('title = { en = "Want?", zh = "要什么？" }') == ["Want?", "要什么？"]
    assert titles('title = "Want?"') == ["Want?", "Want?"]
    assert titles("") == ["s", "s"]


@pytest.mark.parametrize(
    "wrong",
    [
        'shown = { xx = "?" }',
        'shown = { zh = "" }',
        'shown = { zh = "  " }',
        'title = { xx = "?" }',
    ],
)
def test_scheme_title_in_an_unknown_language_or_blank_is_refused(wrong: str) -> None:
    head = (
        '[training]\nschemes = []\n[[schemes]]\nname = "s"\nversion = 1\ncold_start = "x"\n'
        f"{wrong}\n"
    )
    text = head + 'labels = [{ name = "a" }, { name = "b" }]'
    with pytest.raises(ConfigError):
        parse_settings(text, origin="t")


def test_screen_shows_the_title_in_the_annotators_language() -> None:
    scheme = Scheme(
        name="s",
        version=1,
        title="Want?",
        shown={"zh": "要什么？"},
        labels=(SchemeLabel(name="a"), SchemeLabel(name="b")),
    )
    assert "要什么？" in build_config([scheme], language="zh")
    assert "Want?" not in build_config([scheme], language="zh")
    assert "Want?" in build_config([scheme], language="en")
    assert "要什么？" in build_instructions([scheme], guidelines="", language="zh")


def test_parse_settings_names_a_device_that_nobody_has() -> None:
    with pytest.raises(ConfigError, match=r"x: 1 setting is wrong:\n  training: .*device 'gpu'"):
        parse_settings(MINIMAL + 'device = "gpu"\n', origin="x")
    with pytest.raises(ConfigError, match=r"training: .*precision 'int8'"):
        parse_settings(MINIMAL + 'precision = "int8"\n', origin="x")


def test_parse_settings_keeps_where_training_computes() -> None:
    text = MINIMAL + 'device = "cuda:1"\nprecision = "bf16"\nthreads = 3\n'
    compute = parse_settings(text, origin="x").training.compute
    assert (compute.device, compute.precision, compute.threads) == ("cuda:1", "bf16", 3)
