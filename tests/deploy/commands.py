"""Every command line of Tunewright that the files in `deploy/` and `examples/schedulers/` would run, with where it stands."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY, SCHEDULERS = ROOT / "deploy", ROOT / "examples" / "schedulers"


def documents(path: Path) -> list[Any]:
    """The YAML documents of a file."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def found() -> dict[str, list[str]]:
    """{where: arguments of tunewright}."""
    return {**_dockerfile(), **_compose(), **_systemd(), **_kubernetes(), **_schedulers(), **_guide()}


def _guide() -> dict[str, list[str]]:
    """Commands on the page for operators that reach Tunewright through something else: sudo, docker, kubectl."""
    made = {}
    for number, line in enumerate((ROOT / "docs/guides/operations.md").read_text().splitlines(), start=1):
        inner = re.search(r"(?:--no-deps serve|sudo -u tunewright \S+/tunewright|-- tunewright) (.*)", line)
        if inner:
            made[f"operations.md:{number}"] = shlex.split(inner[1], comments=True)
    assert len(made) >= 6
    return made


def _dockerfile() -> dict[str, list[str]]:
    told = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    return {"Dockerfile": json.loads(told[-1])}


def _compose() -> dict[str, list[str]]:
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    ours = {name: one["command"] for name, one in services.items() if one.get("image", "").startswith("tunewright")}
    return {f"compose {name}": [str(word) for word in command] for name, command in ours.items()}


def _systemd() -> dict[str, list[str]]:
    lines = {path.name: re.findall(r"^ExecStart=(.*)$", path.read_text(), flags=re.MULTILINE) for path in DEPLOY.glob("systemd/*.service")}
    words = {name: shlex.split(told[0]) for name, told in lines.items()}
    assert {one[0] for one in words.values()} == {"/opt/tunewright/bin/tunewright"}
    return {f"systemd {name}": one[1:] for name, one in words.items()}


def _kubernetes() -> dict[str, list[str]]:
    ours = {name: one for name, one in containers().items() if not name.startswith("Pod ")}
    return {f"kubernetes {name}": _arguments(container) for name, container in ours.items()}


def _arguments(container: dict[str, Any]) -> list[str]:
    """Arguments of the image's entry point, or of the first command of a shell's line."""
    if "command" not in container:
        return [str(word) for word in container["args"]]
    assert container["command"] == ["sh", "-c"]
    program, *rest = shlex.split(container["args"][0].split(";")[0])
    assert program == "tunewright"
    return rest


def containers() -> dict[str, Any]:
    """{"Deployment tunewright": its container} of each workload in deploy/kubernetes."""
    made = {}
    for path in sorted(DEPLOY.glob("kubernetes/*.yaml")):
        for one in documents(path):
            pod = pod_of(one)
            if pod is not None:
                (made[f"{one['kind']} {one['metadata']['name']}"],) = pod["spec"]["containers"]
    return made


def pod_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """The pod that a manifest is, or the template of those that it makes."""
    spec = document.get("spec", {})
    pods = {"Pod": document, "Deployment": spec.get("template"), "CronJob": spec.get("jobTemplate", {}).get("spec", {}).get("template")}
    pod: dict[str, Any] | None = pods.get(document["kind"])
    return pod


def _schedulers() -> dict[str, list[str]]:
    """Calls such as run("monitor", MODEL); a name stands for the model."""
    made = {}
    for path in sorted(SCHEDULERS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("run", "tunewright") and node.args:
                words = [one.value if isinstance(one, ast.Constant) else "reviews" for one in node.args if not isinstance(one, ast.Starred)]
                made[f"{path.name}:{node.lineno}"] = [*map(str, words), "--json"]
    return made
