"""The systemd units, read by systemd itself (`systemd-analyze`), without a running systemd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.commands import DEPLOY

UNITS = sorted(path for path in DEPLOY.glob("systemd/*") if path.suffix in (".service", ".timer"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, with a program that exists where ours would be."""
    for path in UNITS:
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/tunewright/bin/tunewright", str(shutil.which("true"))))
    return tmp_path


def test_systemd_understands_every_line(installed: Path):
    done = analyze("verify", "--man=no", *(installed / path.name for path in UNITS))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_misspelt_line_would_be_found(installed: Path):
    unit = installed / "tunewright.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSytem=strict"))
    assert "ProtectSytem" in analyze("verify", "--man=no", unit).stderr


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_is_locked_down(path: Path):
    """Exposure of at most 1.5 out of 10; what is left is the network, which a server needs, and compiled kernels."""
    done = analyze("security", "--offline=true", "--threshold=15", "--no-pager", path)
    assert done.returncode == 0, done.stdout


def test_all_units_are_locked_down_alike():
    blocks = {path.read_text().split("StateDirectory=", 1)[1].split("\n[Install]")[0].strip() for path in SERVICES}
    assert len(blocks) == 1


def test_every_timer_starts_a_unit():
    timers = [path for path in UNITS if path.suffix == ".timer"]
    assert {path.stem for path in timers} == {path.stem for path in SERVICES} - {"tunewright"}


def test_secrets_come_from_a_file_that_is_not_here():
    for path in SERVICES:
        assert "EnvironmentFile=/etc/tunewright/environment" in path.read_text()
    told = dict(line.split("=", 1) for line in (DEPLOY / "systemd/environment.example").read_text().splitlines() if line and line[0] != "#")
    assert told["PGPASSWORD"] == ""
