"""A release is used by plain libraries with the same answers, or it does not come about."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from huggingface_hub import ModelCard

from tests.release.winner import LABELS, TEXTS, context_of
from tunewright.core.errors import RunError
from tunewright.core.files import read_json, read_parquet, write_json
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context
from tunewright.models.chat import ChatFormat
from tunewright.models.load import attach, load_base
from tunewright.models.score import score_labels
from tunewright.release import calibration, pack, parity, reference, run, verify_parity, verify_tokens
from tunewright.testing.tiny import tiny_model


@pytest.fixture(scope="session")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, base_dir: Path) -> Context:
    context = context_of(tmp_path_factory.mktemp("run") / "reviews", base_dir)
    run(context)
    return context


def ours(context: Context) -> np.ndarray:
    winner = attach(load_base(context.recipe.model), context.run.path("tune", "lora"))
    return score_labels(winner, ChatFormat(winner.tokenizer, None, None, 128, labels=LABELS), TEXTS).log_likelihood


def test_plain_libraries_in_a_fresh_process_give_the_same_answers(released: Context) -> None:
    directory = released.run.path("release")
    answered = parity.ask(directory, read_json(directory / "manifest.json")["prompt"], TEXTS)
    assert np.array(answered["log_likelihood"]) == pytest.approx(ours(released), abs=1e-4)
    untuned = load_base(released.recipe.model)
    before = score_labels(untuned, ChatFormat(untuned.tokenizer, None, None, 128, labels=LABELS), TEXTS).log_likelihood
    assert np.abs(before - ours(released)).max() > 0.1  # it is the adapter that answers


@pytest.mark.parametrize("technique", ["prompt_tuning", "bottleneck", "full"])
def test_every_technique_is_released_as_plain_libraries_read_it(tmp_path: Path, base_dir: Path, here: None, technique: str) -> None:
    context = context_of(tmp_path / "run", base_dir, technique)
    result = run(context)
    assert result.parity["same_answers"] == result.parity["rows"] == 4
    assert result.manifest["kind"] == ("adapter" if technique == "prompt_tuning" else "model")
    layout = "adapter_model.safetensors" if technique == "prompt_tuning" else "model.safetensors"
    assert layout in {one["path"] for one in result.manifest["files"]}


def test_the_script_imports_nothing_of_ours() -> None:
    source = parity.SCRIPT.read_text()
    assert "import tunewright" not in source
    assert "from tunewright" not in source


def test_the_manifest_names_every_file_and_a_changed_one_is_noticed(released: Context, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    shutil.copytree(released.run.path("release"), copy)
    named = {one["path"] for one in read_json(copy / "manifest.json")["files"]}
    assert named == {path.name for path in copy.iterdir()} - {"manifest.json", "started.json"}
    assert "5 probe rows give the tokens of training" in verify_tokens(tmp_path / "release")
    (copy / "README.md").write_text("better than it is")
    with pytest.raises(RunError, match=r"README.md was changed"):
        verify_tokens(tmp_path / "release")


def test_a_packed_release_can_be_asked_again(released: Context, tmp_path: Path, here: None) -> None:
    shutil.copytree(released.run.path("release"), tmp_path / "release")
    assert "4 of 4 answers alike" in verify_parity(tmp_path / "release")
    config = read_json(tmp_path / "release" / "adapter_config.json")
    tiny_model(tmp_path / "other", seed=1)
    write_json(tmp_path / "release" / "adapter_config.json", config | {"base_model_name_or_path": str(tmp_path / "other")})
    with pytest.raises(RunError, match="answer differently"):
        verify_parity(tmp_path / "release")


def test_it_keeps_the_lifecycles_marker_and_leaves_nothing_half_written(released: Context) -> None:
    assert released.run.path("release", "started.json").exists()
    assert [path.name for path in released.run.directory.iterdir() if path.name.startswith(".release")] == []


@pytest.mark.parametrize(("verdict", "approved", "first"), [("SHIP", True, "APPROVED: SHIP."), ("DON'T SHIP", False, "NOT APPROVED: DON'T SHIP."), ("INCONCLUSIVE", False, "NOT APPROVED: INCONCLUSIVE.")])  # fmt: skip
def test_only_ship_is_approved_and_the_first_words_say_so(
    tmp_path: Path, base_dir: Path, here: None, verdict: str, approved: bool, first: str
) -> None:
    context = context_of(tmp_path / "run", base_dir, verdict=verdict)
    manifest = run(context).manifest
    assert manifest["approved"] is approved
    assert next(iter(manifest)) == "status"
    assert manifest["status"].startswith(first)
    body = context.run.path("release", "README.md").read_text().split("---\n", 2)[2].strip()
    assert body.startswith(f"**{first}")


def test_a_tampered_adapter_stops_the_release(tmp_path: Path, base_dir: Path, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file, save_file

    context = context_of(tmp_path / "run", base_dir)
    honest = pack.weights

    def tampered(winner, candidate, directory):
        kind = honest(winner, candidate, directory)
        path = directory / "adapter_model.safetensors"
        save_file({name: 1.01 * weight for name, weight in load_file(path).items()}, path)
        return kind

    monkeypatch.setattr(pack, "weights", tampered)
    with pytest.raises(RunError, match=r"answer differently. Label \d of probe row \d"):
        run(context)
    assert [path.name for path in context.run.path("release").iterdir()] == ["started.json"]


def test_an_adapter_that_is_lost_stops_the_release(tmp_path: Path, base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(tmp_path / "run", base_dir)

    def lost(winner, candidate, directory):
        shutil.copytree(base_dir, directory, dirs_exist_ok=True)
        return "model"

    monkeypatch.setattr(pack, "weights", lost)
    with pytest.raises(RunError, match="answer differently"):
        run(context)


def test_another_chat_template_stops_the_release_with_the_first_difference(tmp_path: Path, base_dir: Path) -> None:
    context = context_of(tmp_path / "run", base_dir)
    path = context.run.path("tune", "lora", "tokens.json")
    contract = read_json(path)
    contract["rows"][1]["ids"][3] += 1
    write_json(path, contract)
    with pytest.raises(RunError, match=r"probe row 1, position 3: token is .* in training"):
        run(context)


def test_weights_that_do_not_load_stop_the_release_in_one_line(released: Context, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    shutil.copytree(released.run.path("release"), copy)
    (copy / "adapter_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(RunError, match="cannot load it") as caught:
        parity.ask(copy, read_json(copy / "manifest.json")["prompt"], TEXTS[:1])
    assert "Traceback" not in str(caught.value)


def test_the_card_has_front_matter_that_the_hub_reads(released: Context) -> None:
    card = ModelCard.load(released.run.path("release", "README.md"))
    assert card.data.library_name == "peft"
    assert card.data.pipeline_tag == "text-generation"
    assert {"tunewright", "text-classification", "lora", "approved"} <= set(card.data.tags)
    assert [(one.metric_name, one.metric_value) for one in card.data.eval_results] == [("macro_f1", 0.6347), ("accuracy", 0.7021)]
    assert card.data.base_model == "base"
    assert "# reviews\n" in card.text
    for words in (
        "## Intended use",
        "## Data",
        "## Training",
        "## Evaluation",
        "## The same answers elsewhere",
        "gave 4 of 4 answers alike",
        "## Probabilities",
        "## Limits",
        "| lora | tuned | 0.635 | 0.594 to 0.676 | 0.702 |",
    ):
        assert words in card.text


def test_probes_take_labels_in_turn_and_leave_out_what_was_cut(released: Context) -> None:
    assert read_json(released.run.path("release", "parity.json"))["texts"] == [TEXTS[place] for place in (1, 2, 0, 4)]


def test_the_manifest_leads_back_to_rows_recipe_and_seal(released: Context) -> None:
    manifest = read_json(released.run.path("release", "manifest.json"))
    lineage = manifest["lineage"]
    assert lineage["run"] == str(released.run.directory.resolve())
    assert lineage["data"]["rows"] == {"read": 3708, "train": 2559, "validation": 549, "test": 556}
    assert lineage["data"]["sha256"]["test"] == lineage["seal"]["sha256"] == "5e41" * 16
    assert lineage["seal"]["openings"] == 1
    assert lineage["stages"]["tune"] == "abc2def012345678"
    assert len(manifest["fingerprint"]) == 16


def test_the_recipe_travels_without_secrets(tmp_path: Path, base_dir: Path, here: None) -> None:
    context = context_of(tmp_path / "run", base_dir)
    alerts = {"urls": ["slack://secret2/secret3/${SLACK}", "json://127.0.0.1:9/hook", "mailto://ana:secret4@mail"]}
    model = context.recipe.model.model_dump()
    values = {"data": {"path": "reviews.csv"}, "model": model, "monitor": {"alerts": alerts}}
    recipe = Recipe.check(values | {"serve": {"traffic": {"url": "postgresql://ana:secret1@db/traffic"}}})
    assert recipe.serve.traffic.url == "postgresql://ana:secret1@db/traffic"
    run(replace(context, recipe=recipe))
    written = context.run.path("release", "recipe.json").read_text()
    assert "secret" not in written
    told = read_json(context.run.path("release", "recipe.json"))
    assert told["monitor"]["alerts"]["urls"] == ["slack://***/***/${SLACK}", "json://127.0.0.1:9/hook", "mailto://***:***@mail"]
    assert told["serve"]["traffic"]["url"] == "postgresql://***:***@db/traffic"
    assert told["model"]["base"] == str(base_dir)


def test_the_reference_holds_the_releases_own_answers(released: Context) -> None:
    table = read_parquet(released.run.path("release", "reference.parquet"))
    told = read_json(released.run.path("release", "calibration.json"))
    assert table["row_id"].to_list() == ["a", "r0", "r1", "r2", "r3", "r4"]
    assert table["group"].to_list() == table["row_id"].to_list()  # these rows have no groups, so each is its own
    assert table.schema["probabilities"] == pl.List(pl.Float64)
    assert (told["labels"], told["prior"], told["rows"], told["temperature"]) == (LABELS, None, 6, 1.0)
    assert "too few" in told["note"]
    kept = table.filter(pl.col("row_id") != "a").sort("row_id")
    expected = calibration.probabilities(ours(released), told)
    assert np.array(kept["probabilities"].to_list()) == pytest.approx(expected, abs=1e-4)
    assert kept["answer"].to_list() == [LABELS[place] for place in expected.argmax(axis=1)]
    assert kept["confidence"].to_list() == pytest.approx(expected.max(axis=1), abs=1e-4)
    assert table.filter(pl.col("row_id") == "a")["prompt_tokens"].item() <= 128
    contract = read_json(released.run.path("release", "tokens.json"))["rows"]
    assert kept["prompt_tokens"].to_list() == [len(row["ids"]) - sum(row["mask"]) for row in contract]


def test_validation_rows_are_answered_once_for_a_model(released: Context, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("tunewright.models.score.score_labels", lambda *_, **__: seen.append(1))
    winner = attach(load_base(released.recipe.model), released.run.path("tune", "lora"))
    chat = ChatFormat(winner.tokenizer, None, None, 128, labels=LABELS)

    rows = reference.choose(read_parquet(released.run.path("prepare", "validation.parquet")))
    assert reference.scores(released.run, winner, chat, rows, released.report).shape == (6, 3)
    assert seen == []


def test_the_chosen_rows_do_not_depend_on_the_others() -> None:
    rows = pl.DataFrame({"row_id": [f"r{i}" for i in range(1000)], "text": ["x"] * 1000})
    chosen = set(reference.choose(rows)["row_id"])
    assert len(chosen) == 400
    assert chosen == set(reference.choose(rows.sample(fraction=1.0, shuffle=True, seed=3))["row_id"])
    fewer = set(reference.choose(rows.filter(pl.col("row_id").is_in(list(chosen))), 100)["row_id"])
    assert fewer == set(reference.choose(rows, 100)["row_id"])


def test_parity_keeps_what_the_untuned_model_says(released: Context) -> None:
    told = read_json(released.run.path("release", "parity.json"))
    untuned = load_base(released.recipe.model)
    before = score_labels(untuned, ChatFormat(untuned.tokenizer, None, None, 128, labels=LABELS), told["texts"]).log_likelihood
    assert np.array(told["base_log_likelihood"]) == pytest.approx(before, abs=1e-6)
    assert told["largest_difference_from_base"] == pytest.approx(np.abs(before - np.array(told["log_likelihood"])).max())
    assert told["largest_difference_from_base"] > 0.1
