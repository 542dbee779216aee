"""A served model, asked through its public interface: any OpenAI-compatible endpoint.

Prompts go through its own chat template (`/v1/chat/completions`), which tells how many tokens they had; likelihoods of labels come
from `/v1/classify` where there is one (Tunewright's own server), else from `/v1/completions` with `echo` and `logprobs` (vLLM).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunewright.core.errors import RunError
from tunewright.core.score import Floats
from tunewright.release.gate.http import Client, Refused
from tunewright.release.gate.probes import Probes
from tunewright.release.parity_script import prompt_tokens


class EndpointArm:
    """The model `model` at `url`."""

    reads_controls = True

    def __init__(self, url: str, model: str, probes: Probes, tokenizer: Any, key: str | None = None) -> None:
        self.name, self.artefact = "endpoint", f"{model} at {url}"
        self._client, self._model, self._probes, self._tokenizer = Client(url, key), model, probes, tokenizer
        self._known(model)
        self.normalised = self._classifies()

    def tokens(self, texts: Sequence[str]) -> list[list[int]] | list[int]:
        return [int(self._chat(text, 1)["usage"]["prompt_tokens"]) for text in texts]

    def greedy(self, texts: Sequence[str], tokens: int) -> list[str]:
        return [str(self._chat(text, tokens)["choices"][0]["message"]["content"] or "").strip() for text in texts]

    def scores(self, texts: Sequence[str]) -> Floats:
        return self._classified(texts) if self.normalised else self._echoed(texts)

    def close(self) -> None:
        """Nothing is held."""

    def _known(self, model: str) -> None:
        names = [str(one["id"]) for one in self._client.ask("/v1/models")["data"]]
        if model not in names:
            raise RunError(f"{self._client.url} serves no model {model!r}, but: {', '.join(names)}. Give one of these with --model.")

    def _classifies(self) -> bool:
        try:
            told = self._client.ask("/v1/classify", {"model": self._model, "input": self._probes.texts[0]})
        except Refused as error:
            if error.status in (404, 405):
                return False
            raise
        labels = set(told["data"][0]["probabilities"])
        if labels != set(self._probes.labels):
            raise RunError(
                f"{self._client.url} classifies into {', '.join(sorted(labels))}, but the release into {', '.join(self._probes.labels)}."
            )
        return True

    def _chat(self, text: str, tokens: int) -> dict[str, Any]:
        prompt = self._probes.prompt
        turns = [{"role": "user", "content": prompt["user"].replace("{text}", text.strip())}]
        if prompt["system"] is not None:
            turns.insert(0, {"role": "system", "content": prompt["system"]})
        body = {"model": self._model, "messages": turns, "max_tokens": tokens, "temperature": 0}
        return dict(self._client.ask("/v1/chat/completions", body))

    def _classified(self, texts: Sequence[str]) -> Floats:
        """Log-likelihoods up to a constant: calibrated probabilities, with the temperature of the release taken out again."""
        found, told = np.empty((len(texts), len(self._probes.labels))), self._probes.calibration
        for row, text in enumerate(texts):
            shares = self._client.ask("/v1/classify", {"model": self._model, "input": text})["data"][0]["probabilities"]
            found[row] = np.log(np.maximum([shares[label] for label in self._probes.labels], 1e-300))
        prior = 0.0 if told["prior"] is None else np.array(told["prior"])
        return np.asarray(found * told["temperature"] + prior)

    def _echoed(self, texts: Sequence[str]) -> Floats:
        answers = list(self._probes.prompt["answers"].values())
        found = np.empty((len(texts), len(answers)))
        for row, text in enumerate(texts):
            start = prompt_tokens(self._tokenizer, self._probes.prompt, text)
            for column, label in enumerate(answers):
                body = {"model": self._model, "prompt": start + label, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
                told = self._client.ask("/v1/completions", body)["choices"][0].get("logprobs")
                if not told or len(told["token_logprobs"]) < len(start) + len(label):
                    raise RunError(
                        f"{self._client.url} has no /v1/classify, and its /v1/completions does not echo log-probabilities of a prompt, so likelihoods "
                        "cannot be compared. Ask a server that does (Tunewright's, vLLM)."
                    )
                found[row, column] = sum(told["token_logprobs"][len(start) : len(start) + len(label)])
        return found
