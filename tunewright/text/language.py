"""Which language a text is written in, through py3langid (a model inside its wheel; about 10,000 short texts a second)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from tunewright.core.optional import require


@cache
def _identifier() -> Any:
    langid = require("py3langid.langid", "audit")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def identify(texts: Iterable[str]) -> list[tuple[str, float]]:
    """(ISO 639 code, probability) of each text. Below about 40 characters the answer is little more than a guess."""
    classify = _identifier().classify
    return [(str(code), float(probability)) for code, probability in map(classify, texts)]
