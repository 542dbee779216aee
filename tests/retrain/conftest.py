from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.retrain import story
from tests.serve.house import make_release
from tunewright.core.loop import TrafficSettings
from tunewright.core.run import Run
from tunewright.registry import Registry
from tunewright.traffic.store import TrafficStore


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return story.first_run(tmp_path_factory.mktemp("story"))


@pytest.fixture
def registry(first_run: Run, tmp_path: Path) -> Registry:
    return story.registry_of(first_run, tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TrafficStore]:
    with TrafficStore.open(TrafficSettings(keep="text"), tmp_path) as one:
        yield one


@pytest.fixture
def mocked(tmp_path: Path) -> Registry:
    """Two versions without usable weights, the first of them champion: enough for rollouts."""
    found = Registry(tmp_path / "registry" / "shop")
    for number in (1, 2):
        made = make_release(tmp_path / f"packed-{number}", str(number), serve={"traffic": {"keep": "text"}})
        recipe = made / "recipe.json"
        text = recipe.read_text().rstrip().removesuffix("}") + ', "retrain": ' + _json(story.RETRAIN) + "}"
        recipe.write_text(text)
        _rehash(made)
        found.register(made, reason="test", by="test")
    found.promote(1, reason="test", by="test")
    return found


def _json(value: object) -> str:
    import json

    return json.dumps(value)


def _rehash(release: Path) -> None:
    from tunewright.core.files import read_json, sha256_file, write_json

    manifest = read_json(release / "manifest.json")
    for one in manifest["files"]:
        path = release / one["path"]
        one |= {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_json(release / "manifest.json", manifest)
