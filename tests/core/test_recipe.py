"""Recipes are strict, and tell all their mistakes at once."""

from pathlib import Path

import pytest

from tunewright.core.errors import RecipeError
from tunewright.core.recipe import Recipe
from tunewright.core.settings import Settings


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return Recipe.load(path, overrides)


def test_a_path_is_enough_and_bare_sections_mean_defaults(tmp_path: Path):
    recipe = load(tmp_path, "data: {path: rows.csv}\ntune:\nmodel:\n")
    assert recipe.data.path == str((tmp_path / "rows.csv").resolve())
    assert recipe.tune.techniques == ["lora", "bottleneck", "prompt_tuning", "full"]


def test_all_mistakes_come_at_once_with_line_place_and_the_name_that_was_meant(tmp_path: Path):
    with pytest.raises(RecipeError) as caught:
        load(
            tmp_path,
            "data: {path: x.csv, txt: a}\naudit:\n  checks: [near_duplicate, {name: short_text, min_wrods: 3}]\n"
            "tune:\n  minutes: soon\n  techniques: [{name: lora, r: x}]\nprepare: {split: {train: 0.9}}\ntunee: {}\n",
        )
    text = str(caught.value)
    for expected in (
        "line 1: data.txt: unknown key. Did you mean 'text'?",
        "line 3: audit.checks[0]: 'near_duplicate' is not one of the checks. Did you mean 'near_duplicates'?",
        "line 3: audit.checks[1].min_wrods: unknown key.",
        "line 5: tune.minutes:",
        "but got 'soon'",
        "line 6: tune.techniques[0].r:",
        "line 7: prepare.split: train + validation + test must be 1 (here 1.2)",
        "line 8: tunee: unknown key. Did you mean 'tune'?",
    ):
        assert expected in text, text


def test_set_overrides_and_reads_numbers_like_yaml_users_write_them(tmp_path: Path):
    recipe = load(tmp_path, "data: {path: x.csv}\n", "tune.minutes=1e-1", "evaluate.ship_if.relative_gain=0.2", "tune.techniques=[lora]")
    assert (recipe.tune.minutes, recipe.evaluate.ship_if.relative_gain, recipe.tune.techniques) == (0.1, 0.2, ["lora"])
    with pytest.raises(RecipeError, match="must be section.key=value"):
        load(tmp_path, "data: {path: x.csv}\n", "tune.minutes")
    with pytest.raises(RecipeError, match=r"tune\.minuts: unknown key. Did you mean 'minutes'"):
        load(tmp_path, "data: {path: x.csv}\n", "tune.minuts=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {path: x.csv}\ndata: {path: y.csv}\n", "line 2: data: given twice; it is also on line 1"),
        ("data: [", "not valid YAML"),
        ("- a\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("tune: {}\n", "data: is required"),
        ("data: {path: !!python/object/apply:os.system [ls]}\n", "not valid YAML"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, text: str, message: str):
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, text)


def test_files_of_a_check_are_relative_to_the_recipe_and_names_stay_names(tmp_path: Path):
    (tmp_path / "exam.csv").write_text("question\nwhat is it?\n")
    recipe = load(
        tmp_path,
        "data: {path: x.csv}\naudit: {checks: [{name: contamination, against: [gsm8k, owner/name, exam.csv, ./gone.csv, 'parts/*.csv']}]}\n",
    )
    spec = recipe.audit.checks[0]
    assert isinstance(spec, dict)
    files = [str((tmp_path / one).resolve()) for one in ("exam.csv", "gone.csv", "parts/*.csv")]
    assert spec["against"] == ["gsm8k", "owner/name", *files]


def test_a_missing_recipe_names_the_command_that_writes_one(tmp_path: Path):
    with pytest.raises(RecipeError, match="tunewright init"):
        Recipe.load(tmp_path / "none.yaml")


def _keys(section: type[Settings]) -> list[str]:
    found = []
    for name, field in section.model_fields.items():
        found.append(name)
        kind = field.annotation
        for one in (kind, *getattr(kind, "__args__", ())):
            if isinstance(one, type) and issubclass(one, Settings):
                found += _keys(one)
    return found


def test_every_key_that_is_accepted_is_read_by_a_stage():
    package = Path(__file__).parents[2] / "tunewright"
    source = "".join(path.read_text() for path in package.rglob("*.py") if path.name != "recipe.py")
    unread = [key for key in _keys(Recipe) if f".{key}" not in source]
    assert unread == []
