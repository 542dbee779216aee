"""Into another language and back: the words change, the meaning mostly stays."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
from pydantic import Field, model_validator

from tunewright.core.parts import Look
from tunewright.prepare.augment.ask import key_from
from tunewright.prepare.augment.methods._prompted import Prompted, written

NAMES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "en": "English", "es": "Spanish", "fi": "Finnish", "fr": "French",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "sv": "Swedish",
    "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip


class BackTranslation(Prompted):
    """The text translated and translated back, by a translator (LibreTranslate), a server or the base model. Prompt: {text}, {language}."""

    through: Literal["translator", "endpoint", "model"] = Field(  # type: ignore[assignment]
        "endpoint", description="translator: a LibreTranslate server; endpoint: an OpenAI-compatible one; model: the run's own base model"
    )
    language: str = Field("en", pattern="^[a-z]{2}$", description="of the rows")
    pivots: list[str] = Field(["fr"], min_length=1, description="languages to go through; the n-th new text of a row takes the n-th")

    @model_validator(mode="after")
    def _pivots_are_foreign(self) -> BackTranslation:
        if self.language in self.pivots:
            raise ValueError(f"pivots must be other languages than the rows' own ({self.language})")
        return self

    def write(self, rows: pl.DataFrame, number: int, look: Look, seed: int) -> pl.DataFrame:
        texts = [text for text in rows["text"].fill_null("") for _ in range(number)]
        pivots = [self.pivots[turn % len(self.pivots)] for _ in range(len(rows)) for turn in range(number)]
        there = self._translated(list(texts), [self.language] * len(texts), pivots, look, seed)
        done = [index for index, text in enumerate(there) if text is not None]
        back: list[str | None] = [None] * len(texts)
        found = self._translated([there[i] or "" for i in done], [pivots[i] for i in done], [self.language] * len(done), look, seed)
        for index, text in zip(done, found, strict=True):
            back[index] = text
        return written(rows, number, back)

    def _translated(self, texts: list[str], source: list[str], target: list[str], look: Look, seed: int) -> list[str | None]:
        if self.through != "translator":
            names = [NAMES.get(code, code) for code in target]
            return self.answers(
                [self.asked("translate", text=text, language=name) for text, name in zip(texts, names, strict=True)], look, seed
            )
        extra: dict[str, Any] = {"format": "text"} | ({"api_key": key_from(self.api_key_env)} if self.api_key_env else {})
        asked = [{"q": text, "source": one, "target": other} | extra for text, one, other in zip(texts, source, target, strict=True)]
        look.report.say(f"          {self.part_name()}: {len(asked):,} texts to {self.base_url}")
        return self.endpoint(look).ask("/translate", asked, lambda answer: answer["translatedText"], look.report, self.part_name())
