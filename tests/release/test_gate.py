"""The gate sees what users of exported models suffer from: other tokens, shifted likelihoods, the untuned model, worse answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.release.winner import LABELS
from tunewright.core.errors import EnvironmentProblem, RunError
from tunewright.core.files import read_json, write_json
from tunewright.core.run import Context
from tunewright.release import gate
from tunewright.release.gate.http import Client
from tunewright.release.gate.llama import LlamaArm

ROWS = 60


class Echo:
    """An artefact that answers as the release did, but for what a test changes. Texts are probes or rows."""

    name, artefact, normalised, reads_controls = "echo", "", False, False

    def __init__(self, probes: gate.Probes, row_scores: np.ndarray) -> None:
        self.ids = [ids for _, ids in probes.contract]
        self.said = list(probes.greedy)
        self.probes = probes
        self.of_probes, self.of_rows = probes.log_likelihood.copy(), row_scores.copy()

    def tokens(self, texts: Sequence[str]) -> list[list[int]] | list[int]:
        return [self.ids[[text for text, _ in self.probes.contract].index(one)] for one in texts]

    def greedy(self, texts: Sequence[str], tokens: int) -> list[str]:
        return self.said

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        return self.of_probes if list(texts) == self.probes.texts else self.of_rows

    def close(self) -> None:
        pass


@pytest.fixture
def probes() -> gate.Probes:
    """Sixty validation rows, 80% of them right, and every answer one nat ahead."""
    random = np.random.default_rng(3)
    answers = random.integers(0, 3, ROWS)
    truth = np.where(random.random(ROWS) < 0.8, answers, (answers + 1) % 3)
    probe = random.normal(-3, 1, (4, 3))
    return gate.Probes(
        labels=LABELS,
        prompt={"answers": {label: [number] for number, label in enumerate(LABELS)}, "system": None, "user": "{text}"},
        texts=["one", "two", "three", "four"],
        log_likelihood=probe,
        base=probe + random.normal(0, 2, (4, 3)),
        greedy=["negative", "neutral", "positive", "neutral"],
        contract=[("one", [1, 5, 9]), ("say <|end|>", [1, 6, 7, 9])],
        controls=("<|end|>",),
        rows=[f"row {number}" for number in range(ROWS)],
        truth=truth,
        answers=answers,
        margin=np.ones(ROWS),
        calibration={"temperature": 1.0, "prior": None},
        release="abc",
    )


@pytest.fixture
def echo(probes: gate.Probes) -> Echo:
    return Echo(probes, np.eye(3)[probes.answers])


EXACT, COARSE = gate.TOLERANCES["f32"], gate.TOLERANCES["q8_0"]


def test_the_same_answers_pass_with_their_figures(echo: Echo, probes: gate.Probes) -> None:
    found = gate.compare(echo, probes, EXACT)
    assert (found["passed"], found["release"], found["likelihoods"]["largest"]) == (True, "abc", 0.0)
    assert found["score"]["difference"] == 0.0
    assert "2 prompts have the tokens of training" in found["text"]
    assert "4 of 4 greedy answers alike" in found["text"]


def test_another_token_is_told_by_row_and_place(echo: Echo, probes: gate.Probes) -> None:
    echo.ids[1] = [1, 6, 8, 9]
    with pytest.raises(
        gate.ParityError, match=r"echo is not the release .* contract row 1 \('say <\|end\|>'\) has token 8 at position 2, but 7"
    ):
        gate.compare(echo, probes, EXACT)
    echo.reads_controls = True  # a server that takes text cannot tell: the row is left out, and that is said
    assert "1 with control tokens in the text left out" in gate.compare(echo, probes, EXACT)["text"]
    echo.ids[0] = [1, 5]
    with pytest.raises(gate.ParityError, match="contract row 0 .* has token None at position 2, but 9"):
        gate.compare(echo, probes, EXACT)


def test_only_the_number_of_tokens_is_enough_to_notice(echo: Echo, probes: gate.Probes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "tokens", lambda texts: [3, 5][: len(texts)])
    with pytest.raises(gate.ParityError, match="contract row 1 .* has 5 tokens, but 4 in training"):
        gate.compare(echo, probes, EXACT)


def test_a_shifted_likelihood_is_told_by_row_and_label(echo: Echo, probes: gate.Probes) -> None:
    echo.of_probes[2, 1] += 0.05
    with pytest.raises(gate.ParityError, match=r"probe row 2 \('three'\) label 'neutral' has .* nats, but .* at most 0.002") as caught:
        gate.compare(echo, probes, EXACT)
    assert caught.value.arm["likelihoods"]["largest"] == pytest.approx(0.05)
    assert caught.value.arm["passed"] is False
    assert gate.compare(echo, probes, COARSE)["passed"]


def test_not_a_number_is_no_agreement(echo: Echo, probes: gate.Probes) -> None:
    echo.of_probes[0, 0] = np.nan
    with pytest.raises(gate.ParityError, match="probe row 0"):
        gate.compare(echo, probes, COARSE)


def test_the_untuned_model_is_called_by_its_name(echo: Echo, probes: gate.Probes) -> None:
    echo.of_probes = probes.base + 0.001
    with pytest.raises(gate.ParityError, match="it answers like the untuned model: 0.0010 nats from that"):
        gate.compare(echo, probes, COARSE)
    same = replace(probes, base=probes.log_likelihood + 0.001)
    with pytest.raises(gate.ParityError, match="it answers like the untuned model"):
        gate.compare(Echo(same, np.eye(3)[same.answers]), same, COARSE)


def test_only_differences_count_where_scores_are_normalised(echo: Echo, probes: gate.Probes) -> None:
    echo.of_probes = probes.log_likelihood + np.array([[1.0], [2.0], [3.0], [4.0]])
    with pytest.raises(gate.ParityError):
        gate.compare(echo, probes, EXACT)
    echo.normalised = True
    assert gate.compare(echo, probes, EXACT)["passed"]


def test_other_free_answers_are_shown(echo: Echo, probes: gate.Probes) -> None:
    echo.said[2] = "positive!"
    with pytest.raises(
        gate.ParityError, match=r"3 of 4 greedy answers .* probe row 2 \('three'\) it says 'positive!' and the release 'positive'"
    ):
        gate.compare(echo, probes, EXACT)
    assert gate.compare(echo, probes, COARSE)["greedy"]["alike"] == 3
    echo.said[2] = "positive\ufffd"  # half a character, where the answer was cut
    assert gate.compare(echo, probes, EXACT)["passed"]


def test_another_label_passes_only_where_the_release_hardly_had_one(echo: Echo, probes: gate.Probes) -> None:
    wrong = int(np.flatnonzero(probes.answers != probes.truth)[0])
    echo.of_rows[wrong] = np.eye(3)[probes.truth[wrong]]  # right where the release was wrong: still another model
    with pytest.raises(gate.ParityError, match=rf"to 1 of 60 validation rows .* row {wrong} .* 1.000 nats ahead"):
        gate.compare(echo, probes, EXACT)
    probes.margin[wrong] = 0.001
    found = gate.compare(echo, probes, EXACT)
    assert found["score"]["other_answers"] == 1
    assert found["score"]["difference"] > 0
    assert found["score"]["ci_low"] <= found["score"]["difference"] <= found["score"]["ci_high"]


def test_a_worse_score_stops_it_even_if_every_row_was_close(echo: Echo, probes: gate.Probes) -> None:
    right = np.flatnonzero(probes.answers == probes.truth)[:12]
    echo.of_rows[right] = np.eye(3)[(probes.truth[right] + 1) % 3]
    close = replace(probes, margin=np.full(ROWS, 1e-6))
    with pytest.raises(
        gate.ParityError, match=r"macro_f1 on 60 validation rows is 0\.\d+ instead of 0\.\d+ \(difference -0\.\d+, 95% interval"
    ):
        gate.compare(echo, close, COARSE)


def test_results_are_kept_by_artefact_and_the_newest_counts(echo: Echo, probes: gate.Probes, tmp_path: Path) -> None:
    echo.said[0] = "x"
    with pytest.raises(gate.ParityError) as caught:
        gate.compare(echo, probes, EXACT)
    gate.keep(tmp_path, caught.value.arm, "somewhere")
    assert [(one["name"], one["passed"]) for one in gate.kept(tmp_path)] == [("echo", False)]
    echo.said[0] = "negative"
    gate.keep(tmp_path, gate.compare(echo, probes, EXACT), "somewhere")
    gate.keep(tmp_path, gate.compare(echo, probes, EXACT) | {"name": "other"}, "elsewhere")
    assert [(one["name"], one["passed"]) for one in gate.kept(tmp_path)] == [("echo", True), ("other", True)]


def test_probes_come_from_the_release_and_leave_out_what_was_cut(release_of: Callable[..., Context]) -> None:
    release = release_of("lora").run.path("release")
    probes = gate.read(release)
    assert len(probes.texts) == len(probes.greedy) == 4
    assert len(probes.rows) == 5  # the sixth is longer than the model may read
    assert probes.contract[0][1] == [one for one, learnt in zip(*_first(release), strict=True) if not learnt]
    assert probes.longest == 1 + max(len(ids) for ids in probes.prompt["answers"].values())
    assert (probes.margin >= 0).all()


def _first(release: Path) -> tuple[list[int], list[int]]:
    row = read_json(release / "tokens.json")["rows"][0]
    return row["ids"], row["mask"]


def test_an_older_release_is_told_apart(release_of: Callable[..., Context], tmp_path: Path) -> None:
    release = release_of("lora").run.path("release")
    for name in ("manifest.json", "parity.json"):
        write_json(tmp_path / name, {key: value for key, value in read_json(release / name).items() if key != "greedy"})
    with pytest.raises(RunError, match="was packed by an older version"):
        gate.read(tmp_path)


def test_a_file_that_llama_cpp_cannot_load_is_an_error_in_words(release_of: Callable[..., Context], tmp_path: Path) -> None:
    from tunewright.release.pack import saved_tokenizer

    release = release_of("lora").run.path("release")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but no more")
    with pytest.raises(EnvironmentProblem, match="llama.cpp cannot load"):
        LlamaArm("gguf", tmp_path / "broken.gguf", gate.read(release), saved_tokenizer(release), 128)


def test_an_endpoint_that_is_not_there_is_an_error_in_words() -> None:
    with pytest.raises(EnvironmentProblem, match="Is the server up, and is this its address"):
        Client("http://127.0.0.1:9").ask("/v1/models")
    with pytest.raises(RunError, match="must begin with http"):
        Client("file:///etc/passwd")
