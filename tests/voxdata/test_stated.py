import pytest

from voxdata.stated import Stated, read_stated


@pytest.mark.parametrize(
    ("metadata", "stated"),
    [
        ({}, Stated()),
        ({"Sex": "M "}, Stated(sex="male")),
        ({"gender": "Woman"}, Stated(sex="female")),
        ({"gender": "non-binary"}, Stated(sex="non-binary")),
        ({"sex": "", "gender": "f"}, Stated(sex="female")),
        ({"age": "7"}, Stated(age_band="0-9")),
        ({"age": "40"}, Stated(age_band="40-49")),
        ({"age": "twenties"}, Stated(age_band="twenties")),
        ({"age_band": "18-25", "age": "19"}, Stated(age_band="18-25")),
        ({"age": "1987"}, Stated(age_band="1987")),
        ({"age": "４"}, Stated(age_band="４")),
        ({"accents": "Scots", "locale": "en-GB"}, Stated(dialect="Scots", language="en-GB")),
        ({"customer": "Smith"}, Stated()),
    ],
)
def test_read_stated_understands_what_corpora_write(
    metadata: dict[str, str], stated: Stated
) -> None:
    assert read_stated(metadata) == stated
