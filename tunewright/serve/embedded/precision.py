"""In which numbers a release is served: float32, or int8 where that was asked for or shown to be good enough.

int8 in linear layers but down_proj and o_proj: 99.0% of labels and 100.0% of first answer tokens as in float32 on 96 rows of the
release, a step 1.7 times as fast: taken
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunewright.core.files import read_json
from tunewright.models.chat import ChatFormat
from tunewright.serve.embedded import quantise, store
from tunewright.serve.embedded.quantise import PLANS, Answers, Fit, compare, golden
from tunewright.serve.embedded.store import Found
from tunewright.serve.embedded.weights import Place


def key_of(found: Found, keep: Sequence[str] | None) -> str:
    """The name of weights in memory: the model's fingerprint, and which of its layers are int8."""
    return found.key if keep is None else f"{found.key}:int8{''.join(f'-{one}' for one in keep)}"


def choose(name: str, found: Found, place: Place, agreement: float, say: Callable[[str], None]) -> tuple[str, ...] | None:
    """The layers that stay float32 beside int8 ones, or None: no int8 at all. Says why."""
    texts = golden(found.directory)
    if found.manifest is None or len(texts) < quantise.LEAST_ROWS or not (found.directory / "tokens.json").is_file():
        say(f"{name}: float32, for int8 is measured on at least {quantise.LEAST_ROWS} rows of a release, and here are {len(texts)}")
        return None
    whole = _answers(found, place, None, texts)
    for keep in PLANS:
        fit: Fit = compare(keep, whole, _answers(found, place, keep, texts))
        if fit.holds(agreement):
            say(f"{name}: {fit.line()}: taken")
            return keep
        say(f"{name}: {fit.line()}: not taken ({agreement:.1%} of both and a faster step are asked for)")
    say(f"{name}: stays float32")
    return None


def _answers(found: Found, place: Place, keep: Sequence[str] | None, texts: Sequence[str]) -> Answers:
    """What the release answers with weights in these numbers, in memory for as long as that takes."""
    weights = store.read_weights(found, place, "measured", keep)
    served, hang = store.describe("measured", found, weights, None)
    hang()
    fmt = ChatFormat(served.tokenizer, **read_json(found.directory / "tokens.json")["format"])
    return Answers(weights, weights.model if served.behind is None else served.behind, served.adapter, fmt, texts)
