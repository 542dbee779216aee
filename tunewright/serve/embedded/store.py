"""Which models are in memory, and under which names: reads releases, shares what they share, forgets what nobody needs.

Reading happens outside the worker thread, so that others go on answering; only hanging an adapter on its base happens inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tunewright.core.errors import EnvironmentProblem, RunError
from tunewright.core.files import fingerprint, read_json, sha256_file
from tunewright.models.chat import ChatFormat
from tunewright.models.load import model_directory, model_fingerprint, pretrained
from tunewright.serve.embedded.adapters import CONFIG, WEIGHTS, is_plain_lora
from tunewright.serve.embedded.batch import Batch
from tunewright.serve.embedded.quantise import quantised
from tunewright.serve.embedded.served import Served
from tunewright.serve.embedded.weights import Place, Weights, read_merged, read_model, read_soft

_numbers = count()


@dataclass
class Home:
    """Weights in memory, the rows on them, and the names that need them."""

    weights: Weights
    batch: Batch
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What a directory holds: `base` is the model to have in memory; `adapter` what is added to it, if anything."""

    directory: Path
    base: Path
    key: str
    adapter: Path | None = None
    manifest: dict[str, Any] | None = None


def look(directory: Path) -> Found:
    """What is in `directory`: a release or a base model. Raises `RunError` or `EnvironmentProblem` when it cannot be served."""
    if not (directory / "manifest.json").is_file():
        if (directory / CONFIG).is_file():
            raise RunError(f"{directory} is an adapter without manifest.json. Serve a release: `tunewright release` packs one.")
        base = model_directory(str(directory))
        return Found(directory, base, model_fingerprint(base))
    manifest = read_json(directory / "manifest.json")
    if manifest["kind"] != "adapter":
        return Found(directory, directory, model_fingerprint(directory), None, manifest)
    told = manifest["base_model"]
    here = Path(told["path"]) if told.get("path") else None
    base = here if here is not None and (here / "config.json").is_file() else model_directory(told["name"])
    if (key := model_fingerprint(base)) != told["fingerprint"]:
        raise RunError(
            f"{directory}: the release was trained on {told['name']} with fingerprint {told['fingerprint']}, but {base} has {key}. "
            "Put the same base model there, or release again."
        )
    if is_plain_lora(directory) or read_json(directory / CONFIG)["peft_type"] == "PROMPT_TUNING":
        return Found(directory, base, key, directory, manifest)
    return Found(directory, base, fingerprint([key, sha256_file(directory / WEIGHTS)]), directory, manifest)


def alone(found: Found) -> bool:
    """Whether the base is in memory as it is; False when the adapter is merged into it."""
    return found.adapter is None or found.key == _shared_key(found)


def read_weights(found: Found, place: Place, key: str, keep: Sequence[str] | None = None) -> Weights:
    """The model that `found` needs in memory, checked on a probe; with int8 layers but for those in `keep`, unless that is None."""
    model = read_model(found.base, place) if alone(found) else read_merged(found.base, found.directory, place)
    weights = Weights(key, model, place)
    weights.check()  # before rounding, which makes large differences of tiny ones
    if keep is not None:
        quantised(model, keep)
    return weights


def describe(name: str, found: Found, weights: Weights, context: int | None) -> tuple[Served, Callable[[], None]]:
    """What is served as `name`, and what the worker has to do before it is."""
    tokenizer = _tokenizer(found)
    served = Served(name, weights, tokenizer, weights.key, _ends(found, tokenizer), min(context or weights.context, weights.context))
    tokens = found.directory / "tokens.json"
    if found.manifest is not None and tokens.is_file():
        served.format = ChatFormat(tokenizer, **read_json(tokens)["format"])
    if found.adapter is None or not alone(found):
        return served, lambda: None
    served.mark = fingerprint([weights.key, sha256_file(found.adapter / WEIGHTS)])
    if is_plain_lora(found.adapter):
        pairs, key = weights.adapters.read(found.adapter, weights.place.dtype, weights.place.device), f"{name}:{next(_numbers)}"
        served.adapter = key
        return served, lambda: weights.adapters.add(key, pairs)
    served.behind = read_soft(weights.model, found.adapter)
    virtual = served.behind.get_prompt(batch_size=1)[0].detach()

    def hang() -> None:
        served.soft = weights.add_soft(virtual)

    return served, hang


def take_off(served: Served) -> None:
    """Undo what `describe` made the worker do."""
    if served.adapter is not None:
        served.weights.adapters.remove(served.adapter)
    served.weights.remove_soft(served.soft)


def _shared_key(found: Found) -> str:
    return str((found.manifest or {}).get("base_model", {}).get("fingerprint"))


def _tokenizer(found: Found) -> Any:
    for directory in (found.directory, found.base):
        if any((directory / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
            return pretrained("AutoTokenizer", directory)
    raise EnvironmentProblem(f"{found.directory} has no tokenizer, and neither has its base model {found.base}.")


def _ends(found: Found, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's, those of generation_config.json, the release's."""
    ends = {tokenizer.eos_token_id, (found.manifest or {}).get("prompt", {}).get("end_token_id")}
    for directory in (found.directory, found.base):
        if (directory / "generation_config.json").is_file():
            told = read_json(directory / "generation_config.json").get("eos_token_id")
            ends |= set(told) if isinstance(told, list) else {told}
    return frozenset(one for one in ends if one is not None)
