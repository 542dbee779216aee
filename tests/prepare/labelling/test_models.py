"""Label models: better than majority where functions differ, sane where they do not, equal to peers where these do the same."""

import numpy as np
import polars as pl
import pytest

from tunewright.core.errors import DataError
from tunewright.prepare.labelling.analysis import dependent, table
from tunewright.prepare.labelling.models import dawid_skene, majority, snorkel
from tunewright.prepare.labelling.votes import Failures, Votes

NAMES = ("a", "b", "c", "d", "e")


def synthetic(seed: int, accuracy: tuple[float, ...] = (0.9, 0.75, 0.65, 0.6, 0.55), rows: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """True classes and the votes of five noisy functions that abstain on some rows."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, rows, p=(0.5, 0.3, 0.2))
    votes = np.full((rows, 5), -1)
    for column, (right, fires) in enumerate(zip(accuracy, (0.6, 0.7, 0.5, 0.8, 0.6), strict=True)):
        other = (truth + rng.integers(1, 3, rows)) % 3
        said = np.where(rng.random(rows) < right, truth, other)
        votes[:, column] = np.where(rng.random(rows) < fires, said, -1)
    return truth, votes


def held(matrix: np.ndarray, labels: tuple[str, ...] = ("x", "y", "z")) -> Votes:
    return Votes(matrix, NAMES[: matrix.shape[1]], labels, {name: Failures() for name in NAMES})


def right(shares: np.ndarray, truth: np.ndarray, votes: np.ndarray) -> float:
    some = (votes >= 0).any(axis=1)
    return float((shares[some].argmax(axis=1) == truth[some]).mean())


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_beats_majority_on_five_noisy_functions(seed: int):
    truth, votes = synthetic(seed)
    assert right(dawid_skene(votes, 3).shares, truth, votes) > right(majority(votes, 3).shares, truth, votes) + 0.005


def test_it_learns_who_is_right_without_a_single_label():
    _, votes = synthetic(0)
    assert dawid_skene(votes, 3).accuracy.tolist() == pytest.approx([0.9, 0.75, 0.65, 0.6, 0.55], abs=0.08)


def test_its_probabilities_can_be_believed():
    truth, votes = synthetic(1, rows=6_000)
    believed = dawid_skene(votes, 3, np.array([0.5, 0.3, 0.2]))
    some = (votes >= 0).any(axis=1)
    assert believed.shares[some].max(axis=1).mean() == pytest.approx(right(believed.shares, truth, votes), abs=0.03)


def test_without_abstaining_it_is_nearly_crowd_kits():
    from crowdkit.aggregation import DawidSkene

    rng = np.random.default_rng(4)
    truth = rng.choice(3, 800)
    votes = np.stack(
        [np.where(rng.random(800) < one, truth, (truth + rng.integers(1, 3, 800)) % 3) for one in (0.9, 0.8, 0.7, 0.6, 0.5)], axis=1
    )
    task, worker = np.divmod(np.arange(votes.size), 5)
    import pandas

    theirs = (
        DawidSkene(n_iter=200)
        .fit_predict(pandas.DataFrame({"task": task, "worker": worker, "label": votes.ravel()}))
        .sort_index()
        .to_numpy()
    )
    ours = dawid_skene(votes, 3).shares.argmax(axis=1)
    assert (ours == theirs).mean() > 0.97
    assert abs((ours == truth).mean() - (theirs == truth).mean()) < 0.01


@pytest.mark.slow
def test_snorkels_label_model_runs_and_beats_chance():
    truth, votes = synthetic(0)
    assert right(snorkel(votes, 3).shares, truth, votes) > 0.7


def test_snorkels_label_model_says_when_it_has_too_few_functions():
    with pytest.raises(DataError, match="at least 3"):
        snorkel(np.array([[0, 1], [1, 1]]), 2)


def test_a_function_that_only_ever_says_one_thing_is_heard():
    votes = np.array([[0, -1], [-1, 1], [0, -1], [-1, 1]] * 20)
    assert dawid_skene(votes, 2).shares.argmax(axis=1).tolist() == [0, 1, 0, 1] * 20


def test_rows_without_votes_get_the_classes_shares():
    votes = np.array([[0, 0, 0], [0, 0, 0], [1, 1, 1], [-1, -1, -1]])
    believed = dawid_skene(votes, 2)
    assert believed.shares[3].tolist() == pytest.approx(believed.balance.tolist())


def test_a_given_balance_is_held():
    _, votes = synthetic(2)
    assert dawid_skene(votes, 3, np.array([0.8, 0.1, 0.1])).balance.tolist() == [0.8, 0.1, 0.1]


def test_the_order_of_rows_changes_nothing():
    _, votes = synthetic(3, rows=300)
    turned = dawid_skene(votes[::-1], 3).shares[::-1]
    assert np.allclose(dawid_skene(votes, 3).shares, turned, atol=1e-9)


def test_the_table_is_snorkels():
    from snorkel.labeling import LFAnalysis

    truth, votes = synthetic(0, rows=400)
    ours = table(held(votes), truth, dawid_skene(votes, 3))
    theirs = LFAnalysis(votes).lf_summary(truth)
    for mine, other in (
        ("coverage", "Coverage"),
        ("overlaps", "Overlaps"),
        ("conflicts", "Conflicts"),
        ("correct", "Correct"),
        ("incorrect", "Incorrect"),
    ):
        assert ours[mine].to_list() == pytest.approx(theirs[other].to_list()), mine
    assert ours["accuracy"].to_list() == pytest.approx(theirs["Emp. Acc."].to_list())


def test_rows_without_a_known_label_do_not_count_against_a_function():
    votes = np.array([[0], [0], [1]])
    found = table(held(votes, ("x", "y")), np.array([0, -1, 0]), majority(votes, 2))
    assert (found["correct"].to_list(), found["incorrect"].to_list(), found["accuracy"].to_list()) == ([1], [1], [0.5])


@pytest.mark.parametrize("seed", range(3))
def test_independent_functions_raise_no_warning(seed: int):
    _, votes = synthetic(seed)
    assert dependent(held(votes), dawid_skene(votes, 3).balance) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_function_that_copies_another_is_named(seed: int):
    _, votes = synthetic(seed)
    copied = (np.random.default_rng(seed).random(len(votes)) < 0.6) & (votes[:, 2] >= 0)
    votes[copied, 3] = votes[copied, 2]
    found = dependent(held(votes), dawid_skene(votes, 3).balance)
    assert ("c", "d") in [(one.first, one.second) for one in found]
    assert all("If one repeats the other" in one.words() for one in found)


def test_a_function_that_never_votes_is_in_the_table():
    votes = np.array([[0, -1], [1, -1]])
    found = table(held(votes, ("x", "y")), None, dawid_skene(votes, 2))
    assert isinstance(found, pl.DataFrame)
    assert found["coverage"].to_list() == [1.0, 0.0]
    assert found["believed"][1] is None
