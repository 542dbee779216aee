"""Which version answers whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.registry import Rollout
from tunewright.serve.errors import ApiError
from tunewright.serve.routing import Table, caller_hash, choose, position

TABLE = Table("reviews", 1, challenger=2, versions=frozenset({1, 2, 3}), base="smollm2-135m")


def rollout(mode: str, share: float) -> Table:
    return replace(TABLE, rollout=Rollout(2, mode, share, "5a17", "2026-11-27T10:00:00+00:00"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "name", "side"),
    [
        ("reviews", "reviews@1", "champion"),
        ("reviews@champion", "reviews@1", "direct"),
        ("reviews@challenger", "reviews@2", "direct"),
        ("reviews@3", "reviews@3", "direct"),
        ("smollm2-135m", "smollm2-135m", "direct"),
    ],
)
def test_a_name_means_a_version(asked: str, name: str, side: str):
    choice = choose(TABLE, asked, "ann")
    assert (choice.name, choice.side, choice.shadow) == (name, side, None)


@pytest.mark.parametrize(
    "asked",
    ["", "review", "reviews@", "reviews@4", "reviews@03", "reviews@+1", "reviews@¹", "reviews@1@2", "../reviews", "reviews@../../etc/passwd",
     "reviews@99999999999999999999", "REVIEWS", "reviews\0", "reviews@champion\n"],
)  # fmt: skip
def test_anything_else_is_no_model(asked: str):
    with pytest.raises(ApiError) as error:
        choose(TABLE, asked, "ann")
    assert error.value.status == 404
    assert "\n" not in error.value.message
    assert "\0" not in error.value.message


def test_without_a_champion_only_versions_answer():
    table = replace(TABLE, champion=None, challenger=None)
    assert choose(table, "reviews@3", "ann").name == "reviews@3"
    for asked in ("reviews", "reviews@champion"):
        with pytest.raises(ApiError):
            choose(table, asked, "ann")


def test_a_canary_gets_its_share_of_the_callers():
    table = rollout("canary", 0.25)
    sides = [choose(table, "reviews", f"user:{number}").side for number in range(4000)]
    assert 0.22 < sides.count("challenger") / len(sides) < 0.28


@given(st.text(), st.floats(0.01, 0.5), st.floats(0.5, 1.0))
def test_a_caller_sticks_to_its_side_and_keeps_the_challenger_when_the_share_rises(who: str, low: float, high: float):
    first, second, later = (choose(rollout("canary", share), "reviews", who).side for share in (low, low, high))
    assert first == second
    assert not (first == "challenger" and later == "champion")


def test_a_whole_share_is_everybody_and_another_salt_deals_anew():
    assert {choose(rollout("canary", 1.0), "reviews", str(who)).side for who in range(100)} == {"challenger"}
    assert caller_hash("a", "ann") != caller_hash("b", "ann")


@given(st.text(), st.text())
def test_positions_are_in_the_unit_interval(salt: str, who: str):
    assert 0 <= position(caller_hash(salt, who)) < 1


def test_a_shadow_answers_nobody_and_gets_copies():
    choice = choose(rollout("shadow", 1.0), "reviews", "ann")
    assert (choice.name, choice.side, choice.shadow) == ("reviews@1", "champion", 2)


def test_who_names_a_version_is_part_of_no_rollout():
    for mode in ("canary", "shadow"):
        choice = choose(rollout(mode, 1.0), "reviews@champion", "ann")
        assert (choice.name, choice.side, choice.shadow) == ("reviews@1", "direct", None)


def test_a_rollout_of_a_version_that_is_gone_leaves_the_champion():
    table = replace(rollout("canary", 1.0), versions=frozenset({1}))
    assert choose(table, "reviews", "ann").name == "reviews@1"
