"""MLflow's registry gets the same versions and aliases, and again is no trouble. A real MLflow on SQLite; nothing else is asked."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.registry.small_release import small_release
from tunewright.cli import main
from tunewright.core.errors import RunError
from tunewright.core.files import write_json
from tunewright.registry import Registry
from tunewright.registry.mlflow import export

WHO = {"reason": "a test", "by": "ana"}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    made = Registry(tmp_path / "registry" / "reviews")
    for number in (1, 2):
        release = small_release(
            tmp_path / f"r{number}",
            f"weights {number}",
            lineage={
                "data": {"fingerprint": "d1", "rows": {"train": 2583}},
                "seal": {"sha256": "5e41"},
                "evaluation": {"scores": {"macro_f1": 0.7, "accuracy": 0.75}},
            },
        )
        write_json(release / "recipe.json", {"tune": {"seed": 17, "techniques": ["lora"]}})
        made.register(release, **WHO)
        made.promote(1, **WHO)
    made.set_challenger(2, **WHO)
    return made


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.mark.slow
def test_versions_aliases_and_lineage_arrive_and_follow(registry: Registry, tmp_path: Path, no_network: None) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    first = export(registry, uri)
    assert first["new"] == [1, 2]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    champion = client.get_model_version_by_alias("reviews", "champion")
    assert champion.tags["tunewright.version"] == "1"
    assert champion.tags["tunewright.data_fingerprint"] == "d1"
    assert champion.tags["tunewright.rows.train"] == "2583"
    assert champion.tags["tunewright.approved"] == "true"
    assert champion.source == (registry.path(1).resolve()).as_uri()
    run = client.get_run(champion.run_id)
    assert run.data.metrics == {"test.macro_f1": 0.7, "test.accuracy": 0.75}
    assert client.get_model_version_by_alias("reviews", "challenger").tags["tunewright.version"] == "2"
    registry.promote(2, **WHO)
    registry.record_gates(1, [{"name": "rolling", "passed": False, "text": "worse"}], **WHO)
    assert export(registry, uri)["new"] == []
    assert client.get_model_version_by_alias("reviews", "champion").tags["tunewright.version"] == "2"
    assert client.get_model_version_by_alias("reviews", "champion").tags["tunewright.parent"] == "1"
    assert list(client.get_registered_model("reviews").aliases) == ["champion"]
    assert len(client.search_model_versions("name = 'reviews'")) == 2
    assert client.get_model_version("reviews", first["versions"]["1"]).tags["tunewright.gate.rolling"] == "false"


def test_a_folder_is_refused_in_words(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="no longer keeps models in files"):
        export(registry, str(tmp_path / "mlruns"))
    given = ["registry", "mlflow", "reviews", "--registry", str(registry.directory.parent), "--tracking-uri", "file:///tmp/x"]
    assert main(given) == 2
    assert "Give sqlite:///mlflow.db" in capsys.readouterr().err
