"""A row's life, from file and line through every stage to the tokens that are learnt.

tunewright diff runs/demo reviews.csv:212

r8c1f03e2a9d04b17  reviews.csv, line 212
read      label positive
          it&#39;s a great  phone
audit     html_remnants (warning, score 1): it&#39;s
prepare   repair_text: html_entities, white_space
            text: [-it&#39;s-]{+it’s+} a great[-  -]{+ +}phone
          kept in train, weight 1.4
tune      times learnt from: lora 2
tokens    57 are read, 2 are learnt, marked [[ ]]
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

import polars as pl

from tunewright.core.errors import RunError, TunewrightError
from tunewright.core.files import read_json
from tunewright.core.recipe import Recipe
from tunewright.core.run import Run
from tunewright.prepare import changes
from tunewright.prepare.split import SPLITS

SHOWN = ("text", "answer", "rejected", "messages", "label", "weight")
AROUND = 8  # words shown on each side of a change


def find_row(run: Run, wanted: str) -> str:
    """The id of the row that `wanted` names: an id, the beginning of one, or SOURCE:LINE. Raises `RunError` with near ones."""
    path = run.path("ledger.parquet")
    if not path.exists():
        raise RunError(f"{run.directory} has no ledger.parquet: no stage has finished. `tunewright run RECIPE --until audit` is enough.")
    rows = pl.scan_parquet(path).select("row_id", "source", "line").unique(maintain_order=True).collect()
    if wanted in rows["row_id"]:
        return wanted
    source, colon, line = wanted.rpartition(":")
    if colon and line.isdigit():
        return _at_line(rows, source, int(line), run)
    begins = rows.filter(pl.col("row_id").str.starts_with(wanted))["row_id"].unique(maintain_order=True)
    if len(begins) == 1 or (len(begins) > 1 and all(one.startswith((f"{begins[0]}-", f"{begins[0]}+")) for one in begins[1:])):
        return str(begins[0])
    if len(begins):
        raise RunError(
            f"{len(begins):,} rows begin with {wanted!r}: {', '.join(begins.head(5))}{', ...' * (len(begins) > 5)}. Give more of the id."
        )
    near = next((found for cut in range(len(wanted), 0, -1) if len(found := _starting(rows, wanted[:cut]))), [])
    hint = f" Near: {', '.join(near)}." if len(near) else ""
    raise RunError(f"{run.directory} has no row {wanted!r}.{hint} ROW is an id, the beginning of one, or SOURCE:LINE.")


def life(run: Run, row_id: str, tokens: bool = True) -> dict[str, Any]:
    """All that the run directory knows about a row, as a JSON document."""
    ledger = pl.scan_parquet(run.path("ledger.parquet")).filter(pl.col("row_id") == row_id).collect()
    found: dict[str, Any] = {"row_id": row_id, "source": ledger["source"].drop_nulls().first(), "line": ledger["line"].drop_nulls().first()}
    read = _of(run, "audit/rows.parquet", row_id)
    found["read"] = {name: value for name, value in read[0].items() if name not in ("row_id", "source", "line")} if read else None
    found["quarantined"] = next(iter(_of(run, "audit/quarantine.parquet", row_id)), None)
    found["findings"] = _of(run, "audit/findings.parquet", row_id)
    found["ledger"] = ledger.select("stage", "action", "reason", "detail").to_dicts()
    found |= _prepared(run, row_id)
    found["tokens"] = _tokens(run, found["now"]) if tokens and found["split"] else None
    return found


def _starting(rows: pl.DataFrame, start: str) -> list[str]:
    return rows.filter(pl.col("row_id").str.starts_with(start))["row_id"].unique(maintain_order=True).head(3).to_list()


def _at_line(rows: pl.DataFrame, source: str, line: int, run: Run) -> str:
    own = rows.filter((pl.col("source") == source) | pl.col("source").str.ends_with(f"/{source}"))
    if own.is_empty():
        known = rows["source"].drop_nulls().unique().sort().head(5).to_list()
        raise RunError(f"{run.directory} has no rows from {source!r}. Its sources: {', '.join(known)}.")
    here = own.filter(pl.col("line") == line)["row_id"]
    if here.is_empty():
        near = (
            own.drop_nulls("line")
            .sort((pl.col("line") - line).abs(), "line", maintain_order=True)["line"]
            .unique(maintain_order=True)
            .head(3)
        )
        raise RunError(f"no row of {source} begins on line {line}. Near: {', '.join(f'{source}:{one}' for one in near)}.")
    return str(min(here, key=len))  # a row made from another keeps its line; the original's id is shorter


def _of(run: Run, file: str, row_id: str) -> list[dict[str, Any]]:
    path = run.path(file)
    return pl.scan_parquet(path).filter(pl.col("row_id") == row_id).collect().to_dicts() if path.exists() else []


def _prepared(run: Run, row_id: str) -> dict[str, Any]:
    """What the steps did, where the row is now, and its relatives."""
    nothing: dict[str, Any] = {"steps": [], "split": None, "now": None, "group": None, "left": None, "parent_id": None, "children": []}
    if not run.path("prepare", "changes.parquet").exists():
        return nothing
    lines = pl.read_parquet(run.path("prepare", "changes.parquet"))
    born = lines.filter((pl.col("action") == "added") & (pl.col("field") == "parent_id"))
    family, parents = [row_id], dict(born.select("row_id", "after").iter_rows())
    while (parent := parents.get(family[-1])) is not None and parent not in family:
        family.append(parent)
    mine = lines.filter(pl.col("row_id").is_in(family) | pl.col("row_id").is_null())
    ancestors = pl.scan_parquet(run.path("audit", "rows.parquet")).filter(pl.col("row_id").is_in(family)).collect()
    found = nothing | {"steps": _steps(ancestors, mine, row_id), "parent_id": parents.get(row_id)}
    for name in SPLITS:
        if row := _of(run, f"prepare/{name}.parquet", row_id):
            found |= {"split": name, "now": row[0], "group": _relatives(run, row[0])}
    left = _of(run, "prepare/dropped.parquet", row_id) or _of(run, "prepare/quarantine.parquet", row_id)
    if left:
        found |= {"left": left[0], "parent_id": found["parent_id"] or left[0].get("parent_id")}
    found["children"] = born.filter(pl.col("after") == row_id)["row_id"].to_list()
    return found


def _steps(ancestors: pl.DataFrame, lines: pl.DataFrame, row_id: str) -> list[dict[str, Any]]:
    """One document a step that touched the row: name, action, and before and after of each field."""
    _, told = changes.replay(ancestors, lines)
    found = []
    for (number,), part in told.filter(pl.col("row_id") == row_id).group_by("step", maintain_order=True):
        born = part.filter((pl.col("action") == "added") & (pl.col("field") == "parent_id"))
        before = dict[str, Any]()
        if len(born):
            rows, _ = changes.replay(ancestors, lines.filter(pl.col("step") < number))
            before = next(iter(rows.filter(pl.col("row_id") == born["after"][0]).to_dicts()), {})
        fields = [
            {"field": one["field"], "before": before.get(one["field"]) if before else one["before"], "after": one["after"]}
            for one in part.filter(pl.col("field").is_not_null() & (pl.col("field") != "parent_id")).to_dicts()
        ]
        found.append({"step": number, "name": part["name"][0], "action": part["action"][0], "fields": fields})
    return found


def _relatives(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """Rows that must stand in the same split."""
    frames = [pl.scan_parquet(run.path("prepare", f"{name}.parquet")).select("row_id", "group") for name in SPLITS]
    same = pl.concat(frames).filter((pl.col("group") == row["group"]) & (pl.col("row_id") != row["row_id"])).collect()
    return {"number": row["group"], "others": len(same), "some": same["row_id"].head(5).to_list()}


def _tokens(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """Ids and loss mask of the row as training sees it; `why_not` where there is nothing to show."""
    if row.get("label") is None:
        return {"why_not": "tokens are shown for rows with labels; training does not handle other tasks yet"}
    from tunewright.models.chat import ChatFormat
    from tunewright.models.contract import make_contract, shown
    from tunewright.models.load import load_tokenizer

    try:
        recipe = Recipe.load(run.path("recipe.yaml"))
        form = ChatFormat.of(recipe, load_tokenizer(recipe.model.base), read_json(run.path("prepare", "summary.json"))["labels"])
    except TunewrightError as error:
        return {"why_not": str(error)}
    text = row["text"] or ""
    made = make_contract(form, [text], [row["label"]])["rows"][0]
    cut = form.encode([text]).truncated[0]
    return {"ids": made["ids"], "mask": made["mask"], "shown": shown(form.tokenizer, made["ids"], made["mask"]), "truncated": cut}


def told(document: dict[str, Any], color: bool = False) -> list[str]:
    """The document as lines for a terminal."""
    lines = [f"{document['row_id']}  {document['source']}, line {document['line']}"]
    lines += _block("read", _read_lines(document))
    lines += _block("audit", [_finding(one) for one in document["findings"]])
    lines += _block("prepare", _prepare_lines(document, color))
    later = [one for one in document["ledger"] if one["stage"] not in ("audit", "prepare")]
    for stage in dict.fromkeys(one["stage"] for one in later):
        lines += _block(stage, [_event(one) for one in later if one["stage"] == stage])
    tokens = document["tokens"]
    if tokens is not None and "why_not" in tokens:
        lines += _block("tokens", [tokens["why_not"]])
    elif tokens is not None:
        learnt, weight = sum(tokens["mask"]), document["now"].get("weight")
        heavy = "" if weight is None else f", each with weight {weight:g}"
        title = (
            f"{len(tokens['ids']) - learnt} are read, {learnt} are learnt{heavy}, marked [[ ]]"
            + "; the text was cut to fit" * tokens["truncated"]
        )
        lines += _block("tokens", [title, tokens["shown"], "ids " + " ".join(map(str, tokens["ids"]))])
    return lines


def _block(name: str, lines: list[str]) -> list[str]:
    flat = [piece for line in lines for piece in line.split("\n")]
    return [f"{name if index == 0 else '':<9} {line}".rstrip() for index, line in enumerate(flat)]


def _read_lines(document: dict[str, Any]) -> list[str]:
    if document["read"] is None:
        reasons = [_event(one) for one in document["ledger"] if one["stage"] == "audit" and one["action"] != "read"]
        raw = [document["quarantined"]["raw"] or ""] if document["quarantined"] else []
        made = [f"made from {document['parent_id']}"] if document["parent_id"] else []
        return reasons + raw + made
    columns = {name: value for name, value in document["read"].items() if name not in SHOWN and value is not None}
    first = [f"{name} {document['read'][name]}" for name in ("label", "weight") if document["read"].get(name) is not None]
    shown = [", ".join([*first, *(f"{name} {_short(value)}" for name, value in columns.items())])]
    texts = [name for name in ("text", "answer", "rejected") if document["read"].get(name) is not None]
    return [*filter(None, shown), *((document["read"][name] if name == "text" else f"{name}: {document['read'][name]}") for name in texts)]


def _prepare_lines(document: dict[str, Any], color: bool) -> list[str]:
    told = [one for one in document["ledger"] if one["stage"] == "prepare"]
    lines = []
    for step in document["steps"]:
        title = {"added": f"made from {document['parent_id']}", "removed": "left"}.get(step["action"], "changed")
        lines.append(f"{step['name']}: {title}")
        for one in step["fields"]:
            lines.append(f"  {one['field']}: {word_diff(one['before'], one['after'], color)}")
    lines += [_event(one) for one in told if one["action"] != "kept"]
    if document["split"]:
        weight = document["now"].get("weight")
        lines.append(f"kept in {document['split']}" + ("" if weight is None else f", weight {weight:g}"))
        others = document["group"]
        if others["others"]:
            lines.append(f"group {others['number']}: in one split with {', '.join(others['some'])}{', ...' * (others['others'] > 5)}")
    if document["children"]:
        lines.append(f"children: {', '.join(document['children'][:8])}{', ...' * (len(document['children']) > 8)}")
    return lines


def _event(one: dict[str, Any]) -> str:
    reason = f": {one['reason'].replace('_', ' ')}" if one["reason"] else ""
    return f"{one['action']}{reason}" + (f" ({one['detail']})" if one["detail"] else "")


def _finding(one: dict[str, Any]) -> str:
    score = "" if one["score"] is None else f", score {one['score']:.3g}"
    related = f" (see {one['related_row_id']})" if one["related_row_id"] else ""
    return f"{one['check']} ({one['severity']}{score}): {_short(one['evidence'] or '')}{related}"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:97] + "..."


def word_diff(before: str | None, after: str | None, color: bool = False) -> str:
    """What changed, word by word: [-gone-]{+new+}; long stretches that did not change become an ellipsis."""
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", "" if one is None else str(one)) for one in (before, after))
    marks = ("\x1b[31m[-{}-]\x1b[0m", "\x1b[32m{{+{}+}}\x1b[0m") if color else ("[-{}-]", "{{+{}+}}")
    pieces = []
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for index, (kind, a, b, c, d) in enumerate(blocks):
        if kind == "equal":
            pieces.append(_around(old[a:b], first=index == 0, last=index == len(blocks) - 1))
            continue
        pieces += [mark.format(_visible(words)) for mark, words in zip(marks, ("".join(old[a:b]), "".join(new[c:d])), strict=True) if words]
    return "".join(pieces)


def _around(words: list[str], first: bool, last: bool) -> str:
    head, tail = (0 if first else 2 * AROUND), (0 if last else 2 * AROUND)
    if len(words) <= head + tail + 4:
        return "".join(words)
    return "".join(words[:head]) + " … " + "".join(words[len(words) - tail :] if tail else [])


def _visible(text: str) -> str:
    """Control characters as escapes, so that what was removed can be seen."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2060\ufeff]", lambda found: f"\\x{ord(found[0]):02x}", text)
