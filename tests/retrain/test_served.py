"""Weights at the endpoint that are not those of the release: refused before a caller meets them, and told when it is forced."""

from pathlib import Path

import pytest

from tests.serve.house import free_port, running
from tunewright.cli import main
from tunewright.core.errors import RunError
from tunewright.core.files import read_json, write_json
from tunewright.core.loop import EndpointSettings
from tunewright.core.progress import Report
from tunewright.drill.acts import scrambled
from tunewright.registry import Registry
from tunewright.retrain import journal, machine
from tunewright.traffic.store import TrafficStore


def at(url: str, key_env: str | None = None) -> EndpointSettings:
    return EndpointSettings(url=url, key_env=key_env, precision="f32", rows=8)


def past_the_shadow(registry: Registry, store: TrafficStore, endpoint: EndpointSettings) -> machine.Progress:
    attempt = machine.start_rollout(registry, "2", "ann", "try it")
    attempt.start("shadow")
    attempt.finish("shadow", {"text": "left out by the test"})
    return advance(registry, store, endpoint)


def advance(registry: Registry, store: TrafficStore, endpoint: EndpointSettings | None) -> machine.Progress:
    with journal.single_flight(registry):
        return machine.advance(registry, store, Report(quiet=True), endpoint)


@pytest.mark.slow
def test_other_weights_at_the_endpoint_are_refused(registry: Registry, store: TrafficStore, tmp_path: Path):
    broken = scrambled(registry.path(1), tmp_path / "broken")
    manifest = read_json(broken / "manifest.json")
    write_json(broken / "manifest.json", manifest | {"approved": True, "verdict": "SHIP", "status": "APPROVED: SHIP."})
    registry.register(broken, reason="test", by="test")
    waits = past_the_shadow(registry, store, at(f"http://127.0.0.1:{free_port()}"))
    assert (waits.state, "does not answer" in waits.waiting) == ("waiting", True), "a server that restarts ends no attempt"
    with running(tmp_path, "shop") as server:
        done = advance(registry, store, at(server.url))
        assert done.state == "refused"
        assert done.attempt is not None
        outcome = done.attempt.document["outcome"]
        assert outcome.startswith(f"parity: shop@2 at {server.url}: ")
        state = registry.state()
        assert (state.champion, state.challenger, state.rollout) == (1, None, None)
        assert [(one["name"], one["passed"]) for one in state.versions[2].gates] == [("parity of endpoint", False)]
        assert outcome.removeprefix("parity: ") in registry.history()[-1]["reason"]
    with pytest.raises(RunError, match="gate parity of endpoint"):  # not even by force
        registry.promote(2, reason="test", by="ann", force=True)


def test_without_an_address_the_journal_says_that_nobody_was_asked(mocked: Registry, store: TrafficStore):
    done = past_the_shadow(mocked, store, at("http://127.0.0.1:1").model_copy(update={"url": None}))
    assert done.attempt is not None
    assert done.attempt.result("parity") == {"text": "left out (retrain.endpoint.url is not set)"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--endpoint", "127.0.0.1:8000"], "must begin with http:// or https://"),
        (["--endpoint", "http://ann:secret@shop"], "hold no password"),
        (["--endpoint", "http://127.0.0.1:9", "--key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY: there is no such environment variable"),
    ],
)
def test_a_wrong_address_or_key_is_told(
    mocked: Registry, store: TrafficStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
):
    attempt = machine.start_rollout(mocked, "2", "ann", "try it")
    attempt.start("shadow")
    attempt.finish("shadow", {"text": "left out by the test"})
    command = ["retrain", "shop", "--registry", str(mocked.directory.parent), "--traffic", f"sqlite:///{tmp_path / 'traffic.db'}"]
    assert main([*command, "--step", *given]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "secret" not in told
    assert journal.attempts(mocked)[0].running
