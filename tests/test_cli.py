"""The commands as a user meets them: exit codes, one JSON document, no traceback for a user's mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright.cli import main
from tunewright.core.recipe import Recipe


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    lines = [
        f"T{index},customer{index % 9},my order number {index} came late and the box was open,{'billing' if index % 3 else 'delivery'}"
        for index in range(60)
    ]
    path.write_text("ticket,customer,complaint,team\n" + "\n".join(lines) + "\n")
    return path


def test_init_writes_a_recipe_that_loads_for_a_file_it_has_never_seen(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "recipe.yaml"
    assert main(["init", str(rows), "-o", str(output)]) == 0
    recipe = Recipe.load(output)
    assert (recipe.data.text, recipe.data.label, recipe.data.groups) == ("complaint", "team", ["customer"])
    assert Path(recipe.data.path) == rows.resolve()
    assert "label: 'team' with 2 classes (billing 40, delivery 20)" in capsys.readouterr().out
    assert recipe == Recipe.check({"data": recipe.data.model_dump()}), "the recipe that init writes spells out the defaults"


def test_init_never_overwrites(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "recipe.yaml"
    output.write_text("mine")
    assert main(["init", str(rows), "-o", str(output)]) == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert output.read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("a,b\n", "holds no rows"),
        ("only\nx\ny\n", "no column looks like a label|a text column and a label"),
        ("a,b\n1,2\n3,4\n", ""),
    ],
)
def test_init_on_hopeless_files_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    code = main(["init", str(path), "-o", str(tmp_path / "r.yaml")])
    error = capsys.readouterr().err
    if message:
        assert code == 2
        assert any(one in error for one in message.split("|"))
    assert "Traceback" not in error


def test_a_mistake_exits_2_without_a_traceback_and_as_json_when_asked(tmp_path: Path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("data: {path: none.csv}\ntunes: {}\n")
    done = subprocess.run(
        [sys.executable, "-m", "tunewright.cli", "run", str(recipe), "--json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "Did you mean 'tune'?" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_missing_data_file_is_found_before_anything_is_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("data: {path: none.csv}\n")
    assert main(["run", "r.yaml"]) == 2
    assert "data.path: there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "check"], "Did you mean 'checks'?"),
        (["report", "nowhere"], "is not a run directory"),
        (["verify", "nowhere"], "is not a run directory and not a release. As a model:"),
        (["doctor", "--show-mask", "2"], "--show-mask needs a recipe"),
        (["run", "nowhere.yaml"], "tunewright init"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_list_shows_parts_with_their_settings_as_json(capsys: pytest.CaptureFixture[str]):
    assert main(["list", "techniques", "--json"]) == 0
    parts = {one["name"]: one for one in json.loads(capsys.readouterr().out)["techniques"]}
    assert {"lora", "bottleneck", "prompt_tuning", "full"} <= set(parts)
    assert "r" in parts["lora"]["settings"]


def test_no_command_prints_help_and_exits_2(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "audit" in capsys.readouterr().out


def test_a_file_where_a_folder_belongs_is_told_without_a_traceback(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = tmp_path / "recipe.yaml"
    assert main(["init", str(rows), "-o", str(recipe)]) == 0
    before = rows.read_bytes()
    assert main(["run", str(recipe), "--run", str(rows)]) == 2
    assert f"{rows}: File exists. Choose another path" in capsys.readouterr().err
    assert main(["drill", "--folder", str(rows)]) == 2
    assert f"--folder {rows}: must be new or an empty folder" in capsys.readouterr().err
    assert rows.read_bytes() == before


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_a_drill_without_time_is_refused_before_it_begins(minutes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["drill", "--folder", str(tmp_path / "new"), "--minutes", minutes]) == 2
    assert "--minutes must be above 0" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
