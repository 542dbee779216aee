"""Labelling functions for product reviews: eight rules of thumb, none of them good alone.

    tunewright label examples/reviews/reviews.csv examples/labelling/reviews.py -o labelled.parquet

They were written from what anybody knows about reviews, not from the rows or their labels. Two of them say nothing but "negative",
two nothing but "positive", and one (long_sentence) is wrong more often than right: a label model has to find that out by itself.
"""

import re

import polars as pl

from tunewright.prepare.labelling import ABSTAIN, labelling_function

LABELS = ["negative", "positive"]


def words_of(text):
    return re.findall(r"[a-z']+", text.lower())


PRAISE = words_of("""amazing awesome beautiful best better enjoy enjoyed excellent fantastic favorite glad good great happy impressed love loved loves
nice outstanding perfect perfectly pleased superb wonderful""")
BLAME = words_of("""annoying awful bad crap disappointed disappointing disappointment frustrated frustrating hate hated horrible junk poor poorly
regret sorry sucks terrible ugly unhappy useless waste worse worst""")
WORKS = words_of("""affordable bright clear comfortable compact crisp durable easily easy fast handy helpful improved intuitive light lightweight quick
recommend recommended reliable sharp simple smooth solid sturdy useful works worth""")
FAILS = words_of("""blurry breaks broke broken bug bugs bulky complaint complaints confusing crash crashes dead defective died difficult error errors
expensive failed fails failure flimsy freezes hard heavy issue issues lack lacks loud lost missing noisy problem problems refund repair
returned scratched scratches slow stopped unfortunately weak wrong""")
DENIALS = r"\b(not|never|no|cannot|without|hardly|barely|\w+n't)\b"


def balance(words, good, bad):
    return sum(word in good for word in words) - sum(word in bad for word in words)


def sign(number):
    return "positive" if number > 0 else "negative" if number < 0 else ABSTAIN


@labelling_function(resources={"good": set(PRAISE), "bad": set(BLAME)})
def feeling(x, good, bad):
    return sign(balance(set(words_of(x.text)), good, bad))


@labelling_function(resources={"good": set(WORKS), "bad": set(FAILS)})
def product(x, good, bad):
    return sign(balance(set(words_of(x.text)), good, bad))


def turned(text):
    """Praise minus blame, a word counting the other way within three words of a denial."""
    words, total = words_of(text), 0
    for place, word in enumerate(words):
        value = balance([word], PRAISE + WORKS, BLAME + FAILS)
        if value and re.search(DENIALS, " ".join(words[max(0, place - 3) : place])):
            value = -value
        total += value
    return total


@labelling_function()
def with_denial(x):
    return sign(turned(x.text))


@labelling_function()
def after_but(x):
    parts = re.split(r"\b(?:but|however|although|though)\b", x.text.lower(), maxsplit=1)
    return sign(turned(parts[1])) if len(parts) == 2 else ABSTAIN


def vote(pattern, label):
    """The fast form: one expression over all rows."""
    return pl.when(pl.col("text").str.to_lowercase().str.contains(pattern)).then(pl.lit(label))


@labelling_function(frame=True)
def denies(rows):
    return vote(DENIALS, "negative")


@labelling_function(frame=True)
def exclaims(rows):
    return vote("!", "positive")


@labelling_function(frame=True)
def stresses(rows):
    return vote(r"\b(very|really|so|highly|well)\b", "positive")


@labelling_function(frame=True)
def long_sentence(rows):
    return pl.when(pl.col("text").str.count_matches(r"\S+") > 25).then(pl.lit("negative"))
