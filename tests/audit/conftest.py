"""Rows without any fault, and what a check may look at."""

import random
from collections.abc import Callable

import polars as pl
import pytest

from tunewright.core.executor import LocalExecutor
from tunewright.core.parts import Look
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe

COMMON = [
    "the",
    "a",
    "this",
    "that",
    "my",
    "we",
    "they",
    "after",
    "before",
    "with",
    "without",
    "about",
    "because",
    "phone",
    "battery",
    "screen",
    "seller",
    "package",
    "delivery",
    "week",
    "month",
    "price",
    "shop",
    "store",
    "table",
    "chair",
    "kitchen",
    "window",
    "family",
    "morning",
    "evening",
    "weather",
    "question",
    "answer",
    "paper",
    "letter",
    "garden",
    "river",
]
KINDS = {
    "good": ["love", "excellent", "happy", "wonderful", "pleased", "great", "perfect", "delighted", "fantastic", "superb"],
    "bad": ["hate", "terrible", "angry", "awful", "broken", "poor", "useless", "disappointed", "horrible", "refund"],
}


def frame(texts: list[str | None], labels: list[str]) -> pl.DataFrame:
    numbers = range(len(texts))
    columns = {"row_id": [f"r{one}" for one in numbers], "source": ["rows.csv"] * len(texts), "line": [one + 2 for one in numbers]}
    kinds = {"row_id": pl.String, "source": pl.String, "line": pl.Int64, "text": pl.String, "label": pl.String}
    return pl.DataFrame(columns | {"text": texts, "label": labels}, schema=kinds)


def make_clean(rows: int = 200) -> pl.DataFrame:
    draw = random.Random(3)
    texts, labels = [], []
    for number in range(rows):
        label = ("good", "bad")[number % 2]
        words = draw.choices(COMMON, k=10) + draw.sample(KINDS[label], k=3)
        draw.shuffle(words)
        texts.append(" ".join(words) + ".")
        labels.append(label)
    return frame(texts, labels)


@pytest.fixture
def clean() -> pl.DataFrame:
    return make_clean()


@pytest.fixture
def clean_rows() -> Callable[[int], pl.DataFrame]:
    return make_clean


@pytest.fixture
def rows_of() -> Callable[[list[str | None], list[str]], pl.DataFrame]:
    return frame


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tunewright.testing.tiny import tiny_model

    return str(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def look(tiny_base: str) -> Look:
    from tunewright.models.load import load_tokenizer

    report = Report(quiet=True)
    recipe = Recipe.check({"data": {"path": "rows.csv"}, "model": {"base": tiny_base, "max_length": 256}})
    return Look(recipe, report, LocalExecutor(report), lambda: load_tokenizer(tiny_base))
