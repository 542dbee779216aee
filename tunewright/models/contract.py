"""The token contract: what the model saw in training, stored, and derived again from whatever is released or served.

{"format": {"instruction": ..., "labels": [...], ...}, "end_token": {"id": 2, "text": "<|im_end|>"},
 "rows": [{"text": "I love it", "label": "positive", "ids": [1, 361, ...], "mask": [0, 0, ..., 1, 1], "answer": "positive<|im_end|>"}]}
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import Any

from tunewright.models.chat import ChatFormat


def make_contract(fmt: ChatFormat, texts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Ids and loss mask of probe rows, as plain JSON. The mask is 1 where a token is learnt."""
    encoded, rows = fmt.encode(texts), []
    for text, label, body in zip(texts, labels, encoded.bodies, strict=True):
        answer = fmt.answer(label)
        ids = encoded.prefix + body + answer
        shown = {"prompt": fmt.tokenizer.decode(encoded.prefix + body), "answer": fmt.tokenizer.decode(answer)}
        mask = [0] * (len(ids) - len(answer)) + [1] * len(answer)
        rows.append({"text": text, "label": label, "ids": ids, "mask": mask} | shown)
    return {"format": fmt.settings(), "end_token": {"id": fmt.end, "text": fmt.tokenizer.decode([fmt.end])}, "rows": rows}


def shown(tokenizer: Any, ids: Sequence[int], mask: Sequence[int]) -> str:
    """The text of tokens; each that the loss looks at stands in [[ ]]."""
    pieces = []
    for learnt, part in groupby(zip(ids, mask, strict=True), key=lambda one: one[1]):
        tokens = [token for token, _ in part]
        pieces += [f"[[{tokenizer.decode([token])}]]" for token in tokens] if learnt else [tokenizer.decode(tokens)]
    return "".join(pieces)


def check(contract: dict[str, Any], tokenizer: Any) -> str | None:
    """Derive the contract again with `tokenizer`; None if it holds, else a line that names the first difference."""
    fmt = ChatFormat(tokenizer, **contract["format"])
    now = make_contract(fmt, [row["text"] for row in contract["rows"]], [row["label"] for row in contract["rows"]])
    if now["end_token"]["id"] != contract["end_token"]["id"]:
        return f"the end token is {now['end_token']} but was {contract['end_token']} in training"
    for number, (row, fresh) in enumerate(zip(contract["rows"], now["rows"], strict=True)):
        for key, what in (("ids", "token"), ("mask", "loss mask")):
            pairs = enumerate(zip_longest(row[key], fresh[key]))
            place = next(((at, was, got) for at, (was, got) in pairs if was != got), None)
            if place is not None:
                at, was, got = place
                shown = [_show(tokenizer, value, key) for value in (got, was)]
                return f"probe row {number}, position {at}: {what} is {shown[0]} but was {shown[1]} in training"
    return None


def _show(tokenizer: Any, value: int | None, key: str) -> str:
    if value is None:
        return "missing"
    return str(value) if key == "mask" else f"{tokenizer.decode([value])!r} ({value})"
