"""A quick classifier: what a model learns from the other rows about each row of a sample, in about two seconds.

    quick = classify(rows, groups, sample=20_000)
    quick.rows                 # the rows looked at: a sample by hashed row id, the same whatever the order of the file
    quick.believed             # (n, classes) probabilities from a model that saw neither the row nor one of its group
    bag_of_words(texts).words  # names of the columns of the TF-IDF matrix: words and pairs of words

Words and pairs of neighbouring words, TF-IDF with logarithmic counts, logistic regression: the strongest cheap classifier of
short texts (Wang & Manning 2012, aclanthology.org/P12-2018). Every character of a script without spaces is a word, so pairs are
its character bigrams. Texts are read to `LONGEST` characters.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tunewright.core.optional import require
from tunewright.text.repair import UNSPACED, empty

LONGEST = 1_000
MOST_WORK = 800_000  # rows times classes: about two seconds
FEW_CLASSES = 5  # up to here Newton's method is the faster solver
WORD = rf"[{UNSPACED}]|[^\W{UNSPACED}]+(?:['’][^\W{UNSPACED}]+)*|[^\w\s]+"
Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bag:
    """TF-IDF of texts: a sparse matrix (n, words) with rows of length 1, and what its columns stand for."""

    matrix: Any
    words: pl.Series


@dataclass(frozen=True)
class Quick:
    """`rows` looked at; `given` and the columns of `believed` number `labels`; rows of equal `groups` never judged each other."""

    rows: pl.DataFrame
    labels: list[str]
    given: Ints
    believed: Floats
    groups: Ints
    bag: Bag

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Rows whose most probable label is not the given one."""
        return np.asarray(self.believed.argmax(axis=1) != self.given)


def sample_of(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most `most` of `rows`, in their order; the choice depends on row ids alone, so a row stays chosen when others move."""
    if len(rows) <= most:
        return rows
    chosen = rows["row_id"].hash(seed=17).arg_sort()[:most].sort()
    return rows[chosen]


def tokens(texts: pl.Series) -> pl.DataFrame:
    """(row, word) of every word, in order: lower case; marks count as words, and so does each character without spaces."""
    words = texts.fill_null("").str.head(LONGEST).str.to_lowercase().str.extract_all(WORD)
    return words.alias("word").to_frame().with_row_index("row").explode("word", empty_as_null=True).drop_nulls("word")


def bag_of_words(texts: pl.Series, most: int = 50_000) -> Bag:
    """Words and pairs of words that stand in two texts or more, the most frequent ones."""
    sparse = require("scipy.sparse", "audit")
    single = tokens(texts)
    follows = pl.col("row") == pl.col("row").shift(-1)
    pairs = single.select("row", word=pl.when(follows).then(pl.col("word") + " " + pl.col("word").shift(-1))).drop_nulls("word")
    counts = pl.concat([single, pairs]).group_by("row", "word").len("count")
    known = counts.group_by("word").len("texts").filter(pl.col("texts") > 1).sort("texts", "word", descending=[True, False])
    known = known.head(most).with_row_index("column")
    cells = counts.join(known, on="word")
    rarity = np.log((1 + len(texts)) / (1 + cells["texts"].to_numpy())) + 1
    values = (1 + np.log(cells["count"].to_numpy())) * rarity
    matrix = sparse.csr_matrix((values, (cells["row"].to_numpy(), cells["column"].to_numpy())), shape=(len(texts), max(1, len(known))))
    matrix.sort_indices()
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return Bag(sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ matrix, known["word"])


def classify(rows: pl.DataFrame, groups: Ints, bag: Bag, folds: int) -> Quick:
    """Judge each of `rows` (with `text` and `label`) by a model of the rows of other `groups` (n,)."""
    labels, given = np.unique(rows["label"].to_numpy(), return_inverse=True)
    believed = out_of_sample(bag.matrix, given, len(labels), groups, folds)
    return Quick(rows, labels.tolist(), given, believed, groups, bag)


def sample_size(most: int, classes: int) -> int:
    """How many rows the quick classifier looks at."""
    return min(most, MOST_WORK // max(1, classes))


def to_classify(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """The sample that the quick classifier looks at: rows with a text, fewer where there are many classes."""
    chosen = sample_of(rows, sample_size(most, rows["label"].n_unique()))
    return chosen.filter(~empty(pl.col("text")) & pl.col("label").is_not_null())


def regression(classes: int) -> Any:
    """The model: multinomial logistic regression, with the solver that is faster for so many classes."""
    model = require("sklearn.linear_model", "audit").LogisticRegression
    if classes <= FEW_CLASSES:
        return model(C=3.0, solver="newton-cg")
    return model(C=3.0, solver="sag", tol=1e-2, random_state=0)


def out_of_sample(features: Any, given: Ints, classes: int, groups: Any, folds: int) -> Floats:
    """(n, classes) probabilities from logistic regression; no row is judged by a model that saw its group, and a row that
    no model can judge (a single group, a single class) is believed as it is given."""
    believed = np.asarray(np.eye(classes)[given], dtype=np.float64)
    folds = min(folds, len(np.unique(groups)))
    if folds < 2:
        return believed
    fold = _dealt(given, groups, classes, folds)
    threads = require("threadpoolctl", "audit").threadpool_limits
    with warnings.catch_warnings(), threads(1):  # two threads that share busy cores cost 80 times more here
        warnings.simplefilter("ignore")  # a class smaller than the number of folds is too_few_rows' business
        for train, test in ((np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(folds)):
            present = np.unique(given[train])
            if len(present) > 1 and len(test):
                fitted = regression(len(present)).fit(features[train], given[train])
                believed[test] = 0.0
                believed[np.ix_(test, present)] = fitted.predict_proba(features[test])
    return believed


def _dealt(given: Ints, groups: Any, classes: int, folds: int) -> Ints:
    """A fold for each row: groups are dealt like cards, class by class, the large ones first, so that every fold has its share of
    each class. (scikit-learn's StratifiedGroupKFold looks for the best fold of each group, in a loop that takes as long as the models.)"""
    _, unit_of = np.unique(groups, return_inverse=True)
    rows = np.zeros((unit_of.max() + 1, classes), np.int64)
    np.add.at(rows, (unit_of, given), 1)
    chance = np.random.default_rng(0).permutation(len(rows))
    order = np.lexsort((chance, -rows.sum(axis=1), rows.argmax(axis=1)))
    fold = np.empty(len(rows), np.intp)
    fold[order] = np.arange(len(rows)) % folds
    return fold[unit_of]
