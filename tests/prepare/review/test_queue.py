"""Which rows come first, and why."""

import polars as pl
import pytest

from tunewright.core.errors import DataError
from tunewright.core.finding import findings
from tunewright.prepare.review.gain import neighbours, rarity, reading_seconds, uncertainty
from tunewright.prepare.review.queue import build


def rows_of(texts: list[str], labels: list[str] | None = None) -> pl.DataFrame:
    columns = {"row_id": [f"r{one:03d}" for one in range(len(texts))], "text": texts}
    return pl.DataFrame(columns | ({"label": labels} if labels else {}))


def doubts(**scores: float) -> pl.DataFrame:
    found = pl.DataFrame({"row_id": list(scores), "score": list(scores.values()), "field": "label", "suggested_fix": "review"})
    return findings("label_noise", "info", found)


def test_more_findings_make_a_row_more_uncertain_and_none_leaves_little():
    more = findings("short_text", "info", pl.DataFrame({"row_id": ["r000"], "score": [0.5]}))
    found = uncertainty(rows_of(["a", "b", "c"]), pl.concat([doubts(r000=0.5, r001=0.5), more]), {})["uncertainty"].to_list()
    assert found[0] > found[1] > found[2]


def test_what_a_step_mends_by_itself_needs_less_of_a_person():
    mended = findings(
        "near_duplicates", "warning", pl.DataFrame({"row_id": ["r001"], "score": [0.5], "suggested_fix": ["drop_near_duplicates"]})
    )
    alike = findings("odd", "warning", pl.DataFrame({"row_id": ["r000"], "score": [0.5], "suggested_fix": ["review"]}))
    found = uncertainty(rows_of(["a", "b"]), pl.concat([mended, alike]), {})["uncertainty"].to_list()
    assert found[0] == pytest.approx(4 * found[1])


def test_a_calibrated_check_brings_its_measured_precision():
    precision = {"label_noise": [(0.0, 0.1), (0.7, 0.8)]}
    found = uncertainty(rows_of(["a", "b"]), doubts(r000=0.9, r001=0.3), precision)["uncertainty"].to_list()
    assert found == pytest.approx([0.8, 0.1])


def test_long_texts_cost_more():
    assert reading_seconds(rows_of(["one", "word " * 238])).to_list() == pytest.approx([6 + 60 / 238, 66])


def test_rows_of_rare_classes_count_more():
    assert rarity(rows_of(["a"] * 10, ["x"] * 8 + ["y"] * 2)).to_list() == pytest.approx([(5 / 8) ** 0.5] * 8 + [2.5**0.5] * 2)


def test_a_row_stands_for_its_neighbours_but_not_for_itself():
    near, alone = neighbours(["cheap red phone", "zebra"], ["cheap red phone", "cheap red phone case", "cheap phone", "zebra"])
    assert near > 0.5
    assert alone == 0


def test_doubtful_rows_come_first_and_each_factor_is_there():
    texts = [f"text number {one} about something else {one * 7}" for one in range(60)]
    queue = build(rows_of(texts), doubts(r042=0.9), {}, n=5, random=0, overlap=0)
    assert queue["row_id"][0] == "r042"
    product = queue["uncertainty"] * queue["influence"] / queue["seconds"]
    assert queue["gain"].to_list() == pytest.approx(product.to_list())


def test_a_share_is_drawn_at_random_and_spread_over_the_queue():
    texts = [f"text number {one} about something else {one * 7}" for one in range(200)]
    found = build(rows_of(texts), doubts(**{f"r{one:03d}": 0.9 for one in range(100)}), {}, n=20, random=0.25, overlap=0.5)
    assert found["stratum"].to_list() == (["gain", "gain", "random", "gain"] * 5)
    assert (found["wanted"] == 2).sum() == 10


def test_random_rows_are_drawn_uniformly():
    texts = [f"text number {one} about something else {one * 7}" for one in range(10)]
    drawn = [build(rows_of(texts), doubts(r000=0.9), {}, n=1, random=1, seed=seed)["row_id"][0] for seed in range(60)]
    assert len(set(drawn)) >= 9


def test_of_near_duplicates_one_is_queued():
    same = "the very same words stand in each of these rows"
    queue = build(rows_of([same, same + " now", "entirely different content here"]), doubts(r000=0.9, r001=0.9), {}, n=3, random=0)
    assert len(set(queue["row_id"]) & {"r000", "r001"}) == 1


def test_a_model_that_doubts_a_row_brings_it_forward():
    texts = [f"text number {one} about something else {one * 7}" for one in range(10)]
    doubtful = build(
        rows_of(texts), doubts(), {}, n=1, random=0, margins=lambda asked: 1.0 - (asked["row_id"] == "r007").cast(pl.Float64).to_numpy()
    )
    assert doubtful["row_id"].to_list() == ["r007"]


@pytest.mark.parametrize("given", [{"n": 0}, {"random": 1.5}, {"overlap": -0.1}])
def test_impossible_queues_are_refused(given: dict):
    with pytest.raises(DataError):
        build(rows_of(["a"]), doubts(), {}, **given)


def test_rows_without_labels_or_findings_can_be_queued():
    assert len(build(rows_of(["a b c", "d e f"]), doubts(), {}, n=5)) == 2
