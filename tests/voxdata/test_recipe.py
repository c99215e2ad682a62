import json
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from voxdata.recipe import Recipe, decode_recipe, encode_recipe

days = st.none() | st.dates(min_value=date(2000, 1, 1))
names = st.lists(st.text(max_size=5), max_size=2).map(tuple)
recipes = st.builds(
    Recipe,
    schemes=names,
    min_votes=st.integers(1, 5),
    languages=names,
    since=days,
    until=days,
    purpose=st.text(max_size=9),
    consent=st.sampled_from(["required", "unless_refused"]),
    limits=st.dictionaries(st.just("snr_db"), st.floats(0, 60)),
    where=st.text(max_size=9),
    phrases=names,
    seed=st.integers(0, 9),
)


@given(recipes)
def test_decode_recipe_inverts_encode_recipe(recipe: Recipe) -> None:
    assert decode_recipe(json.loads(json.dumps(encode_recipe(recipe)))) == recipe


def test_decode_recipe_takes_the_default_of_what_is_not_stored() -> None:
    assert decode_recipe({"imported": {"manifest": "m.csv"}}) == Recipe()
