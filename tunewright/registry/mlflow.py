"""The registry told to MLflow's: versions, the aliases champion and challenger, parameters, metrics, lineage tags.

Our own files stay the truth: who serves reads them. MLflow gets a copy for its pages and for tools that ask it; exporting again adds what is
new and moves the aliases. A version becomes a run in the experiment `tunewright/MODEL` and a model version whose tag `tunewright.version`
is its number here. MLflow's telemetry is switched off, and nothing is asked but the address that was given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright.core.errors import EnvironmentProblem, RunError
from tunewright.core.files import read_json
from tunewright.core.optional import require
from tunewright.core.urls import masked
from tunewright.registry.state import ALIASES, Version
from tunewright.registry.store import Registry

NUMBER = "tunewright.version"
LONGEST = 6000  # characters of a parameter; MLflow refuses longer ones


def export(registry: Registry, tracking_uri: str) -> dict[str, Any]:
    """Bring the MLflow registry at `tracking_uri` up to date; {"model", "versions": {ours: theirs}, "new", "aliases"}.

    Raises `EnvironmentProblem` when MLflow is not installed or the address cannot be used.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
    mlflow = require("mlflow", "mlflow")
    state = registry.state()
    if tracking_uri.startswith("file:") or "://" not in tracking_uri:
        raise RunError(
            f"--tracking-uri {tracking_uri}: MLflow no longer keeps models in files. Give sqlite:///mlflow.db, or the address of a server."
        )
    try:
        client = mlflow.tracking.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        known = _known(client, state.model)
        new = [number for number in state.versions if number not in known]
        experiment = _experiment(client, f"tunewright/{state.model}") if new else ""
        for number in new:
            known[number] = _add(client, registry, experiment, number, state.versions[number])
        for number, one in state.versions.items():
            _tag(client, state.model, known[number], one)
        for alias in ALIASES:
            _alias(client, state.model, alias, known.get(state.aliases.get(alias, -1)))
    except mlflow.exceptions.MlflowException as error:
        words = str(error).split("\n")[0]
        raise EnvironmentProblem(f"MLflow at {masked(tracking_uri)} cannot take the registry: {words}") from error
    return {"model": state.model, "versions": {str(one): known[one] for one in state.versions}, "new": new, "aliases": dict(state.aliases)}


def _known(client: Any, model: str) -> dict[int, str]:
    """Versions that MLflow has already: our number -> its own. Makes the model when it is not there."""
    if not any(one.name == model for one in client.search_registered_models(filter_string=f"name = '{model}'")):
        client.create_registered_model(model, tags={"tunewright": "registry"})
    found: dict[int, str] = {}
    page: Any = None
    while True:
        page = client.search_model_versions(f"name = '{model}'", page_token=page.token if page else None)
        found |= {int(one.tags[NUMBER]): str(one.version) for one in page if NUMBER in one.tags}
        if not page.token:
            return found


def _experiment(client: Any, name: str) -> str:
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known else client.create_experiment(name))


def _add(client: Any, registry: Registry, experiment: str, number: int, version: Version) -> str:
    """A run with parameters and metrics, and the model version that points to our files."""
    folder = registry.directory.resolve() / "versions" / str(number)
    run = client.create_run(experiment, run_name=f"{registry.name}@{number}", tags={NUMBER: str(number)})
    recipe = read_json(folder / "recipe.json") if (folder / "recipe.json").is_file() else {}
    for key, value in _flat(recipe).items():
        client.log_param(run.info.run_id, key, str(value)[:LONGEST])
    for key, value in _metrics(folder, version).items():
        client.log_metric(run.info.run_id, key, value)
    client.set_terminated(run.info.run_id)
    made = client.create_model_version(
        registry.name, source=folder.as_uri(), run_id=run.info.run_id, tags={NUMBER: str(number)}, description=f"{version.verdict}"
    )
    return str(made.version)


def _tag(client: Any, model: str, theirs: str, version: Version) -> None:
    lineage = version.lineage
    data = lineage.get("data", {})
    tags = {
        "release_fingerprint": version.release_fingerprint,
        "verdict": version.verdict,
        "approved": version.approved,
        "state": version.state,
        "parent": version.parent,
        "run": version.run,
        "base_model": lineage.get("base_model", {}).get("name"),
        "base_fingerprint": lineage.get("base_model", {}).get("fingerprint"),
        "data_fingerprint": data.get("fingerprint"),
        "seal": lineage.get("seal", {}).get("sha256"),
        **{f"rows.{name}": count for name, count in data.get("rows", {}).items()},
        **{f"gate.{gate['name']}": gate.get("passed") for gate in version.gates},
    }
    for key, value in tags.items():
        if value is not None:
            client.set_model_version_tag(model, theirs, f"tunewright.{key}", str(value).lower() if isinstance(value, bool) else str(value))


def _alias(client: Any, model: str, alias: str, theirs: str | None) -> None:
    if theirs is not None:
        client.set_registered_model_alias(model, alias, theirs)
    elif alias in client.get_registered_model(model).aliases:
        client.delete_registered_model_alias(model, alias)


def _metrics(folder: Path, version: Version) -> dict[str, float]:
    told = dict(version.lineage.get("evaluation", {}).get("scores", {}))
    if (folder / "calibration.json").is_file():
        calibration = read_json(folder / "calibration.json")
        told |= {key: calibration[key] for key in ("temperature", "ece_before", "ece_after")}
    return {
        f"test.{key}" if key in ("macro_f1", "accuracy", "perplexity") else key: float(value)
        for key, value in told.items()
        if value is not None
    }


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """{"tune": {"seed": 17}} -> {"tune.seed": 17}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found
