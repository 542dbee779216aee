"""From a row's text to tokens: one format for training, scoring and serving.

    <|im_start|>user\nClassify the text. ...\n\nI love it<|im_end|>\n<|im_start|>assistant\n | positive<|im_end|>
    `---------------- prefix, shared -------'`--------- body -------------------------------'   `--- answer ---'

The canonical tokens are those of the model's own chat template, with what looks like a control token inside a row's text
kept as plain text. The instruction comes before the text, so that all rows share their beginning. A tokenizer
without a template gets `PLAIN`: "User: ... Assistant: ...".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from tunewright.core.errors import RecipeError
from tunewright.core.recipe import Recipe

PLAIN = (
    "{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
PROBES = ["apple", "Zoo", "7 a", "(a)", "'a'", '"Q"', "#x", "<b>", "-1", "é", "中文", "…", "@me", "$5", "*", "/", "🙂", "Я"]


@dataclass(frozen=True)
class Encoded:
    """Prompts as tokens: row i is `prefix + bodies[i]`. `truncated[i]`: its text was cut to fit."""

    prefix: list[int]
    bodies: list[list[int]]
    truncated: list[bool]


def default_instruction(labels: Sequence[str]) -> str:
    return f"Classify the text. Answer with exactly one of: {', '.join(labels)}."


class ChatFormat:
    """Turns texts into prompts and labels into answers, for one tokenizer and one task.

    `examples` are (text, label) pairs shown before the text, as earlier turns. Raises RecipeError if `max_length`
    leaves no room for a text.
    """

    def __init__(
        self,
        tokenizer: Any,
        instruction: str | None,
        system: str | None,
        max_length: int,
        *,
        labels: Sequence[str],
        examples: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.tokenizer, self.max_length, self.labels = tokenizer, max_length, list(labels)
        self.instruction = default_instruction(labels) if instruction is None else instruction
        self._control = re.compile("|".join(map(re.escape, tokenizer.added_tokens_encoder)) or r"(?!)")
        self.system, self.examples = system, [(self._harmless(text), label) for text, label in examples]
        self._template = None if tokenizer.chat_template else plain_template(tokenizer)
        self._system_role = self._verbatim = True
        self._look_at_template()
        prompts = self._tokens(PROBES)
        self.prefix = _shared(prompts)
        self._tail = _shared([ids[len(self.prefix) :][::-1] for ids in prompts])[::-1]
        probe = tokenizer(self.render(PROBES[0]), add_special_tokens=False, return_offsets_mapping=True)
        spans = probe["offset_mapping"]
        self._cut: int = spans[len(self.prefix) - 1][1] if self._verbatim else len(self._before)
        self.room = max_length - len(self.prefix) - len(self._tail) - max(len(self.answer(x)) for x in self.labels)
        if self.room < 1:
            fault = f"model.max_length: {max_length} tokens leave no room for a text: instruction, template, examples "
            fault += f"and the longest answer take {max_length - self.room}. Raise it, or shorten data.instruction."
            raise RecipeError("recipe", [fault])

    @classmethod
    def of(cls, recipe: Recipe, tokenizer: Any, labels: Sequence[str]) -> ChatFormat:
        """The format that `recipe` asks for."""
        model = recipe.model
        return cls(tokenizer, recipe.data.instruction, model.system, model.max_length, labels=labels)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Tokens of each prompt. A text too long for `max_length` loses its end; the template's end stays."""
        bodies, truncated = [], []
        for text, ids in zip(texts, self._tokens(texts), strict=True):
            body = ids[len(self.prefix) :]
            if ids[: len(self.prefix)] != self.prefix:  # the text's first characters fused with the prefix's last
                body = self._joint([self.render(self._harmless(text))[self._cut :]])[0]
            long = len(body) - len(self._tail) > self.room
            bodies.append(body[: self.room] + self._tail if long else body)
            truncated.append(long)
        return Encoded(self.prefix, bodies, truncated)

    def answer(self, label: str) -> list[int]:
        """Tokens of the answer with the end token."""
        ids = self.tokenizer(self._glue + label, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [*ids, self.end]

    def settings(self) -> dict[str, Any]:
        """What makes this format again: `ChatFormat(tokenizer, **settings)`."""
        examples = [list(pair) for pair in self.examples]
        named = {"instruction": self.instruction, "system": self.system, "max_length": self.max_length}
        return named | {"labels": self.labels, "examples": examples}

    def render(self, text: str) -> str:
        """The prompt as a string."""
        if self._verbatim:
            return f"{self._before}{text.strip()}{self._after}"
        return str(self._apply(self._messages(text.strip())))

    def _look_at_template(self) -> None:
        """Find what the template puts around a text and after an answer, and whether it takes texts as they are."""
        marker = "TEXT0TEXT"
        try:
            prompt = self._apply(self._messages(marker))
        except Exception:
            if self.system is None:
                raise
            self._system_role = False  # the template refuses system messages: say it in the first turn
            prompt = self._apply(self._messages(marker))
        self._before, self._after = prompt.rsplit(marker, 1)
        said = self._apply([*self._messages(marker), {"role": "assistant", "content": "ANSWER"}], prompt=False)
        self._glue, self.end = "", self.tokenizer.eos_token_id
        if said.startswith(prompt) and "ANSWER" in said:
            self._glue, rest = said[len(prompt) :].split("ANSWER", 1)
            first = self._joint([rest])[0][:1]
            if first and self.tokenizer.decode(first) in self.tokenizer.added_tokens_encoder:
                self.end = first[0]
        probe = "Is <b>7</b> it?"
        self._verbatim = self._joint([self.render(probe)]) == [self._by_template(probe)]

    def _messages(self, text: str) -> list[dict[str, str]]:
        turns = []
        for said, answer in [*((said.strip(), label) for said, label in self.examples), (text, None)]:
            turns.append({"role": "user", "content": f"{self.instruction}\n\n{said}"})
            if answer is not None:
                turns.append({"role": "assistant", "content": answer})
        if self.system is not None and self._system_role:
            turns.insert(0, {"role": "system", "content": self.system})
        elif self.system is not None:
            turns[0]["content"] = f"{self.system}\n\n{turns[0]['content']}"
        return turns

    def _apply(self, messages: list[dict[str, str]], prompt: bool = True, **options: Any) -> Any:
        """The template's output; those that print the date get a fixed one, or tokens would change overnight."""
        fixed = {"chat_template": self._template, "date_string": "26 Jul 2024", "tokenize": False}
        return self.tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, **(fixed | options))

    def _by_template(self, text: str) -> list[int]:
        """One prompt through transformers' own sanitiser: control tokens in texts stay text."""
        plainly = {"tokenize": True, "return_dict": False, "sanitize_control_tokens": True}
        return list(self._apply(self._messages(text.strip()), **plainly))

    def _joint(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return list(self.tokenizer(texts, add_special_tokens=False, split_special_tokens=False)["input_ids"])

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Whole prompts: ordinary rows in one batch, rows that hold control tokens one by one."""
        ordinary = [self._verbatim and not self._control.search(text) for text in texts]
        batch = iter(self._joint([self.render(text) for text, fine in zip(texts, ordinary, strict=True) if fine]))
        return [next(batch) if fine else self._by_template(text) for text, fine in zip(texts, ordinary, strict=True)]

    def _harmless(self, text: str) -> str:
        """Control tokens broken by a space."""
        return self._control.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def _shared(lists: list[list[int]]) -> list[int]:
    """The longest beginning that all lists share."""
    columns = zip(*lists, strict=False)
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]


def plain_template(tokenizer: Any) -> str:
    """`PLAIN`, with the beginning-of-text token where this tokenizer always writes one."""
    starts = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return ("{{ bos_token }}" if starts else "") + PLAIN
