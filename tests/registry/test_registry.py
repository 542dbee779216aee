"""Versions, aliases and rollouts of one model: each change is whole, told, and can be taken back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.registry.small_release import small_release
from tunewright.core.errors import RunError
from tunewright.core.files import read_json, write_json
from tunewright.registry import Registry, find, models, open_model, root

WHO = {"reason": "a test", "by": "ana"}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry" / "reviews")


def versions(registry: Registry, tmp_path: Path, count: int) -> None:
    for number in range(1, count + 1):
        assert registry.register(small_release(tmp_path / f"r{number}", f"weights {number}"), **WHO) == number


def test_a_release_becomes_a_version_with_its_lineage(registry: Registry, tmp_path: Path) -> None:
    assert registry.state().versions == {}
    gate = {"name": "frozen", "passed": True, "text": "+0.02 on the frozen test"}
    number = registry.register(small_release(tmp_path / "release"), run="runs/reviews", gates=[gate], **WHO)
    one = registry.state().versions[number]
    assert (number, one.parent, one.approved, one.verdict, one.run, one.state) == (1, None, True, "SHIP", "runs/reviews", "ready")
    assert one.gates == (gate,)
    assert one.lineage["recipe"] == "r1"
    assert registry.verify(1) == 4
    lineage = read_json(registry.path(1) / "lineage.json")
    assert {file["path"] for file in lineage["files"]} == {"model.safetensors", "tokenizer.json", "parity.json", "manifest.json"}
    assert os.stat(registry.path(1) / "model.safetensors").st_ino == os.stat(tmp_path / "release" / "model.safetensors").st_ino
    registry.promote(1, **WHO)
    assert registry.register(small_release(tmp_path / "next", "other"), **WHO) == 2
    assert registry.state().versions[2].parent == 1
    assert registry.state().versions[2].release_fingerprint != one.release_fingerprint


def test_files_are_copied_where_the_file_system_has_no_links(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    registry.register(small_release(tmp_path / "release"), **WHO)
    (tmp_path / "release" / "model.safetensors").write_text("changed later")
    assert registry.verify(1) == 4


def test_the_same_release_again_is_the_version_it_has(registry: Registry, tmp_path: Path) -> None:
    release = small_release(tmp_path / "release")
    assert [registry.register(release, **WHO) for _ in range(3)] == [1, 1, 1]
    assert registry.state().revision == 1


def test_champion_and_challenger_move_and_move_back(registry: Registry, tmp_path: Path) -> None:
    versions(registry, tmp_path, 3)
    registry.promote(1, **WHO)
    registry.set_challenger(2, **WHO)
    rollout = registry.set_rollout("shadow", 1.0, **WHO)
    wider = registry.set_rollout("canary", 0.25, **WHO)
    assert wider.salt == rollout.salt
    assert (registry.state().champion, registry.state().challenger, registry.state().rollout) == (1, 2, wider)
    registry.promote("challenger", **WHO)
    state = registry.state()
    assert (dict(state.aliases), state.previous, state.rollout) == ({"champion": 2}, (1,), None)
    registry.promote(3, **WHO)
    assert registry.rollback(**WHO) == 2
    assert registry.rollback(**WHO) == 1
    with pytest.raises(RunError, match="no champion before 1 to roll back to"):
        registry.rollback(**WHO)
    assert [one["action"] for one in registry.history()] == [
        *["register"] * 3, "promote", "set_challenger", "set_rollout", "set_rollout", "promote", "promote", "rollback", "rollback",
    ]  # fmt: skip
    assert [one["revision"] for one in registry.history()] == list(range(1, 12))
    assert all(one["by"] == "ana" and one["reason"] == "a test" and one["time"] for one in registry.history())


def test_a_rollout_ends_and_another_challenger_ends_it(registry: Registry, tmp_path: Path) -> None:
    versions(registry, tmp_path, 3)
    with pytest.raises(RunError, match="needs a champion and a challenger"):
        registry.set_rollout("shadow", 1.0, **WHO)
    registry.promote(1, **WHO)
    registry.set_challenger(2, **WHO)
    first = registry.set_rollout("canary", 0.05, **WHO)
    registry.end_rollout(**WHO)
    assert registry.state().rollout is None
    assert registry.set_rollout("canary", 0.05, **WHO).salt != first.salt
    registry.set_challenger(3, **WHO)
    assert registry.state().rollout is None
    registry.set_challenger(None, **WHO)
    assert registry.state().challenger is None
    with pytest.raises(RunError, match="is the champion: a challenger must be another"):
        registry.set_challenger("champion", **WHO)
    registry.set_challenger(2, **WHO)
    with pytest.raises(RunError, match="above 0 and at most 1, but got 1.5"):
        registry.set_rollout("canary", 1.5, **WHO)


def test_what_is_not_approved_is_promoted_by_force_only(registry: Registry, tmp_path: Path) -> None:
    registry.register(small_release(tmp_path / "release", approved=False, verdict="INCONCLUSIVE"), **WHO)
    with pytest.raises(RunError, match=r"not approved \(verdict INCONCLUSIVE\).*--force"):
        registry.promote(1, **WHO)
    assert registry.state().champion is None
    registry.promote(1, force=True, **WHO)
    assert registry.state().champion == 1
    assert registry.history()[-1]["overruled"] == ["it is not approved (verdict INCONCLUSIVE)"]


@pytest.mark.parametrize(
    ("parity", "words"),
    [
        (None, "parity was never checked"),
        ({"rows": 0}, "parity was never checked"),
        ({"rows": 4, "largest_difference": 0.5, "tolerance": 2e-3}, "plain libraries answer differently: 0.5 nats"),
    ],
)
def test_without_parity_nothing_is_promoted_not_even_by_force(registry: Registry, tmp_path: Path, parity: dict | None, words: str) -> None:
    release = small_release(tmp_path / "release")
    manifest = read_json(release / "manifest.json")
    manifest["files"] = [one for one in manifest["files"] if one["path"] != "parity.json"]
    (release / "parity.json").unlink()
    write_json(release / "manifest.json", manifest)
    if parity is not None:
        from tunewright.core.files import sha256_file

        write_json(release / "parity.json", parity)
        path = release / "parity.json"
        manifest["files"].append({"path": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)})
        write_json(release / "manifest.json", manifest)
    registry.register(release, **WHO)
    with pytest.raises(RunError, match=words):
        registry.promote(1, force=True, **WHO)


def test_a_failed_gate_stops_promotion_and_canary(registry: Registry, tmp_path: Path) -> None:
    versions(registry, tmp_path, 2)
    registry.promote(1, **WHO)
    registry.set_challenger(2, **WHO)
    registry.record_gates(2, [{"name": "rolling", "passed": False, "text": "-0.04 on the rolling test"}], **WHO)
    with pytest.raises(RunError, match="gate rolling: -0.04"):
        registry.promote("challenger", **WHO)
    with pytest.raises(RunError, match="cannot be rolled out"):
        registry.set_rollout("canary", 0.01, **WHO)
    registry.set_rollout("shadow", 1.0, **WHO)
    registry.record_gates(2, [{"name": "rolling", "passed": True, "text": "+0.01"}], **WHO)
    registry.promote("challenger", **WHO)
    registry.record_gates(1, [{"name": "parity", "passed": False, "text": "http endpoint: row 3 differs"}], **WHO)
    with pytest.raises(RunError, match="http endpoint: row 3 differs"):
        registry.promote(1, force=True, **WHO)


def test_a_failed_export_stops_promotion(registry: Registry, tmp_path: Path) -> None:
    release = small_release(tmp_path / "release")
    write_json(release / "parity_exports.json", {"arms": [{"name": "gguf", "passed": False, "text": "row 2: 0.7 nats"}]})
    registry.register(release, **WHO)
    assert registry.verify(1) == 5
    with pytest.raises(RunError, match="parity of gguf: row 2: 0.7 nats"):
        registry.promote(1, **WHO)


def test_a_changed_release_is_neither_registered_nor_promoted(registry: Registry, tmp_path: Path) -> None:
    release = small_release(tmp_path / "release")
    registry.register(release, **WHO)
    (release / "model.safetensors").write_text("weighty")  # a hard link: the version changes too
    with pytest.raises(RunError, match=r"versions/1/model.safetensors was changed"):
        registry.promote(1, **WHO)
    with pytest.raises(RunError, match=r"release/model.safetensors was changed"):
        registry.register(release, **WHO)
    assert registry.state().revision == 1


def test_verify_notices_each_kind_of_tampering(registry: Registry, tmp_path: Path) -> None:
    registry.register(small_release(tmp_path / "release"), **WHO)
    extra = registry.path(1) / "pytorch_model.bin"
    extra.write_text("pickle")
    with pytest.raises(RunError, match="holds pytorch_model.bin, which is not part"):
        registry.verify(1)
    extra.unlink()
    lineage = read_json(registry.path(1) / "lineage.json")
    write_json(registry.path(1) / "lineage.json", lineage | {"by": "somebody else"})
    with pytest.raises(RunError, match="not the one that was registered"):
        registry.verify(1)


def test_a_manifest_that_points_outside_is_refused(registry: Registry, tmp_path: Path) -> None:
    release = small_release(tmp_path / "release", files=[{"path": "../secret", "bytes": 1, "sha256": "x"}])
    with pytest.raises(RunError, match="outside the release"):
        registry.register(release, **WHO)


def test_garbage_collection_keeps_what_serves_or_may(registry: Registry, tmp_path: Path) -> None:
    versions(registry, tmp_path, 7)
    for number in (1, 2, 3):
        registry.promote(number, **WHO)
    registry.set_challenger(4, **WHO)
    registry.set_rollout("shadow", 1.0, **WHO)
    assert registry.collect_garbage(1) == [1, 5, 6]  # 3 champion, 2 previous, 4 challenger, 7 newest
    assert registry.collect_garbage(1) == []
    assert {path.name for path in (registry.directory / "versions").iterdir()} == {"2", "3", "4", "7"}
    assert registry.state().previous == (2,)
    assert registry.state().versions[5].state == "retired"
    with pytest.raises(RunError, match="reviews@5 is retired"):
        registry.promote(5, **WHO)
    assert registry.register(small_release(tmp_path / "r8", "weights 8"), **WHO) == 8
    assert registry.collect_garbage(0) == [7, 8]
    assert registry.register(small_release(tmp_path / "r7", "weights 7"), **WHO) == 9  # a number never comes back


def test_every_change_needs_a_reason_and_a_name(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="register needs a reason and a name"):
        registry.register(small_release(tmp_path / "release"), reason=" ", by="ana")
    assert not registry.file.exists()


def test_references_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWRIGHT_REGISTRY", str(tmp_path / "shelf"))
    assert root() == tmp_path / "shelf"
    assert models() == []
    with pytest.raises(RunError, match="None is registered there"):
        open_model("reviews")
    registry = open_model("reviews", new=True)
    versions(registry, tmp_path, 2)
    with pytest.raises(RunError, match="reviews@champion: there is no such version"):
        find("reviews")
    registry.promote(1, **WHO)
    assert [find(ref)[1] for ref in ("reviews", "reviews@champion", "reviews@2")] == [1, 1, 2]
    assert models() == ["reviews"]
    with pytest.raises(RunError, match="Did you mean 'reviews'"):
        find("review")
    with pytest.raises(RunError, match="must be one of: champion, 1, 2"):
        find("reviews@9")
    for wrong in ("../reviews", "a/b", "", ".hidden", "x" * 65):
        with pytest.raises(RunError, match="is not a name of a model"):
            open_model(wrong)


def test_another_schema_and_a_broken_file_are_told_apart(registry: Registry, tmp_path: Path) -> None:
    versions(registry, tmp_path, 1)
    whole = read_json(registry.file)
    write_json(registry.file, whole | {"schema": 2})
    with pytest.raises(RunError, match="schema 2 is not 1"):
        registry.state()
    write_json(registry.file, {"schema": 1})
    with pytest.raises(RunError, match="is not a registry"):
        registry.state()


CHILD = """
import os, signal, sys
from tunewright.registry import Registry
calls = 0
def deadly(real):
    def call(*given, **more):
        global calls
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)
    return call
for name in ("link", "replace", "fsync", "rmdir", "unlink"):
    setattr(os, name, deadly(getattr(os, name)))
registry = Registry(sys.argv[1])
version = registry.register(sys.argv[2], reason="second", by="child")
registry.promote(version, reason="second", by="child")
"""


def test_a_kill_at_any_moment_leaves_the_state_before_or_after(registry: Registry, tmp_path: Path) -> None:
    versions(registry, tmp_path, 1)
    registry.promote(1, **WHO)
    second = small_release(tmp_path / "second", "weights 2")
    seen, moment = set(), 0
    while True:
        moment += 1
        done = subprocess.run([sys.executable, "-c", CHILD, registry.directory, second, str(moment)], capture_output=True, check=False)
        state = Registry(registry.directory).state()
        for number in state.versions:
            assert Registry(registry.directory).verify(number) == 4
        assert [one["revision"] for one in Registry(registry.directory).history()] == list(range(1, state.revision + 1))
        seen.add((len(state.versions), state.champion))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        if state.champion == 2:  # begin again from one version, and die a step later
            registry = Registry(tmp_path / f"again{moment}" / "reviews")
            registry.register(tmp_path / "r1", **WHO)
            registry.promote(1, **WHO)
    assert moment > 8
    assert {(1, 1), (2, 1), (2, 2)} <= seen
    assert {path.name for path in (registry.directory / "versions").iterdir()} == {"1", "2"}
    assert list(registry.directory.rglob("*.tmp")) == []


def test_two_processes_register_at_once_and_both_are_there(registry: Registry, tmp_path: Path) -> None:
    code = (
        "import sys; from tunewright.registry import Registry; Registry(sys.argv[1]).register(sys.argv[2], reason='race', by=sys.argv[2])"
    )
    releases = [small_release(tmp_path / f"r{n}", f"weights {n}") for n in range(4)]
    children = [subprocess.Popen([sys.executable, "-c", code, registry.directory, release]) for release in releases]
    assert [child.wait() for child in children] == [0] * 4
    assert sorted(registry.state().versions) == [1, 2, 3, 4]
    assert len({one.release_fingerprint for one in registry.state().versions.values()}) == 4


def test_readers_see_one_state_or_the_other_while_aliases_flip(registry: Registry, tmp_path: Path) -> None:
    versions(registry, tmp_path, 2)
    registry.promote(1, **WHO)
    stop, seen, wrong = threading.Event(), set(), []

    def read() -> None:
        mine = Registry(registry.directory)
        while not stop.is_set():
            try:
                seen.add(mine.state().champion)
            except Exception as error:
                wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for one in readers:
        one.start()
    for _ in range(20):
        registry.promote(2, **WHO)
        registry.rollback(**WHO)
    stop.set()
    for one in readers:
        one.join()
    assert wrong == []
    assert seen == {1, 2}
