"""A GGUF file and the Modelfile that makes an Ollama model of it: `ollama create NAME -f Modelfile`.

Ollama writes prompts by a template of Go, not by the chat template. The pieces of one are read off the other: what stands before and
after each turn. Composed again they must give the same prompts as the chat template for every kind of conversation, or the export is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.files import write_text
from tunewright.release.export import gguf
from tunewright.release.export.source import Options, Source

S, U, A, V = "SYSTEM0TURN", "USER0TURN", "ANSWER0TURN", "USER1TURN"
Turn = tuple[str, str]  # (role, content)


@dataclass(frozen=True)
class Pieces:
    """What stands around the turns. `lead` begins a chat without a system message; `default` is the template's own system message."""

    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    answer: str  # what makes the model speak
    lead: str
    default: str | None

    def render(self, turns: Sequence[Turn], system: str | None) -> str:
        """The prompt that Ollama makes of `turns` when the Modelfile says SYSTEM `system`: what the template below computes."""
        told = "\n\n".join(content for role, content in turns if role == "system") or system
        start = self.lead if not told else told.join(self.system)
        around = {"user": self.user, "assistant": self.assistant}
        return start + "".join(content.join(around[role]) for role, content in turns if role in around) + self.answer

    def template(self) -> str:
        """The same as a template of Go."""
        user, assistant = (_go(one[0]) + "{{ .Content }}" + _go(one[1]) for one in (self.user, self.assistant))
        start = (
            f"{{{{ if .System }}}}{_go(self.system[0])}{{{{ .System }}}}{_go(self.system[1])}{{{{ else }}}}{_go(self.lead)}{{{{ end }}}}"
        )
        turns = f'{{{{ if eq .Role "user" }}}}{user}{{{{ else if eq .Role "assistant" }}}}{assistant}{{{{ end }}}}'
        return f"{start}{{{{ range .Messages }}}}{turns}{{{{ end }}}}{_go(self.answer)}"


def write(source: Source, directory: Path, how: Options) -> list[str]:
    """Write the GGUF file and `Modelfile`. Raises `EnvironmentProblem` when the chat template cannot be said in Go."""
    pieces = pieces_of(source)
    gguf.write(source, directory, how)
    write_text(directory / "Modelfile", modelfile(source, pieces, f"./{source.name}-{how.quantise}.gguf"))
    return [f"ollama create {source.name} -f Modelfile && ollama run {source.name}"]


def modelfile(source: Source, pieces: Pieces, file: str) -> str:
    prompt = source.manifest["prompt"]
    system = pieces.default if prompt["system"] is None else prompt["system"]
    end = source.tokenizer.decode([prompt["end_token_id"]])
    lines = [f"FROM {file}", f"TEMPLATE {_quoted(pieces.template())}"]
    lines += [f"SYSTEM {_quoted(system)}"] if system else []
    lines += [f'PARAMETER stop "{end}"', "PARAMETER temperature 0", f"PARAMETER num_ctx {max(2048, prompt['max_length'])}"]
    longest = 1 + max(len(ids) for ids in prompt["answers"].values())
    return "\n".join([*lines, f"PARAMETER num_predict {max(16, longest)}", ""])


def pieces_of(source: Source) -> Pieces:
    """Read the pieces off the chat template. Raises `EnvironmentProblem` when it does more than put something around each turn."""

    def rendered(turns: Sequence[Turn], speak: bool = True) -> str:
        told = [{"role": role, "content": content} for role, content in turns]
        return str(source.tokenizer.apply_chat_template(told, chat_template=source.template, tokenize=False, add_generation_prompt=speak))

    try:
        pieces = _read(rendered)
        for turns in _conversations():
            if pieces.render(turns, pieces.default) != rendered(turns):
                raise ValueError(f"a chat of {', '.join(role for role, _ in turns)} comes out otherwise")
    except Exception as error:
        raise EnvironmentProblem(
            f"The chat template of {source.name} cannot be written as one of Ollama's ({error}). Use --format gguf: llama-server --jinja takes it "
            "as it is."
        ) from error
    return pieces


def _read(rendered: Any) -> Pieces:
    whole = rendered([("system", S), ("user", U), ("assistant", A), ("user", V)])
    before, rest = _cut(whole, S)
    system_to_user, rest = _cut(rest, U)
    user_to_answer, rest = _cut(rest, A)
    answer_to_user, last = _cut(rest, V)
    after_user = _cut(rendered([("system", S), ("user", U)], speak=False), U)[1]
    after_answer = _cut(rendered([("system", S), ("user", U), ("assistant", A)], speak=False), A)[1]
    before_user = _without(answer_to_user, after_answer, front=True)
    after_system = _without(system_to_user, before_user, front=False)
    lead = _without(_cut(rendered([("user", U)]), U)[0], before_user, front=False)
    own = lead.startswith(before) and lead.endswith(after_system) and len(lead) > len(before) + len(after_system)
    return Pieces(
        system=(before, after_system),
        user=(before_user, after_user),
        assistant=(_without(user_to_answer, after_user, front=True), after_answer),
        answer=_without(last, after_user, front=True),
        lead=lead,
        default=lead[len(before) : len(lead) - len(after_system)] if own else None,
    )


def _conversations() -> list[list[Turn]]:
    one, two = ("user", "How is it?\nTell me."), ("assistant", "fine")
    system = ("system", "Be brief.")
    return [[one], [system, one], [one, two, one], [system, one, two, one, two, one]]


def _cut(text: str, marker: str) -> tuple[str, str]:
    before, found, after = text.partition(marker)
    if not found:
        raise ValueError("a turn is left out or changed")
    return before, after


def _without(text: str, part: str, front: bool) -> str:
    if not (text.startswith(part) if front else text.endswith(part)):
        raise ValueError("what stands around a turn depends on its neighbours")
    return text[len(part) :] if front else text[: len(text) - len(part)]


def _go(text: str) -> str:
    """Literal text inside a template of Go."""
    return text.replace("{{", '{{ "{{" }}')


def _quoted(text: str) -> str:
    if '"""' in text:
        raise EnvironmentProblem(
            'A Modelfile cannot hold three quotation marks in a row ("""), but the chat template or system message does.'
        )
    return f'"""{text}"""'
