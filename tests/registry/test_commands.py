"""The commands of the registry as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.registry.small_release import small_release
from tunewright.cli import main
from tunewright.core.files import write_json
from tunewright.registry import Registry


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs with a release, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNEWRIGHT_REGISTRY", raising=False)
    for number in (1, 2):
        small_release(tmp_path / f"runs/reviews{number}" / "release", f"weights {number}")
        write_json(tmp_path / f"runs/reviews{number}" / "resolved.json", {})
    return tmp_path


def test_promote_registers_and_rollback_takes_it_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", "runs/reviews1", "--as", "reviews", "--reason", "first", "--by", "ana"]) == 0
    assert capsys.readouterr().out == "reviews: version 1 is the champion.\n"
    assert main(["promote", "runs/reviews1", "--as", "reviews", "--reason", "again"]) == 0
    assert "is the champion already" in capsys.readouterr().out
    assert main(["promote", "runs/reviews2/release", "--as", "reviews", "--reason", "better"]) == 0
    assert "version 2 is the champion instead of 1; `tunewright rollback reviews` takes it back" in capsys.readouterr().out
    assert main(["rollback", "reviews", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": "reviews", "version": 1, "before": 2}
    assert main(["rollback", "reviews"]) == 2
    assert "no champion before 1 to roll back to" in capsys.readouterr().err
    state = Registry("registry/reviews").state()
    assert state.versions[1].run == "runs/reviews1"
    assert state.versions[2].run == str(Path("runs/reviews2").resolve())


def test_the_name_of_the_model_is_the_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", "runs/reviews1", "--reason", "first"]) == 0
    assert main(["promote", "reviews1@1", "--as", "other", "--reason", "x"]) == 2
    assert "is a version of reviews1" in capsys.readouterr().err


def test_what_is_not_approved_needs_force_and_a_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_release(folder / "runs/bad/release", "bad", approved=False, verdict="DON'T SHIP")
    with pytest.raises(SystemExit):
        main(["promote", "runs/bad"])  # no reason
    assert main(["promote", "runs/bad", "--reason", "a test"]) == 2
    assert "not approved (verdict DON'T SHIP)" in capsys.readouterr().err
    assert main(["promote", "runs/bad", "--reason", "a test", "--force"]) == 0
    assert main(["registry", "history", "bad", "--json"]) == 0
    capsys.readouterr()
    assert Registry("registry/bad").history()[-1]["overruled"] == ["it is not approved (verdict DON'T SHIP)"]


def test_list_show_register_verify_gc_history(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert main(["registry", *arguments]) == 0
        return capsys.readouterr().out

    assert said("list") == "No model is registered in registry.\n"
    assert "reviews@1 is registered; it serves nobody yet" in said("register", "runs/reviews1", "--as", "reviews")
    assert main(["promote", "reviews@1", "--reason", "first"]) == 0
    capsys.readouterr()
    assert "is registered and the challenger" in said("register", "runs/reviews2", "--as", "reviews", "--challenger")
    assert said("list") == "reviews: champion 1, challenger 2; 2 versions\n"
    shown = said("show", "reviews")
    assert "champion, ready" in shown
    assert "challenger, ready" in shown
    detail = said("show", "reviews@challenger")
    assert "reviews@2: SHIP, ready" in detail
    assert "improves on: 1" in detail
    assert "verdict" in json.loads(said("show", "reviews@2", "--json"))
    assert "4 files are as they were registered" in said("verify", "reviews")
    assert said("gc", "reviews", "--keep", "0") == "Nothing to remove.\n"
    assert main(["registry", "register", "reviews@2"]) == 2
    assert "is registered already, as reviews@2" in capsys.readouterr().err
    for number in range(3, 6):
        said("register", str(small_release(folder / f"r{number}", f"w{number}")), "--as", "reviews")
    assert "files of version 3, 4 removed" in said("gc", "reviews", "--keep", "1")
    history = said("history", "reviews")
    assert "collect_garbage" in history
    assert "first" in history
    (folder / "registry/reviews/versions/2/tokenizer.json").unlink()
    assert main(["registry", "verify", "reviews@2"]) == 1
    assert "FAIL  reviews@2" in capsys.readouterr().out
    assert main(["registry", "verify", "reviews", "--json"]) == 1
    assert [one["ok"] for one in json.loads(capsys.readouterr().out)["results"]] == [True, False, True]


def test_what_is_not_there_is_said_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "runs/young").mkdir()
    write_json(folder / "runs/young/resolved.json", {})
    for arguments, words in (
        (["promote", "runs/young", "--reason", "x"], "has no release yet"),
        (["promote", "runs/none", "--reason", "x"], "is no run, no release and no model"),
        (["rollback", "reviews"], "there is no such model in registry"),
        (["registry", "show", "reviews@1"], "there is no such model in registry"),
        (["registry", "gc", "../x"], "is not a name of a model"),
        (["verify", "runs/reviews1", "tokens", "--endpoint", "http://127.0.0.1:9"], "--endpoint is for parity"),
    ):
        assert main(arguments) == 2, arguments
        assert words in capsys.readouterr().err


def test_another_registry_is_named_by_option_or_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["promote", "runs/reviews1", "--as", "reviews", "--reason", "x", "--registry", "shelf"]) == 0
    assert Registry("shelf/reviews").state().champion == 1
    monkeypatch.setenv("TUNEWRIGHT_REGISTRY", str(folder / "shelf"))
    assert main(["promote", "runs/reviews2", "--as", "reviews", "--reason", "x"]) == 0
    assert main(["rollback", "reviews", "--reason", "worse"]) == 0
    assert not (folder / "registry").exists()
