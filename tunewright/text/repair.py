"""Damage to text that can be mended without guessing: wrong decoding, HTML entities and tags, control characters, white space.

    mend("encoding", pl.Series(["itâ€™s &amp; more"]))    ->  "it’s &amp; more"
    mend("html_entities", ...)                            ->  "it’s & more"

Only rows in which a pattern finds something suspicious are touched at all; ftfy sees those that its own pattern finds broken.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import cache
from html.entities import html5
from typing import Any, Literal

import polars as pl

from tunewright.core.optional import require

Repair = Literal["encoding", "html_entities", "html_tags", "control_characters", "white_space"]

ENTITY = r"&(?:[a-zA-Z][a-zA-Z0-9]{1,31}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});"
TAG = (
    r"(?i)</?(?:a|b|big|blockquote|body|br|center|code|div|em|font|form|h[1-6]|head|hr|html|i|img|input|li|link|meta|ol|p|pre|s"
    r"|script|small|span|strike|strong|style|sub|sup|table|tbody|td|th|thead|title|tr|tt|u|ul)(?:\s[^<>]*)?/?>|<!--.*?-->"
)
CONTROL = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\u200b\u2060]"
# Thai, Lao, Tibetan, Burmese, Khmer, kana, bopomofo, CJK ideographs with their extensions: written without spaces.
UNSPACED = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
LOST = "\N{REPLACEMENT CHARACTER}"
UNTIDY = r"^\s|\s$|\s\s|[^\S\n ]"
PARTLY = 0.3


def empty(text: pl.Expr) -> pl.Expr:
    """True where there is no text, or only white space, control and invisible formatting characters."""
    return ~text.str.contains(r"[^\s\p{Z}\p{C}]").fill_null(False)


def mend(repair: Repair, texts: pl.Series) -> pl.Series:
    """`texts` with one kind of damage mended; nulls stay null."""
    if repair == "encoding":
        return _through_python(texts, looks_broken(texts), lambda text: decode_again(text)[0])
    if repair == "html_entities":
        return _through_python(texts, contains(texts, "&", ENTITY), lambda text: unescape(unescape(text)))
    if repair == "html_tags":
        return _where(contains(texts, "<", TAG), texts, lambda some: some.str.replace_all(TAG, " "))
    if repair == "control_characters":
        return _where(texts.str.contains(CONTROL), texts, lambda some: some.str.replace_all(CONTROL, ""))
    return _where(texts.str.contains(UNTIDY), texts, _tidy)


def _tidy(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"[^\S\n]+", " ").str.replace_all(r" ?\n ?", "\n").str.replace_all(r"\n{3,}", "\n\n").str.strip_chars()


def unescape(text: str) -> str:
    """Replace whole, known entities only: '&copy=1' in an address and '&friends;' are not HTML."""
    return re.sub(ENTITY, lambda one: html.unescape(one[0]) if one[0][1] == "#" or one[0][1:] in html5 else one[0], text)


def decode_again(text: str) -> tuple[str, list[str]]:
    """Text that was decoded with the wrong encoding as it was meant, and ftfy's account of the steps (none when it is sound).

    A text of which only parts look wrong is mended when most of it is ASCII; in anything else that would be a guess.
    Quotes, ligatures, full-width letters and Unicode forms are style, not damage, and stay as they are.
    """
    mended = require("ftfy", "audit").fix_and_explain(text, _settings())
    steps = [f"{step} {what}" for step, what in mended.explanation or []]
    foreign = sum(letter > "\x7f" for letter in text)
    if "apply decode_inconsistent_utf8" in steps and foreign > PARTLY * len(text):
        return text, []
    return mended.text, steps


def changed_part(before: str, after: str, margin: int = 12) -> tuple[int, int, str]:
    """Where two texts differ: start and end in `before`, and the place shown as 'before -> after' with a little context."""
    start = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    tail = next((at for at, (one, other) in enumerate(zip(before[::-1], after[::-1], strict=False)) if one != other), 0)
    tail = min(tail, min(len(before), len(after)) - start)
    end, new_end = len(before) - tail, len(after) - tail
    if end - start > 60:
        end, new_end = start + 30, start + 30
    shown = [text[max(0, start - margin) : stop + margin] for text, stop in ((before, end), (after, new_end))]
    return start, end, re.sub(CONTROL, lambda found: f"\\x{ord(found[0]):02x}", f"{shown[0]} → {shown[1]}")


def non_ascii(texts: pl.Series) -> pl.Series:
    return texts.str.len_bytes() != texts.str.len_chars()


def contains(texts: pl.Series, mark: str, pattern: str) -> pl.Series:
    """Where `pattern` matches; it needs the character `mark`, for which all rows can be searched in no time."""
    found = texts.str.contains(mark, literal=True).fill_null(False)
    return found.scatter(places := found.arg_true(), texts.gather(places).str.contains(pattern))


def looks_broken(texts: pl.Series) -> pl.Series:
    """Where ftfy suspects mojibake (its `is_bad`, for a column at a time); it changes no other text."""
    found = non_ascii(texts).fill_null(False)
    return found.scatter(places := found.arg_true(), texts.gather(places).str.contains(_badness()))


@cache
def _badness() -> str:
    """ftfy's pattern without the blanks and remarks that it is written with, in the dialect of Polars."""
    pattern = require("ftfy.badness", "audit").BADNESS_RE.pattern
    plain = []
    for token in re.findall(r"\[(?:\\.|[^]])*]|\\.|#[^\n]*|.", pattern, re.DOTALL):
        if token[0] == "[":
            plain.append("[" + re.sub(r"([\[&~])", r"\\\1", token[1:]))
        elif not token.isspace() and token[0] != "#":
            plain.append({r"\w": r"[\w\p{N}]", r"\s": r"[\s\x1c-\x1f]"}.get(token, token))
    return "".join(plain)


@cache
def _settings() -> Any:
    return require("ftfy", "audit").TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        remove_terminal_escapes=False,
        normalization=None,
    )


def _where(wanted: pl.Series, texts: pl.Series, fix: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`texts` with the wanted ones replaced by what `fix` makes of them."""
    places = wanted.fill_null(False).arg_true()
    return texts if places.is_empty() else texts.clone().scatter(places, fix(texts.gather(places)))


def _through_python(texts: pl.Series, suspicious: pl.Series, fix: Any) -> pl.Series:
    return _where(suspicious, texts, lambda some: pl.Series([fix(text) for text in some.to_list()], dtype=pl.String))
