"""An explained row as one plain sentence, and the words that decide most often.

It answered negative (82%) mostly because of “waste” and “returned”; “bright” spoke against it.
"""

from __future__ import annotations

from typing import Any

LITTLE = 0.1  # nats of log-odds below which a word is not worth naming: 50% would become 52%
NAMED = 3


def sentence(answer: str, probability: float, words: list[str], weights: list[float]) -> str:
    """Says `answer`, how sure, and the words behind it; `weights` are changes of the log-odds, positive in its favour."""
    ranked = sorted(zip(weights, words, strict=True), reverse=True)
    total = sum(weight for weight, _ in ranked if weight > 0)
    named: list[str] = []
    covered = 0.0
    for weight, word in ranked[:NAMED]:
        if weight < LITTLE or covered > 0.75 * total:
            break
        named, covered = [*named, bare(word)], covered + weight
    said = f"It answered {answer} ({probability:.0%})"
    if not named:
        return f"{said}, and no single word decided: it would answer about the same without any one of them."
    against, word = ranked[-1]
    other = f"; “{bare(word)}” spoke against it" if -against >= max(LITTLE, 0.5 * ranked[0][0]) else ""
    return f"{said} mostly because of {_listed(named)}{other}."


def bare(word: str) -> str:
    """A word without the punctuation around it, unless it is nothing else."""
    return word.strip(".,;:!?\"'()[]“”‘’…") or word


def _listed(words: list[str]) -> str:
    quoted = [f"“{word}”" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def deciding_words(rows: list[dict[str, Any]], most: int = 8) -> list[dict[str, Any]]:
    """The words with the largest summed weight for one answer, with their mean weight and number of rows."""
    seen: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        own: dict[str, float] = {}
        for word, weight in zip(row["words"], row["weights"], strict=True):
            own[bare(word).casefold()] = own.get(bare(word).casefold(), 0.0) + weight
        for word, weight in own.items():
            seen.setdefault((word, row["predicted"]), {})[row["row_id"]] = weight
    ranked = sorted(seen.items(), key=lambda item: -sum(item[1].values()))
    return [
        {"word": word, "label": label, "weight": sum(found.values()) / len(found), "rows": len(found)}
        for (word, label), found in ranked[:most]
        if sum(found.values()) > LITTLE
    ]
