"""What the user says in a row, and rows in which the user says it otherwise. Everything else stays as it was.

    messages [system "Be kind.", user "How do I open `a.txt`?", assistant "With a text editor.", user "And b.txt?", assistant "Alike."]
      --user's turns--> "How do I open `a.txt`?", "And b.txt?"  --a method--> "How do I opne `a.txt`?", "Annd b.txt?"
      --> the same chat with these two turns; system, answers, tool calls and their results are not touched

An answer answers what was asked, so code, quotations, links, places to fill and numbers of a turn must still be there: methods
that work without a model do not see them, and a text in which a model lost one is refused.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
import polars as pl

from tunewright.core.errors import DataError
from tunewright.core.parts import Augmenter, Look
from tunewright.sources import chat
from tunewright.text.repair import empty

PIECES = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+|\"[^\"\n]{1,300}\"|“[^”\n]{1,300}”|«[^»\n]{1,300}»|\{\{?[^{}\n]{1,60}\}?\}|\$[^$\n]{1,80}\$"
    r"|\d[\d.,:/%°-]*",
    re.DOTALL,
)
HIDDEN = 0xE000  # the first of the characters that stand for pieces; Unicode leaves them to private use
MOST_PIECES = 6_000
BETWEEN = "\n\n"
LINES = {"row_id": pl.String, "turn": pl.Int64, "text": pl.String}


def is_instruction(rows: pl.DataFrame) -> bool:
    """Whether the rows have answers of their own, so that only what the user says may change."""
    return "answer" in rows.columns


def user_lines(rows: pl.DataFrame) -> pl.DataFrame:
    """(row_id, turn, text): what the user says before the answer, a line for each turn with words; a plain prompt is turn -1."""
    if "messages" not in rows.columns:
        lines = rows.select("row_id", turn=pl.lit(-1, pl.Int64), text="text")
    else:
        found = []
        for row, text, talk in rows.select("row_id", "text", "messages").iter_rows():
            if talk is None:
                found.append((row, -1, text))
                continue
            messages = orjson.loads(talk)
            found += [
                (row, turn, messages[turn].get("content")) for turn in range(_cut(messages, text)) if messages[turn]["role"] == "user"
            ]
        lines = pl.DataFrame(found, schema=LINES, orient="row")
    return lines.filter(~empty(pl.col("text")))


def user_said(rows: pl.DataFrame) -> pl.Series:
    """All that the user says in each row; the text itself where rows have no answers."""
    if not is_instruction(rows):
        return rows["text"]
    told = user_lines(rows).group_by("row_id", maintain_order=True).agg(pl.col("text").str.join(BETWEEN))
    return rows.select("row_id").join(told, on="row_id", how="left", maintain_order="left")["text"]


def children(method: Augmenter, parents: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
    """At most `number` rows after each of `parents`: parent_id, what is new of text, answer and messages, `said` and `parent_said` by
    the user, and whether a piece got `lost`. What the method could not write is null."""
    if not is_instruction(parents):
        made = method.write(parents, number, look, seed)
        told = parents.select(parent_id="row_id", parent_said="text")
        return made.with_columns(said="text", lost=pl.lit(False)).join(told, on="parent_id", how="left", maintain_order="left")
    if method.writes == "row":
        return _whole_rows(method, parents, number, look, seed)
    return _other_turns(method, parents, number, look, seed)


def one_turn(rows: pl.DataFrame) -> pl.Expr:
    """True for rows of one question and its answer: no tools, no earlier turns, no rejected answer."""
    plain = pl.lit("rejected" not in rows.columns)
    if "messages" not in rows.columns:
        return plain
    talk = pl.col("messages")
    asked, told = (talk.str.count_matches(f'"role":"{role}"', literal=True) for role in ("user", "assistant"))
    tools = talk.str.contains('"tool_calls":', literal=True) | talk.str.contains('"role":"tool"', literal=True)
    return plain & ((asked == 1) & (told == 1) & ~tools).fill_null(True)


def _cut(messages: list[chat.Message], text: str | None) -> int:
    """Where the answer begins: what is said before it is the row's text."""
    return next((at for at in range(len(messages), -1, -1) if chat.said(messages[:at]) == (text or "")), 0)


def _hide(text: str) -> str:
    pieces = PIECES.findall(text)
    if len(pieces) > MOST_PIECES or any(HIDDEN <= ord(one) < HIDDEN + MOST_PIECES for one in text):
        return text
    marks = iter(range(HIDDEN, HIDDEN + MOST_PIECES))
    return PIECES.sub(lambda _: chr(next(marks)), text)


def _shown(new: str | None, old: str) -> str | None:
    """`new` with the pieces of `old` in their places."""
    pieces = PIECES.findall(old)
    if new is None or _hide(old) == old:
        return new
    return "".join(pieces[ord(one) - HIDDEN] if 0 <= ord(one) - HIDDEN < len(pieces) else one for one in new)


def _kept(new: str | None, old: str) -> bool:
    """Whether every piece of `old` is in `new`, as often."""
    return new is None or all(new.count(one) >= old.count(one) for one in set(PIECES.findall(old)))


def _other_turns(method: Augmenter, parents: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
    """Chats in which the user says each turn as `method` writes it."""
    lines = user_lines(parents)
    hidden = lines["text"] if method.by_model else lines["text"].map_elements(_hide, return_dtype=pl.String)
    asked = lines.select(row_id=pl.format("{}/{}", "row_id", "turn"), text=hidden)
    made = method.write(asked, number, look, seed) if len(asked) else pl.DataFrame(schema={"parent_id": pl.String, "text": pl.String})
    turns: dict[str, list[str | None]] = {}
    for key, text in made.select("parent_id", "text").iter_rows():
        turns.setdefault(key, []).append(text)
    said: dict[str, list[tuple[int, str]]] = {}
    for row, turn, text in lines.iter_rows():
        said.setdefault(row, []).append((turn, text))
    chats = parents["messages"] if "messages" in parents.columns else [None] * len(parents)
    found = []
    for row, text, talk in zip(parents["row_id"], parents["text"], chats, strict=True):
        own = said.get(row, [])
        for nth in range(min((len(turns.get(f"{row}/{turn}", [])) for turn, _ in own), default=0)):
            new = {turn: turns[f"{row}/{turn}"][nth] for turn, _ in own}
            new = new if method.by_model else {turn: _shown(new[turn], old) for turn, old in own}
            before, after = (BETWEEN.join(one) for one in ([old for _, old in own], [new[turn] or "" for turn, _ in own]))
            lost = not all(_kept(new[turn], old) for turn, old in own)
            complete = {turn: one for turn, one in new.items() if one and one.strip()}
            whole = _rewritten(talk, text, complete) if len(complete) == len(own) else (None, None)
            found.append((row, *whole, after if whole[0] is not None else None, before, lost))
    names = ("parent_id", "text", "messages", "said", "parent_said")
    frame = pl.DataFrame(found, schema=dict.fromkeys(names, pl.String) | {"lost": pl.Boolean}, orient="row")
    return frame if "messages" in parents.columns else frame.drop("messages")


def _rewritten(talk: str | None, text: str | None, new: dict[int, str]) -> tuple[str | None, str | None]:
    """(text, messages) with the user's turns `new`."""
    if talk is None:
        return new[-1], None
    messages: list[dict[str, Any]] = orjson.loads(talk)
    cut = _cut(messages, text)
    for turn, words in new.items():
        messages[turn]["content"] = words
    return chat.said(messages[:cut]), chat.dumped(messages)


def _whole_rows(method: Augmenter, parents: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
    """Questions with answers, both by `method`, under the system message of the parent."""
    if not parents.select(one_turn(parents).all()).item():
        raise DataError(
            f"augment: {method.part_name()} writes a question with its answer; it cannot continue chats of several turns, tool calls or preference pairs."
        )
    told = parents.select("row_id", said=user_said(parents))
    made = method.write(parents.with_columns(text=told["said"]), number, look, seed)
    made = made.join(told.rename({"row_id": "parent_id", "said": "parent_said"}), on="parent_id", how="left", maintain_order="left")
    made = made.with_columns(said="text", lost=pl.lit(False))
    if "messages" not in parents.columns:
        return made
    talks = dict(parents.select("row_id", "messages").iter_rows())
    found = [_answered(talks[row], text, answer) for row, text, answer in made.select("parent_id", "text", "answer").iter_rows()]
    whole = pl.DataFrame(found, schema={"text": pl.String, "messages": pl.String}, orient="row")
    return made.with_columns(whole["text"], whole["messages"])


def _answered(talk: str | None, text: str | None, answer: str | None) -> tuple[str | None, str | None]:
    """(text, messages): the parent's system turns, then this question and answer."""
    if talk is None or text is None or answer is None:
        return text, None
    messages = [one for one in orjson.loads(talk) if one["role"] == "system"] + [{"role": "user", "content": text}]
    return chat.said(messages), chat.dumped([*messages, {"role": "assistant", "content": answer}])
