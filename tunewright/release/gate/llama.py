"""A GGUF file in real llama.cpp: its server, from the Python package xllamacpp, in a process of its own.

llama.cpp makes the prompt by the chat template in the file and cuts it by the tokenizer in the file; both are compared with training.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.score import Floats
from tunewright.release.gate.http import Client
from tunewright.release.gate.probes import Probes
from tunewright.release.parity_script import prompt_tokens

SCRIPT = Path(__file__).with_name("llama_server.py")
LIKELIEST = 40  # alternatives asked for at first; a label beyond them costs a longer answer


def available() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


class LlamaArm:
    """`file`, served by llama.cpp on loopback until `close`."""

    artefact = ""
    normalised = False
    reads_controls = True

    def __init__(self, name: str, file: Path, probes: Probes, tokenizer: Any, context: int) -> None:
        self.name, self._probes, self._tokenizer = name, probes, tokenizer
        self._size = len(tokenizer)
        self._letter = tokenizer("a", add_special_tokens=False)["input_ids"][0]
        command = [sys.executable, str(SCRIPT), str(file), str(context)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        address = next((line[8:].strip() for line in self._process.stdout if line.startswith("ADDRESS ")), None)
        if address is None:
            assert self._process.stderr is not None
            words = self._process.stderr.read().strip().splitlines()[-3:]
            self.close()
            raise EnvironmentProblem(f"llama.cpp cannot load {file}: {' '.join(words) or 'it ended without a word'}.")
        self._client = Client(address)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        found = []
        for text in texts:
            rendered = self._client.ask("/apply-template", {"messages": self._turns(text)})["prompt"]
            found.append(self._client.ask("/tokenize", {"content": rendered, "parse_special": True, "add_special": True})["tokens"])
        return found

    def greedy(self, texts: Sequence[str], tokens: int) -> list[str]:
        found = []
        for text in texts:
            body = {"messages": self._turns(text), "max_tokens": tokens, "temperature": 0}
            found.append(self._client.ask("/v1/chat/completions", body)["choices"][0]["message"]["content"].strip())
        return found

    def scores(self, texts: Sequence[str]) -> Floats:
        answers = list(self._probes.prompt["answers"].values())
        found = np.zeros((len(texts), len(answers)))
        for row, text in enumerate(texts):
            start = prompt_tokens(self._tokenizer, self._probes.prompt, text)
            seen: dict[tuple[int, ...], dict[int, float]] = {}
            for column, label in enumerate(answers):
                for place, token in enumerate(label):
                    before = tuple(label[:place])
                    if token not in seen.get(before, {}):
                        seen[before] = self._next([*start, *before], LIKELIEST)
                    if token not in seen[before]:
                        seen[before] = self._next([*start, *before], self._size)
                    found[row, column] += seen[before][token]
        return found

    def close(self) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()  # it ends when nobody holds this
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _turns(self, text: str) -> list[dict[str, str]]:
        prompt = self._probes.prompt
        turns = [{"role": "user", "content": prompt["user"].replace("{text}", text.strip())}]
        return turns if prompt["system"] is None else [{"role": "system", "content": prompt["system"]}, *turns]

    def _next(self, ids: list[int], alternatives: int) -> dict[int, float]:
        """Log-probabilities of the likeliest next tokens. An end token would be told without any, so the one that is taken is a letter."""
        body = {"prompt": ids, "n_predict": 1, "n_probs": alternatives, "temperature": 0, "logit_bias": [[self._letter, 1e6]]}
        told = self._client.ask("/completion", body)["completion_probabilities"][0]["top_logprobs"]
        return {int(one["id"]): float(one["logprob"]) for one in told}
