"""The image and the compose file: linted, resolved by the real `docker compose`, and what they promise of users, secrets and files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import commands
from tests.deploy.commands import DEPLOY, ROOT

BIN = Path(sys.executable).parent
SECRETS = {"PGPASSWORD": "not-a-secret", "GRAFANA_PASSWORD": "nor-this"}


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`docker compose` on our file; `config` needs no engine."""
    clean = {name: value for name, value in os.environ.items() if name not in {*SECRETS, "TUNEWRIGHT_API_KEY"}}
    return subprocess.run(
        [BIN / "docker-compose", "-f", DEPLOY / "compose.yaml", "--env-file", "/dev/null", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    done = compose("--profile", "retrain", "config", "--format", "json", **SECRETS)
    assert (done.returncode, done.stderr) == (0, "")
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_hadolint_finds_nothing_in_the_dockerfile():
    done = subprocess.run([BIN / "hadolint", "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_nobody_in_particular_and_says_when_it_is_ready():
    text = (DEPLOY / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER (\d+):(\d+)$", last, flags=re.MULTILINE)
    assert "127.0.0.1:8000/ready" in last
    assert all(
        f"/var/lib/tunewright/{one}" in re.findall(r"^VOLUME (.*)$", last, flags=re.MULTILINE)[0]
        for one in ("registry", "runs", "traffic", "cache")
    )
    assert not re.search(r"(?i)(password|secret|api_?key)\s*=", text)
    assert set(re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)) == {"python:3.11-slim-bookworm"}


def test_what_the_dockerfile_copies_is_what_the_builder_gets():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    wanted = {word.removeprefix("./") for line in copies for word in line.split()}
    assert wanted == kept
    assert all((ROOT / one).exists() for one in wanted)
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_compose_refuses_to_start_without_its_secrets():
    done = compose("config", "-q")
    assert done.returncode != 0
    assert "PGPASSWORD is missing a value: put it into deploy/.env" in done.stderr
    example = dict(line.split("=", 1) for line in (DEPLOY / "env.example").read_text().splitlines() if "=" in line and line[0] != "#")
    assert example == dict.fromkeys([*SECRETS, "TUNEWRIGHT_API_KEY"], "")  # the last may stay empty until keys are made


def test_only_loopback_is_published_and_nothing_may_gain_rights(resolved: dict[str, Any]):
    services = resolved["services"]
    assert set(services) == {"serve", "monitor", "retrain", "postgres", "prometheus", "grafana"}
    ports = [port for one in services.values() for port in one.get("ports", [])]
    assert {(port["host_ip"], port["published"]) for port in ports} == {("127.0.0.1", "8000"), ("127.0.0.1", "3000")}
    assert all(one["security_opt"] == ["no-new-privileges:true"] for one in services.values())
    assert all(
        services[name]["read_only"] and services[name]["cap_drop"] == ["ALL"] for name in ("serve", "monitor", "retrain", "prometheus")
    )
    assert all(
        ":" in one["image"] and "latest" not in one["image"]
        for name, one in services.items()
        if name not in ("serve", "monitor", "retrain")
    )


def test_server_monitor_and_retraining_share_registry_and_traffic(resolved: dict[str, Any]):
    serve, monitor, retrain = (resolved["services"][name] for name in ("serve", "monitor", "retrain"))
    assert serve["volumes"] == monitor["volumes"] == retrain["volumes"]
    assert {one["target"] for one in serve["volumes"]} >= {"/var/lib/tunewright/registry", "/var/lib/tunewright/traffic"}
    urls = {
        word.removeprefix("serve.traffic.url=") for one in (serve, monitor, retrain) for word in one["command"] if "postgresql://" in word
    }
    assert len(urls) == 1
    assert "@postgres/" in urls.pop()
    assert resolved["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] == serve["environment"]["PGPASSWORD"]


def test_files_that_compose_mounts_exist(resolved: dict[str, Any]):
    mounted = [
        Path(one["source"]) for service in resolved["services"].values() for one in service.get("volumes", []) if one["type"] == "bind"
    ]
    assert len(mounted) == 3
    assert [path for path in mounted if not path.exists()] == []


@pytest.mark.parametrize("where", sorted(commands.found()))
def test_commands_parse(where: str):
    from tunewright.cli import parser

    assert parser().parse_args(commands.found()[where])


def test_commands_work_for_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch):
    """Platforms such as OpenShift run a container as any number, which /etc/passwd does not know."""
    from tunewright.cli import parser

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1_234_567)
    assert parser().parse_args(["retrain", "reviews"]).by == "unknown"
    assert parser().parse_args(["traffic", "traffic.db", "approve", "chatcmpl-1"]).by == "unknown"
