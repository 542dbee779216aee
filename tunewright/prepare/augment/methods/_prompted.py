"""What the methods that ask a model share: where to ask, what it costs, and how an answer becomes a text."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, ClassVar, Literal

import polars as pl
import yaml
from pydantic import Field, model_validator

from tunewright.core.parts import Augmenter, Look
from tunewright.prepare.augment.accept import DATA
from tunewright.prepare.augment.ask import Endpoint, key_from, message_of
from tunewright.prepare.augment.methods._writing import WRITTEN

LETTERS_A_TOKEN = 4  # about, in English; for estimates


class Prompted(Augmenter):
    """A method that asks a model."""

    by_model: ClassVar[bool] = True

    through: Literal["endpoint", "model"] = Field(
        "endpoint", description="endpoint: an OpenAI-compatible server; model: the run's own base model"
    )
    base_url: str = Field("http://127.0.0.1:8000/v1", pattern="^https?://", description="of the server")
    model: str | None = Field(None, description="name of the model on the server; needed for endpoint")
    api_key_env: str | None = Field(None, description="environment variable with the key, for example OPENAI_API_KEY")
    prompt: str | None = Field(None, description="what is asked, instead of the text in augment/data/prompts.yaml")
    temperature: float = Field(0.7, ge=0, le=2, description="0 always gives the likeliest words")
    max_new_tokens: int = Field(256, ge=1, description="longest answer")
    timeout: float = Field(60.0, gt=0, description="seconds for one answer")
    retries: int = Field(3, ge=0, description="when the server is busy or away; the pause doubles from one second")
    at_once: int = Field(4, ge=1, le=64, description="questions at the same time")
    price: list[float] = Field([], description="of a million tokens read, and of a million written: shown as an estimate before asking")

    @model_validator(mode="after")
    def _names_a_model(self) -> Prompted:
        if self.through == "endpoint" and self.model is None:
            raise ValueError("model must name a model of the server, or through must be model (the run's own base model)")
        if len(self.price) not in (0, 2):
            raise ValueError("price must be two numbers: of a million tokens read, and of a million tokens written")
        return self

    def answers(self, questions: list[str], look: Look, seed: int) -> list[str | None]:
        """What the model says to each question, cleaned of quotes and introductions."""
        look.report.say(f"          {self.part_name()}: {self.estimate(questions)}")
        if self.through == "model":
            said: list[str | None] = list(self._by_model(questions, look, seed))
        else:
            settings = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_new_tokens, "seed": seed}
            asked = [settings | {"messages": [{"role": "user", "content": one}]} for one in questions]
            said = self.endpoint(look).ask("/chat/completions", asked, message_of, look.report, self.part_name())
        return [None if one is None else cleaned(one) for one in said]

    def estimate(self, questions: list[str]) -> str:
        """How many questions, tokens and, with prices, how much money."""
        read, written = (
            sum(map(len, questions)) // LETTERS_A_TOKEN,
            sum(min(self.max_new_tokens * 4, len(one)) for one in questions) // LETTERS_A_TOKEN,
        )
        cost = f", about {(read * self.price[0] + written * self.price[1]) / 1e6:.2f} at the price given" if self.price else ""
        where = f"{self.base_url} ({self.model})" if self.through == "endpoint" else "the base model"
        return f"{len(questions):,} questions to {where}, about {read:,} tokens to read and {written:,} to write{cost}"

    def endpoint(self, look: Look) -> Endpoint:
        kept = look.directory / "cache" / "answers.jsonl" if look.directory else None
        return Endpoint(self.base_url, key_from(self.api_key_env), self.timeout, self.retries, self.at_once, kept=kept)

    def _by_model(self, questions: list[str], look: Look, seed: int) -> list[str]:
        from tunewright.models.generate import generate
        from tunewright.models.load import load_base

        base = load_base(look.recipe.model, look.report)
        with look.report.task(self.part_name(), len(questions)) as task:
            return generate(base, questions, self.max_new_tokens, self.temperature, seed, task)

    def asked(self, name: str, **values: str) -> str:
        """The prompt `name` with its places filled. A text may hold braces of its own."""
        form = self.prompt or prompts()[name]
        return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), form).strip()


def written(rows: pl.DataFrame, number: int, texts: list[str | None]) -> pl.DataFrame:
    """Texts in the order of rows, `number` for each, as the step wants them."""
    parents = [row for row in rows["row_id"] for _ in range(number)]
    return pl.DataFrame({"parent_id": parents, "text": texts}, schema=WRITTEN)


def cleaned(answer: str) -> str:
    """An answer without an introduction ("Text:", "Here is ...:"), a note about itself, or quotes around all of it."""
    answer = re.sub(r"(?is)^\s*(?:here (?:is|are)[^\n:]{0,80}|text|paraphrase|translation|answer|new text)\s*:\s*", "", answer).strip()
    answer = re.split(r"\n\s*(?:\(?Note\b|Explanation:|I (?:kept|changed|hope)\b)", answer)[0].strip()
    quoted = re.fullmatch(r"(?s)[\"“«'](.*)[\"”»']", answer)
    return quoted[1].strip() if quoted and not re.search(r"[\"“”]", quoted[1]) else answer


@cache
def prompts() -> dict[str, Any]:
    return dict(yaml.safe_load((DATA / "prompts.yaml").read_text(encoding="utf-8")))
