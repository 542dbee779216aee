"""The desk: what people may see, what they may say, and who sees what."""

import pytest

from tunewright.core.errors import DataError, RunError
from tunewright.prepare.review import Review
from tunewright.prepare.review.status import agree, status


def test_test_rows_are_never_queued(review: Review):
    assert not {"r10", "r11"} & set(review.fill(n=100)["row_id"])


def test_a_row_of_the_sealed_test_is_refused(review: Review):
    with pytest.raises(RunError, match="sealed test split"):
        review.decide("r10", "drop", "anna")


def test_the_text_of_a_test_row_is_not_shown_beside_another(review: Review):
    assert [one["related_text"] for one in review.show("r05").findings] == [None]


def test_an_unknown_row_is_refused(review: Review):
    with pytest.raises(DataError, match="no row 'nope'"):
        review.decide("nope", "drop", "anna")


def test_an_unknown_label_is_refused_with_the_nearest(review: Review):
    with pytest.raises(DataError, match="Did you mean 'neutral'"):
        review.decide("r00", "relabel", "anna", value="neutrl")


def test_a_new_label_is_taken_when_it_is_meant(review: Review):
    assert review.decide("r00", "relabel", "anna", value="mixed", new_label=True).value == "mixed"


@pytest.mark.parametrize(
    ("action", "given", "said"),
    [
        ("explode", {}, "action must be one of"),
        ("edit", {"value": " "}, "needs the new text"),
        ("edit", {"value": "x", "field": "label"}, "cannot be edited"),
        ("accept", {"value": "x"}, "takes no value"),
        ("judge", {"check": "label_noise"}, "--holds"),
        ("accept", {"check": "lable_noise"}, "Did you mean 'label_noise'"),
        ("accept", {"seconds": -1.0}, "seconds must be 0 or more"),
    ],
)
def test_nonsense_is_refused_with_the_rule(review: Review, action: str, given: dict, said: str):
    with pytest.raises(DataError, match=said):
        review.decide("r00", action, "anna", **given)


def test_a_reviewer_needs_a_name(review: Review):
    with pytest.raises(DataError, match="needs a name"):
        review.decide("r00", "drop", "  ")


def test_a_decision_keeps_what_was_there_before(review: Review):
    made = review.decide("r00", "relabel", "anna", value="neg")
    assert (made.field, made.previous, made.value) == ("label", "pos", "neg")


def test_relabelling_to_the_same_label_is_to_accept(review: Review):
    assert review.decide("r00", "relabel", "anna", value="pos").action == "accept"


def test_the_time_since_a_row_was_shown_is_measured(review: Review):
    review.fill(n=3)
    item = review.next("anna")
    assert item is not None
    seconds = review.decide(item.row_id, "accept", "anna").seconds
    assert seconds is not None
    assert 0 <= seconds < 5


def test_two_reviewers_at_once_get_different_rows(review: Review):
    review.fill(n=3, overlap=0)
    first, second = review.next("anna"), review.next("ben")
    assert first is not None
    assert second is not None
    assert first.row_id != second.row_id


def test_a_row_wanted_by_two_comes_to_both_and_to_no_third(review: Review):
    review.fill(n=1, overlap=1)
    for by in ("anna", "ben"):
        item = review.next(by)
        assert item is not None
        review.decide(item.row_id, "accept", by)
    assert review.next("carl") is None


def test_a_skipped_row_is_left_to_somebody_else(review: Review):
    review.fill(n=1, overlap=0)
    item = review.next("anna")
    assert item is not None
    review.decide(item.row_id, "skip", "anna")
    assert review.next("anna") is None
    other = review.next("ben")
    assert other is not None
    assert other.row_id == item.row_id


def test_a_new_queue_leaves_out_what_is_decided(review: Review):
    review.decide("r00", "accept", "anna")
    assert "r00" not in set(review.fill(n=100)["row_id"])


def test_only_somebody_else_adjudicates(review: Review):
    review.decide("r00", "relabel", "anna", value="neg")
    review.decide("r00", "accept", "ben")
    with pytest.raises(RunError, match="Somebody else"):
        review.adjudicate("r00", "accept", "ben")
    review.adjudicate("r00", "accept", "carl")
    assert review.resolved()["action"].to_list() == ["accept"]


def test_there_is_nothing_to_adjudicate_where_nobody_differs(review: Review):
    review.decide("r00", "accept", "ben")
    with pytest.raises(RunError, match="nobody differs"):
        review.adjudicate("r00", "accept", "carl")


def test_a_majority_settles_and_a_tie_waits(review: Review):
    for by in ("anna", "ben"):
        review.decide("r00", "relabel", by, value="neg")
    review.decide("r00", "accept", "carl")
    review.decide("r01", "drop", "anna")
    review.decide("r01", "accept", "ben")
    made = review.adjudicate_by_majority("dora")
    assert [(one.row_id, one.value, one.note) for one in made] == [("r00", "neg", "majority: 2 of 3")]
    assert review.conflicts()["row_id"].to_list() == ["r01"]


def test_status_counts_minutes_and_what_random_rows_show(review: Review):
    review.fill(n=4, random=1, overlap=0)
    for place in range(4):
        item = review.next("anna")
        assert item is not None
        review.decide(item.row_id, "drop" if place == 0 else "accept", "anna", seconds=30)
    found = status(review)
    assert (found["minutes"], found["open"], found["actions"]) == (2.0, 0, {"accept": 3, "drop": 1})
    assert (found["random"]["rows"], found["random"]["changed"]) == (4, 1)


def test_agreement_is_about_the_labels_that_result(review: Review):
    for row_id, mine, theirs in (("r00", "neg", "neg"), ("r01", "neg", "pos"), ("r03", "neutral", "neutral")):
        review.decide(row_id, "relabel", "anna", value=mine)
        review.decide(row_id, "relabel", "ben", value=theirs)
    found = agree(review)
    assert found["confusion"]["anna / ben"] == {"neg": {"neg": 1, "pos": 1}, "neutral": {"neutral": 1}}
    assert found["coefficients"][0]["value"] == pytest.approx((2 / 3 - 1 / 3) / (1 - 1 / 3))
