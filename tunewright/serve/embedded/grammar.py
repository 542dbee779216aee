"""Only tokens that obey a JSON schema: a mask over the vocabulary after each token, computed by llguidance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tunewright.core.optional import require
from tunewright.serve.engine import EngineError

ANY_OBJECT = {"type": "object"}
SPACES = {"whitespace_pattern": "[ \\n]?"}  # small models would fill an answer with spaces where any number is allowed


class GrammarTokens:
    """What llguidance has to know of a tokenizer; takes about a second, so it is made once for each."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: frozenset[int]) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise EngineError("This model's tokenizer cannot be used with a JSON schema.", 400, "unsupported_parameter")
        wrapped = require("llguidance.hf", "serve")
        self.tokens = wrapped.from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(ends))

    def grammar(self, schema: Mapping[str, Any]) -> Grammar:
        """A grammar at its beginning. Raises `EngineError` 400 when the schema cannot be used."""
        matcher = require("llguidance", "serve").LLMatcher
        try:
            rules = matcher.grammar_from_json_schema(json.dumps(dict(schema) or ANY_OBJECT), overrides=SPACES)
            fault = matcher.validate_grammar(rules, self.tokens)
        except ValueError as error:
            fault = str(error)
        if fault:
            raise EngineError(f"The JSON schema cannot be used: {fault.splitlines()[0][:300]}", 400, "invalid_json_schema")
        return Grammar(matcher(self.tokens, rules))


class Grammar:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def allowed(self, size: int) -> torch.Tensor:
        """(size,) bool: the tokens that may follow."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        mask = torch.zeros(size, dtype=torch.bool)
        mask[: len(bits)] = torch.from_numpy(bits[:size].astype(bool))
        return mask

    def took(self, token: int) -> None:
        self._matcher.consume_token(token)

    @property
    def finished(self) -> bool:
        """Whether nothing may follow but the end."""
        return bool(self._matcher.is_stopped())
