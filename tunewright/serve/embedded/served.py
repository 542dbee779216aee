"""What is served under one name: which weights, what is added to them, and how its prompts look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tunewright.models.chat import PLAIN, ChatFormat
from tunewright.serve.embedded.grammar import GrammarTokens
from tunewright.serve.embedded.weights import Weights
from tunewright.serve.engine import EngineError, Request

FIXED_DATE = "26 Jul 2024"  # templates that print the date get this one, as in training (models/chat.py)


@dataclass
class Served:
    """One name. `mark` is what its keys and values depend on; `users` counts answers under way, `closed` refuses new ones."""

    name: str
    weights: Weights
    tokenizer: Any
    mark: str
    ends: frozenset[int]
    context: int
    adapter: str | None = None
    soft: tuple[int, ...] = ()
    format: ChatFormat | None = None  # of a release with labels
    behind: Any = None  # the model behind its soft prompt, for scoring
    users: int = 0
    closed: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # set once it is closed and nobody uses it

    @cached_property
    def grammars(self) -> GrammarTokens:
        return GrammarTokens(self.tokenizer, self.weights.model.get_input_embeddings().num_embeddings, self.ends)

    @cached_property
    def template(self) -> str:
        if self.tokenizer.chat_template:
            return str(self.tokenizer.chat_template)
        starts = self.tokenizer("a")["input_ids"][:1] == [self.tokenizer.bos_token_id]
        return ("{{ bos_token }}" if starts else "") + PLAIN

    def tokens(self, request: Request) -> list[int]:
        """The prompt as token ids, virtual tokens first. Raises `EngineError` 400."""
        if request.messages is not None:
            ids = self._chat(request.messages, request.tools)
        elif isinstance(request.prompt, str):
            ids = list(self.tokenizer(request.prompt)["input_ids"])
        else:
            ids = list(request.prompt or ())
            size = len(self.tokenizer)
            odd = next((one for one in ids if not 0 <= one < size), None)
            if odd is not None:
                raise EngineError(f"prompt: token ids must be between 0 and {size - 1}, but got {odd}.", 400, "invalid_value")
        if not ids:
            ids = [one for one in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id) if one is not None][:1]
        if len(self.soft) + len(ids) >= self.context:
            raise EngineError(
                f"The prompt has {len(ids)} tokens, but {self.name} has room for {self.context - len(self.soft)}, answer included. Shorten it.",
                400,
                "context_length_exceeded",
            )
        return [*self.soft, *ids]

    def _chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        """Through the chat template; what looks like a control token inside a message stays text."""
        turns = [{**one, "content": _plain(one.get("content"))} for one in messages]
        options: dict[str, Any] = {"tools": [dict(one) for one in tools]} if tools else {}
        try:
            try:
                return self._apply(turns, options)
            except Exception:
                if len(turns) < 2 or turns[0].get("role") != "system":
                    raise
                first = {**turns[1], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
                return self._apply([first, *turns[2:]], options)  # the template refuses system messages: say it in the first turn
        except Exception as error:
            raise EngineError(f"messages: the model's chat template refuses them: {str(error)[:300]}", 400, "invalid_messages") from error

    def _apply(self, turns: list[dict[str, Any]], options: dict[str, Any]) -> list[int]:
        return list(
            self.tokenizer.apply_chat_template(
                turns,
                chat_template=self.template,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                sanitize_control_tokens=True,
                date_string=FIXED_DATE,
                **options,
            )
        )


def _plain(content: Any) -> str:
    """The text of a message; the text parts of one in parts."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [part if isinstance(part, str) else part.get("text") for part in content]
    if any(part is None for part in parts):
        raise EngineError("messages: this model takes text only; a part of a message is something else.", 400, "invalid_messages")
    return "".join(map(str, parts))
