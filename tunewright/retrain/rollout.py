"""How a challenger gets to serve: in the shadow, then to a growing share of the callers, then to all; and how it is stopped.

At every look each signal is a share of bad outcomes on both sides, counted since the step began, and a confidence sequence
(`core/sequential.py`) bounds the challenger's loss at any moment:

    errors      answers that failed on our side (status 500 and above)
    format      answers that broke the format that was asked for
    thumbs      thumbs down among thumbs
    accuracy    wrong answers among those for which somebody said what is right

surely worse (the lower limit above 0) on any signal aborts. The next step needs `canary.requests` answers of the challenger, and
a loss of more than `canary.worse_by` ruled out for errors and (where formats are asked for) format. Thumbs and labels are few, and
the sealed tests have judged accuracy before, so for these two it is enough that no such loss is observed; while it is, the step
waits for more. What is still unclear with `PATIENCE` times as many requests aborts too. Alpha is shared among steps and signals, so that a whole rollout of a challenger that is no worse is stopped
with a chance of at most 1 - `canary.confidence`, however often one looks. The sides are compared within a step only: an outage
hits both. A caller who sends the same prompt again counts once.

Where the champion has no requests any more (100% of the callers, and the watch after promotion), its answers since the canary began
stand in, with what was said of them to this day. The watch counts thumbs and labels of both sides since then as well: they come
late, and a canary may be over before the first of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import polars as pl

from tunewright.core import sequential
from tunewright.core.loop import CanarySettings
from tunewright.traffic.store import TrafficStore

SIGNALS = ("errors", "format", "thumbs", "accuracy")
REQUIRED = ("errors", "format")  # where a loss must be ruled out before the next step
BAD = {"errors": "failed", "format": "out of form", "thumbs": "down", "accuracy": "wrong"}
PATIENCE = 20
Say = Literal["worse", "ruled_out", "open", "silent"]


@dataclass(frozen=True)
class Signal:
    """Bad outcomes on both sides, the limits of the challenger's loss, and what they say."""

    name: str
    champion: tuple[int, int]  # (bad, answers)
    challenger: tuple[int, int]
    low: float
    high: float
    says: Say

    @property
    def loss(self) -> float:
        """As observed; 0 where a side has no answers."""
        (bad, of), (own, n) = self.champion, self.challenger
        return own / n - bad / of if of and n else 0.0

    def words(self) -> str:
        (bad, of), (own, n) = self.champion, self.challenger
        return f"{self.name} ({own} of {n} {BAD[self.name]}, the champion {bad} of {of}; loss {self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class Look:
    """All signals of a step at one moment, and what follows."""

    requests: int
    signals: list[Signal]
    action: Literal["wait", "next", "abort"]
    text: str

    def document(self) -> dict[str, Any]:
        return asdict(self)


def alpha_of(settings: CanarySettings) -> float:
    """Of one signal in one step: shadow, each share, and the watch after promotion."""
    return (1 - settings.confidence) / (len(settings.shares) + 2) / len(SIGNALS)


def judge(
    counts: Mapping[str, tuple[tuple[int, int], tuple[int, int]]], requests: int, settings: CanarySettings, required: bool = True
) -> Look:
    """What the counts (signal -> champion and challenger, each (bad, answers)) mean. Pure: simulations call it too."""
    alpha = alpha_of(settings)
    signals = [_signal(name, *counts.get(name, ((0, 0), (0, 0))), alpha, settings.worse_by) for name in SIGNALS]
    worse = [one for one in signals if one.says == "worse"]
    if worse:
        return Look(requests, signals, "abort", f"surely worse: {'; '.join(one.words() for one in worse)}")
    if requests < settings.requests:
        return Look(requests, signals, "wait", f"{requests} of {settings.requests} requests")
    unclear = [one for one in signals if required and one.name in REQUIRED and one.says == "open"]
    unclear += [one for one in signals if required and one.name == "errors" and one.says == "silent"]
    unclear += [one for one in signals if one.name not in REQUIRED and one.loss > settings.worse_by]
    if not unclear:
        return Look(requests, signals, "next", "; ".join(one.words() for one in signals if one.says != "silent"))
    words = "; ".join(one.words() for one in unclear)
    if requests >= PATIENCE * settings.requests:
        return Look(
            requests, signals, "abort", f"a loss of more than {settings.worse_by:g} cannot be ruled out with {requests} requests: {words}"
        )
    return Look(requests, signals, "wait", f"{requests} requests; a loss of more than {settings.worse_by:g} is not ruled out yet: {words}")


def _signal(name: str, champion: tuple[int, int], challenger: tuple[int, int], alpha: float, worse_by: float) -> Signal:
    low, high = sequential.difference(champion, challenger, alpha)
    says: Say = "silent" if not challenger[1] else "worse" if low > 0 else "ruled_out" if high < worse_by else "open"
    return Signal(name, champion, challenger, low, high, says)


def counts_of(
    store: TrafficStore, champion: str, challenger: str, since: datetime, begun: datetime | None = None, late: bool = False
) -> tuple[dict[str, tuple[tuple[int, int], tuple[int, int]]], int]:
    """Counts since the step began, and the challenger's requests. With `begun` the champion is judged by its answers since then, with
    `late` thumbs and labels of the challenger count since then too."""
    first = _outcomes(store, champion, begun or since)
    second = _outcomes(store, challenger, since)
    whole = _outcomes(store, challenger, begun) if late and begun else second
    return {name: (first[name], (second if name in REQUIRED else whole)[name]) for name in SIGNALS}, second["requests"][1]


def _outcomes(store: TrafficStore, version: str, since: datetime) -> dict[str, tuple[int, int]]:
    """(bad, answers) of one version by signal, among requests since then."""
    sides = ["champion", "challenger"]
    rows = store.exchanges(
        versions=version, sides=sides, since=since, columns=["id", "time", "status", "format_ok", "caller", "prompt_hash"]
    )
    first = pl.struct("caller", "prompt_hash").is_first_distinct() | pl.col("caller").is_null() | pl.col("prompt_hash").is_null()
    rows = rows.filter(first, ~pl.col("status").is_between(400, 499))
    formats = rows["format_ok"].drop_nulls()
    thumbs = store.feedback(ids=rows["id"].to_list(), kinds="thumb").unique("request_id", keep="last")
    labels = store.labelled(versions=version, sides=sides, since=since).drop_nulls("right").filter(pl.col("id").is_in(rows["id"].implode()))
    return {
        "requests": (0, len(rows)),
        "errors": (int((rows["status"] >= 500).sum()), len(rows)),
        "format": (int((~formats).sum()), len(formats)),
        "thumbs": (int((thumbs["value"] == "down").sum()), len(thumbs)),
        "accuracy": (int((~labels["right"]).sum()), len(labels)),
    }


def shadow_look(
    store: TrafficStore, champion: str, challenger: str, since: datetime, settings: CanarySettings
) -> tuple[Look, dict[str, Any]]:
    """Copies that the challenger answered unseen, beside the champion's answers to the same requests. Labels make pairs, so that a
    few of them tell much: among those where one side alone is right, is it surely the champion more often?"""
    copies = store.exchanges(versions=challenger, sides="shadow", since=since)
    originals = store.exchanges(ids=copies["shadow_of"].drop_nulls().to_list())
    pairs = copies.join(originals.select(pl.all().name.suffix("_ours")), left_on="shadow_of", right_on="id_ours")
    truths = store.labelled(versions=champion, since=since).select("id", "truth")
    labelled = pairs.join(truths, left_on="shadow_of", right_on="id")
    right, ours = labelled["label"] == labelled["truth"], labelled["label_ours"] == labelled["truth"]
    lost, won = int((ours & ~right).fill_null(False).sum()), int((right & ~ours).fill_null(False).sum())
    agree = pairs.filter(pl.col("label").is_not_null())
    told = {
        "copies": len(pairs),
        "agreement": _mean(agree["label"] == agree["label_ours"]),
        "only_champion_right": lost,
        "only_challenger_right": won,
    }
    formats = pairs.drop_nulls(["format_ok", "format_ok_ours"])
    counts = {
        "errors": (_bad(pairs["status_ours"] >= 500), _bad(pairs["status"] >= 500)),
        "format": (_bad(~formats["format_ok_ours"]), _bad(~formats["format_ok"])),
    }
    enough = settings.model_copy(update={"requests": max(1, settings.shadow_requests)})
    look = judge(counts, len(pairs), enough, required=False)
    p = sequential.more_often(lost, won)
    if look.action != "abort" and p <= alpha_of(settings):
        look = Look(
            len(pairs), look.signals, "abort", f"surely worse in the shadow: the champion alone is right {lost} times, the challenger {won}"
        )
    return look, told


def _bad(which: pl.Series) -> tuple[int, int]:
    return int(which.sum()), len(which)


def _mean(which: pl.Series) -> float | None:
    return float(which.mean()) if len(which) else None  # type: ignore[arg-type]
