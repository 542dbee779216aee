"""Dashboard and alert rules name only what a running app exports; what the monitor says of the traffic is among it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import promql_parser
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.commands import DEPLOY, documents
from tests.deploy.registered import WHO, make_registry
from tests.serve.house import Running, running
from tunewright.core.errors import RunError
from tunewright.registry import Registry
from tunewright.serve.watched import Watched
from tunewright.traffic.store import TrafficStore

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
RULES = [rule for group in documents(DEPLOY / "prometheus/alerts.yml")[0]["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
FROM_PROMETHEUS = {"up"}


def expressions() -> dict[str, str]:
    """{where: PromQL}, Grafana's variables filled in."""
    found = {f"panel {panel['title']} {one['refId']}": one["expr"] for panel in PANELS for one in panel["targets"]}
    found |= {f"annotation {one['name']}": one["expr"] for one in DASHBOARD["annotations"]["list"]}
    found |= {f"alert {rule['alert']}": rule["expr"] for rule in RULES}
    return {
        where: text.replace("$__rate_interval", "1m").replace("$version", ".*").replace("$model", ".*") for where, text in found.items()
    }


def selectors(node: Any) -> list[promql_parser.VectorSelector]:
    """Every metric that an expression looks up."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param", "args", "vector_selector", "vs")]
    flat = [one for child in children for one in (child if isinstance(child, list | tuple) else [child])]
    return [found for one in flat if one is not None for found in selectors(one)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Registry, Running]]:
    """A server of a tiny real model after some of everything: answers, failures, a canary, feedback, alerts."""
    folder = tmp_path_factory.mktemp("watched")
    registry = make_registry(folder)
    with TrafficStore.open("sqlite:///traffic.db", folder) as store:
        leave_what_a_monitor_leaves(store)
    with running(folder, "reviews") as server:
        registry.set_challenger(2, **WHO)
        registry.set_rollout("canary", 0.5, **WHO)
        wait = time.monotonic() + 20
        while httpx.get(f"{server.url}/ready").json()["challenger"] != 2:
            assert time.monotonic() < wait
            time.sleep(0.05)
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for number in range(8):
                body = {"model": "reviews", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
                told = client.post("/v1/chat/completions", json=body, headers={"X-Caller": str(number)})
                assert told.status_code == 200
            assert client.post("/v1/feedback", json={"request_id": told.json()["id"], "thumb": "up"}).status_code < 300
            assert client.post("/v1/chat/completions", json=body, headers={"Host": "elsewhere.example"}).status_code == 403
        yield folder, registry, server


def leave_what_a_monitor_leaves(store: TrafficStore) -> None:
    """One window with a signal that alarms, one that does not and one that could not be measured; an open alert and a closed one."""
    now = datetime.now(UTC)
    signals = {
        "vocabulary": {"family": "input", "value": 0.4, "threshold": 0.2, "p": 0.001, "alarm": True, "text": "other words"},
        "label_mix": {"family": "output", "value": 0.1, "threshold": 0.2, "p": 0.5, "alarm": False, "text": ""},
        "accuracy": {"unmeasured": "no labels"},
        "about": {"window": 500},
    }
    older = now - timedelta(hours=1)
    for stop in (older, now):
        store.add_window(version="reviews@1", side="champion", start=older, stop=stop, requests=500, drifted=True, signals=signals)
    for key, state in (("a", "open"), ("b", "closed")):
        store.save_alert(
            {
                "key": key,
                "version": "reviews@1",
                "signal": "vocabulary",
                "severity": "warning",
                "state": state,
                "opened": now,
                "updated": now,
                "closed": None,
                "notified": None,
                "count": 2,
                "message": "other words",
                "detail": {},
            }
        )


def page_of(server: Running) -> dict[str, list[Any]]:
    """{name: samples} of /metrics."""
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text):
        found.setdefault(family.name, [])
        for one in family.samples:
            found.setdefault(one.name, []).append(one)
        if family.type == "counter":
            found.setdefault(f"{family.name}_total", [])
    return found


@pytest.mark.slow
def test_every_metric_of_dashboard_and_rules_is_exported_with_the_labels_they_use(served: tuple[Path, Registry, Running]):
    page = page_of(served[2])
    unknown, without = [], []
    for where, text in expressions().items():
        used = selectors(promql_parser.parse(text))
        assert {one.name for one in used} == set(re.findall(r"tunewright_\w+", text)) | ({"up"} & set(text.split("{"))), where
        for one in used:
            if one.name in FROM_PROMETHEUS:
                continue
            if one.name not in page:
                unknown.append(f"{where}: {one.name}")
            samples = page.get(one.name, [])
            labels = {match.name for match in one.matchers.matchers} - {"instance", "job"}
            if samples and not labels <= set(samples[0].labels):
                without.append(f"{where}: {one.name} has no label {labels - set(samples[0].labels)}")
    assert unknown == []
    assert without == []


@pytest.mark.slow
def test_what_the_dashboard_groups_by_is_a_label(served: tuple[Path, Registry, Running]):
    page = page_of(served[2])
    wrong = []
    for panel in PANELS:
        for one in panel["targets"]:
            text = one["expr"].replace("$__rate_interval", "1m").replace("$version", ".*").replace("$model", ".*")
            labels = {
                label
                for found in selectors(promql_parser.parse(text))
                for sample in page.get(found.name, [])[:1]
                for label in sample.labels
            }
            named = set(one["legendFormat"].replace("{{", "\0").replace("}}", "\0").split("\0")[1::2])
            if labels and not named <= labels:
                wrong.append(f"{panel['title']}: {named - labels}")
    assert wrong == []


@pytest.mark.slow
def test_signals_and_alerts_of_the_monitor_are_on_the_page(served: tuple[Path, Registry, Running]):
    page = page_of(served[2])
    values = {one.labels["signal"]: one.value for one in page["tunewright_monitor_signal_value"]}
    assert values == {"vocabulary": 0.4, "label_mix": 0.1}
    assert {one.labels["signal"]: one.value for one in page["tunewright_monitor_signal_alarm"]} == {"vocabulary": 1.0, "label_mix": 0.0}
    alerts = {(one.labels["version"], one.labels["severity"]): one.value for one in page["tunewright_monitor_open_alerts"]}
    assert (alerts["reviews@1", "warning"], alerts["reviews@1", "critical"]) == (1.0, 0.0)
    (stopped,) = page["tunewright_monitor_last_window_timestamp_seconds"]
    assert abs(stopped.value - time.time()) < 120


class Away:
    """A traffic store whose database does not answer any more."""

    def windows(self, **_: Any) -> Any:
        raise RunError("the traffic store cannot be used: connection refused")


def test_a_store_that_is_away_leaves_what_was_said_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    registry = CollectorRegistry()
    watched = Watched(registry)
    with TrafficStore.open("sqlite:///traffic.db", tmp_path) as store:
        leave_what_a_monitor_leaves(store)
        asyncio.run(watched.look(store, ["reviews@1", "reviews"]))
    before = generate_latest(registry)
    assert b'tunewright_monitor_open_alerts{severity="warning",version="reviews@1"} 1.0' in before
    logging.getLogger("tunewright.serve").propagate = True
    for _ in range(2):
        asyncio.run(watched.look(cast("TrafficStore", Away()), ["reviews@1"]))
    assert generate_latest(registry) == before
    words = "what the monitor says cannot be read: the traffic store cannot be used: connection refused"
    assert len({id(one) for one in caplog.records if one.getMessage() == words}) == 1  # two handlers may have kept the same record


def test_the_dashboard_is_one_that_grafana_knows():
    """Whatever Grafana's own types do not know is lost on the way through them."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    again = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert set(DASHBOARD) <= set(again)
    for before, after in zip(DASHBOARD["panels"], again["panels"], strict=True):
        assert set(before) <= set(after), before["title"]
        assert {"h", "w", "x", "y"} == set(after["gridPos"])
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_each_panel_says_what_it_shows_and_each_rule_what_to_do():
    assert all(panel["description"] for panel in PANELS)
    assert all(
        {"summary", "action"} <= set(rule["annotations"]) and rule["labels"]["severity"] in ("warning", "critical") for rule in RULES
    )


def test_grafana_finds_its_data_source_and_its_dashboard():
    (source,) = documents(DEPLOY / "grafana/provisioning/datasources/tunewright.yaml")[0]["datasources"]
    (provider,) = documents(DEPLOY / "grafana/provisioning/dashboards/tunewright.yaml")[0]["providers"]
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    assert source["url"] == "http://prometheus:9090"
    assert DASHBOARD["templating"]["list"][0]["current"]["value"] == source["uid"]
    assert any(mount.split(":")[1].startswith(provider["options"]["path"]) for mount in services["grafana"]["volumes"])
    jobs = documents(DEPLOY / "prometheus/prometheus.yml")[0]["scrape_configs"]
    assert jobs[0]["static_configs"] == [{"targets": ["serve:8000"]}]
    assert set(services["serve"]["networks"]) & set(services["prometheus"]["networks"])
