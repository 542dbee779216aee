"""Is an artefact the model that was tested? Five comparisons on the same probes; the first that fails is told with row and number.

    tokens       prompts are the tokens of training
    likelihoods  of each label differ by no more than `nats` from the release's
    untuned      the artefact is nearer to the release than to the untuned model (a lost adapter is no small difference)
    greedy       free answers are alike, character by character
    score        on validation rows, labels unseen: other answers only where the release itself hardly had one, and no worse a score

Tolerances are those of the number format that the artefact computes with: fp32 sums in another order differ by about 1e-5 nats,
half precision and 8-bit blocks by more.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from tunewright.core.score import Floats, Ints, macro_f1
from tunewright.registry.intake import DIFFERS
from tunewright.release.gate.arm import Arm, ParityError
from tunewright.release.gate.probes import Probes

RESAMPLES = 2000


@dataclass(frozen=True)
class Tolerance:
    """What may differ. `worse` is the largest loss of macro-F1 on validation rows that is let pass when chance could explain it."""

    nats: float
    greedy: float  # least share of free answers alike
    worse: float


TOLERANCES = {
    "f32": Tolerance(nats=2e-3, greedy=1.0, worse=0.02),
    "f16": Tolerance(nats=0.1, greedy=0.9, worse=0.03),
    "bf16": Tolerance(nats=0.2, greedy=0.9, worse=0.05),
    "q8_0": Tolerance(nats=0.3, greedy=0.9, worse=0.05),
}


def compare(arm: Arm, probes: Probes, tolerance: Tolerance) -> dict[str, Any]:
    """What was measured, with a line for people. Raises `ParityError` when the artefact is not the release."""
    clock = time.monotonic()
    found: dict[str, Any] = {"name": arm.name, "artefact": arm.artefact, "passed": False, "text": ""}
    found |= {"tolerance": asdict(tolerance), "release": probes.release}
    try:
        found["tokens"] = _tokens(arm, probes, found)
        found["likelihoods"] = _likelihoods(arm, probes, tolerance, found)
        found["greedy"] = _greedy(arm, probes, tolerance, found)
        found["score"] = _score(arm, probes, tolerance, found)
    finally:
        found["seconds"] = round(time.monotonic() - clock, 2)
    return found | {"passed": True, "text": _words(found)}


def _fail(found: dict[str, Any], what: str) -> ParityError:
    found["text"] = what
    who = f"{found['name']} ({found['artefact']})" if found["artefact"] else found["name"]
    return ParityError(f"{who} is not the release that was tested: {what} It is not to be used.", found)


def _tokens(arm: Arm, probes: Probes, found: dict[str, Any]) -> dict[str, Any]:
    """Prompts of the contract, but for texts with control tokens where the artefact reads those as such."""
    fair = [(number, *row) for number, row in enumerate(probes.contract) if not (arm.reads_controls and _has(row[0], probes.controls))]
    theirs: Sequence[list[int] | int] = arm.tokens([text for _, text, _ in fair])
    for (number, text, ids), own in zip(fair, theirs, strict=True):
        if isinstance(own, int):
            if own != len(ids):
                raise _fail(found, f"the prompt of contract row {number} ({text[:40]!r}) has {own} tokens, but {len(ids)} in training.")
            continue
        pairs = enumerate(zip_longest(own, ids))
        place = next(((at, mine, was) for at, (mine, was) in pairs if mine != was), None)
        if place is not None:
            at, mine, was = place
            raise _fail(
                found, f"the prompt of contract row {number} ({text[:40]!r}) has token {mine} at position {at}, but {was} in training."
            )
    return {"rows": len(fair), "left_out": len(probes.contract) - len(fair), "only_counted": any(isinstance(one, int) for one in theirs)}


def _has(text: str, controls: tuple[str, ...]) -> bool:
    return any(one in text for one in controls)


def _likelihoods(arm: Arm, probes: Probes, tolerance: Tolerance, found: dict[str, Any]) -> dict[str, Any]:
    ours, base, theirs = probes.log_likelihood, probes.base, arm.scores(probes.texts)
    if arm.normalised:
        ours, base, theirs = (_log_shares(one) for one in (ours, base, theirs))
    gap, from_base = (np.nan_to_num(np.abs(theirs - one), nan=np.inf) for one in (ours, base))
    told = {"rows": len(ours), "largest": float(gap.max()), "mean": float(gap.mean()), "mean_from_untuned": float(from_base.mean())}
    told |= {"release_from_untuned": float(np.abs(ours - base).mean()), "normalised": arm.normalised}
    finite = {key: value if not isinstance(value, float) or np.isfinite(value) else None for key, value in told.items()}
    found["likelihoods"] = finite
    lost = from_base.mean() <= gap.mean() and from_base.mean() < told["release_from_untuned"] / 2
    if lost or from_base.max() <= DIFFERS:
        raise _fail(found, f"it answers like the untuned model: {from_base.mean():.4f} nats from that, {gap.mean():.4f} from the release.")
    if gap.max() > tolerance.nats:
        row, label = (int(one) for one in np.unravel_index(gap.argmax(), gap.shape))
        raise _fail(
            found,
            f"for probe row {row} ({probes.texts[row][:40]!r}) label {probes.labels[label]!r} has {theirs[row, label]:.4f} nats, but "
            f"{ours[row, label]:.4f} in the release; at most {tolerance.nats:g} may differ.",
        )
    return finite


def _log_shares(scores: Floats) -> Floats:
    top = scores.max(axis=1, keepdims=True)
    return np.asarray(scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True)))


def _greedy(arm: Arm, probes: Probes, tolerance: Tolerance, found: dict[str, Any]) -> dict[str, Any]:
    theirs = arm.greedy(probes.texts, probes.longest)
    pairs = enumerate(zip(theirs, probes.greedy, strict=True))
    other = [number for number, (one, ours) in pairs if _whole(one) != _whole(ours)]
    alike = len(theirs) - len(other)
    found["greedy"] = {"rows": len(theirs), "alike": alike}
    if alike < int(tolerance.greedy * len(theirs)):
        row = other[0]
        raise _fail(
            found,
            f"{alike} of {len(theirs)} greedy answers are those of the release ({tolerance.greedy:.0%} asked for); to probe row {row} "
            f"({probes.texts[row][:40]!r}) it says {theirs[row][:40]!r} and the release {probes.greedy[row][:40]!r}.",
        )
    return dict(found["greedy"])


def _whole(answer: str) -> str:
    """Without the half of a character that an answer may be cut in: some servers keep it back, libraries show it as U+FFFD."""
    return answer.rstrip("\ufffd").strip()


def _score(arm: Arm, probes: Probes, tolerance: Tolerance, found: dict[str, Any]) -> dict[str, Any]:
    """Blind: the artefact gets texts; only here are its answers held against the labels, beside the release's own."""
    theirs, classes = arm.scores(probes.rows).argmax(axis=1), len(probes.labels)
    other = np.flatnonzero(theirs != probes.answers)
    sure = other[probes.margin[other] > 2 * tolerance.nats]
    difference, low, high = _paired(probes.truth, probes.answers, theirs, classes)
    told = {
        "metric": "macro_f1",
        "rows": len(theirs),
        "other_answers": len(other),
        "release": macro_f1(probes.truth, probes.answers, classes),
        "artefact": macro_f1(probes.truth, theirs, classes),
        "difference": difference,
        "ci_low": low,
        "ci_high": high,
    }
    found["score"] = told
    if len(sure):
        row = int(sure[0])
        raise _fail(
            found,
            f"to {len(sure)} of {len(theirs)} validation rows it gives another label where the release was sure: row {row} "
            f"({probes.rows[row][:40]!r}) gets {probes.labels[theirs[row]]!r} instead of {probes.labels[probes.answers[row]]!r}, "
            f"{probes.margin[row]:.3f} nats ahead.",
        )
    if high < 0 or difference < -tolerance.worse:
        raise _fail(
            found,
            f"macro_f1 on {len(theirs)} validation rows is {told['artefact']:.3f} instead of {told['release']:.3f} (difference "
            f"{difference:+.3f}, 95% interval {low:+.3f} to {high:+.3f}; at most {tolerance.worse:g} worse is let pass).",
        )
    return told


def _paired(truth: Ints, ours: Ints, theirs: Ints, classes: int, seed: int = 17) -> tuple[float, float, float]:
    """Difference of macro-F1 (artefact less release) on the same rows, with a 95% interval of the paired bootstrap."""
    difference = macro_f1(truth, theirs, classes) - macro_f1(truth, ours, classes)
    if (ours == theirs).all():
        return 0.0, 0.0, 0.0
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLES):
        pick = random.integers(0, len(truth), len(truth))
        draws.append(macro_f1(truth[pick], theirs[pick], classes) - macro_f1(truth[pick], ours[pick], classes))
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(difference), float(low), float(high)


def _words(found: dict[str, Any]) -> str:
    tokens, nats, greedy, score = (found[key] for key in ("tokens", "likelihoods", "greedy", "score"))
    left = f" ({tokens['left_out']} with control tokens in the text left out: it reads them as such)" if tokens["left_out"] else ""
    many = "as many tokens as in training" if tokens["only_counted"] else "the tokens of training"
    return (
        f"{tokens['rows']} prompts have {many}{left}; likelihoods within {nats['largest']:.1e} nats ({found['tolerance']['nats']:g} allowed; the "
        f"untuned model is {nats['mean_from_untuned']:.2f} away); {greedy['alike']} of {greedy['rows']} greedy answers alike; macro_f1 on "
        f"{score['rows']} validation rows {score['difference']:+.3f} ({score['other_answers']} other answers)"
    )
