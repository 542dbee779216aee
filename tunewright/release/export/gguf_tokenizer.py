"""The tokenizer inside a GGUF file: tokens, merges, which of them are control tokens, and how text is cut before merging.

llama.cpp knows ways of cutting by name. The name is told from the tokenizer's own pre-tokenizer; one that is not known is refused,
because a wrong one gives other tokens than training did, and the answers get worse without a word.
"""

from __future__ import annotations

import json
from typing import Any

from tunewright.core.errors import EnvironmentProblem
from tunewright.release.export.source import Source

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {_CONTRACTIONS + r"\p{N}{1,3}" + _REST: "llama-bpe", _CONTRACTIONS + r"\p{N}" + _REST: "qwen2"}


def add(writer: Any, source: Source, size: int, gguf: Any) -> None:
    """Write the tokenizer of `source` for a model with `size` embeddings."""
    tokenizer = source.tokenizer
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    name = pre_tokenizer(told)
    tokens, types = _tokens(told, size, gguf.TokenType)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in told["model"]["merges"]])
    end = source.manifest["prompt"]["end_token_id"]
    for kind in ("bos", "eos", "unk", "pad"):
        token = getattr(tokenizer, f"{kind}_token_id")
        if token is not None:
            getattr(writer, f"add_{kind}_token_id")(token)
    writer.add_eot_token_id(end)
    writer.add_add_bos_token(False)  # prompts come from the chat template, which writes one where training had one
    writer.add_add_space_prefix(False)
    writer.add_chat_template(source.template)


def pre_tokenizer(told: dict[str, Any]) -> str:
    """llama.cpp's name for how this tokenizer (the contents of tokenizer.json) cuts text. Raises `EnvironmentProblem` if it has none."""
    model, parts = told["model"], told["pre_tokenizer"] or {"type": "none"}
    if model["type"] != "BPE" or model.get("byte_fallback") or told.get("normalizer") not in (None, {"type": "NFC"}):
        raise _unknown(f"{model['type']}, {'bytes as tokens' if model.get('byte_fallback') else 'normalised'}")
    steps = parts["pretokenizers"] if parts["type"] == "Sequence" else [parts]
    kinds = [one["type"] for one in steps]
    if not kinds or kinds[-1] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        raise _unknown(", ".join(kinds))
    regex = steps[-1].get("use_regex", True)
    if kinds == ["ByteLevel"] and regex:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and regex and steps[0]["individual_digits"]:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not regex and steps[0]["behavior"] == "Isolated" and not steps[0]["invert"]:
        name = SPLITS.get(steps[0]["pattern"].get("Regex", ""))
        if name is not None and (name == "llama-bpe") == bool(model.get("ignore_merges")):
            return name
    raise _unknown(", ".join(kinds))


def _unknown(what: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"llama.cpp has no name that is known here for how this tokenizer cuts text ({what}), and a wrong one would give other tokens than "
        "training did. Use --format merged, and llama.cpp's own converter for a GGUF file."
    )


def _tokens(told: dict[str, Any], size: int, kinds: Any) -> tuple[list[str], list[int]]:
    """Every token by id with its kind; ids that the tokenizer does not use are filled."""
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [int(kinds.UNUSED)] * size
    for token, number in told["model"]["vocab"].items():
        if number < size:
            tokens[number], types[number] = token, int(kinds.NORMAL)
    for one in told["added_tokens"]:
        if one["id"] < size:
            tokens[one["id"]] = one["content"]
            types[one["id"]] = int(kinds.CONTROL if one["special"] else kinds.USER_DEFINED)
    return tokens, types
