"""Ask a model or a translator: many short questions, some at a time, each at most once.

    POST {base_url}/chat/completions   {"model": ..., "messages": [{"role": "user", "content": "Write the text below ..."}]}
      -> {"choices": [{"message": {"content": "..."}}]}                                            any OpenAI-compatible server
    POST {base_url}/translate          {"q": "...", "source": "en", "target": "fr", "format": "text"} -> {"translatedText": "..."}

Answers are kept in the run directory under a hash of the question: a run that was interrupted, or is made again, pays for no question
twice. Keys come from the environment and are never written anywhere.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.files import append_jsonl, fingerprint, read_jsonl
from tunewright.core.progress import Report

AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)
LONGEST_WAIT = 60.0
MOST_BYTES = 1 << 22


@dataclass
class Endpoint:
    """A server that answers JSON with JSON."""

    base_url: str
    key: str | None = None
    timeout: float = 60.0
    retries: int = 3
    at_once: int = 4
    pause: float = 1.0  # seconds before the first retry; doubled each time
    kept: Path | None = None  # where answers are remembered
    _known: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise EnvironmentProblem(f"base_url must begin with http:// or https://, but it is {self.base_url!r}.")
        if self.kept is not None and self.kept.exists():
            self._known = {one["key"]: one["answer"] for one in read_jsonl(self.kept)}

    def ask(
        self, path: str, questions: Sequence[dict[str, Any]], pick: Callable[[Any], Any], report: Report, what: str
    ) -> list[str | None]:
        """The answer to each question, or None where the server gave none after all retries.

        Raises EnvironmentProblem when the server cannot be reached, or says that the question itself is wrong.
        """
        keys = [fingerprint([self.base_url, path, question, index]) for index, question in enumerate(questions)]
        open_ = [index for index, key in enumerate(keys) if key not in self._known]
        answers: list[str | None] = [self._known.get(key) for key in keys]
        with report.task(what, len(open_)) as task, ThreadPoolExecutor(self.at_once) as pool:
            waiting = {pool.submit(self._one, path, questions[index], pick): index for index in open_}
            try:
                for done in as_completed(waiting):
                    index = waiting[done]
                    answers[index] = done.result()
                    self._keep(keys[index], answers[index])
                    task.advance(1)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return answers

    def _keep(self, key: str, answer: str | None) -> None:
        if answer is not None and self.kept is not None:
            with self._lock:
                append_jsonl(self.kept, {"key": key, "answer": answer})

    def _one(self, path: str, question: dict[str, Any], pick: Callable[[Any], Any]) -> str | None:
        """One question with its retries."""
        pause, problem = self.pause, ""
        for attempt in range(self.retries + 1):
            try:
                answer = pick(self._post(path, question))
                return answer.strip() if isinstance(answer, str) and answer.strip() else None
            except urllib.error.HTTPError as error:
                said = error.read(400).decode(errors="replace").strip()
                problem = f"HTTP {error.code}: {self._without_key(said)}"
                if error.code not in AGAIN:
                    raise EnvironmentProblem(
                        f"{self.base_url} refuses the question ({problem}). Check base_url, model and the key."
                    ) from error
                wait = _seconds(error.headers.get("Retry-After"))
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                problem, wait = str(getattr(error, "reason", error)), None
            except (ValueError, KeyError, IndexError, TypeError):
                return None  # an answer that is not of the agreed form; the row is counted as no_answer
            if attempt < self.retries:
                time.sleep(min(LONGEST_WAIT, wait if wait is not None else pause))
                pause *= 2
        if problem.startswith("HTTP") or "timed out" in problem:
            return None
        raise EnvironmentProblem(f"{self.base_url} cannot be reached ({problem}). Is the server running? Answers so far are kept.")

    def _post(self, path: str, question: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "User-Agent": "tunewright"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        request = urllib.request.Request(self.base_url.rstrip("/") + path, json.dumps(question).encode(), headers)  # noqa: S310  (http or https)
        with urllib.request.urlopen(request, timeout=self.timeout) as response:  # noqa: S310
            return json.loads(response.read(MOST_BYTES))

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def key_from(variable: str | None) -> str | None:
    """The key in an environment variable; None when none is named. Raises EnvironmentProblem when it is empty."""
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise EnvironmentProblem(f"the environment variable {variable} (api_key_env) is not set. Set it to the key of the server.")
    return os.environ[variable]


def message_of(answer: Any) -> Any:
    """The text in an OpenAI answer."""
    return answer["choices"][0]["message"]["content"]


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None  # a date: the usual pause will do
