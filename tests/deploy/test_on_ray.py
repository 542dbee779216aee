"""Two replicas on one machine: both answer, both follow the registry, one may die, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.commands import DEPLOY, documents
from tests.deploy.registered import WHO, make_registry
from tunewright.core.errors import RecipeError, RunError
from tunewright.registry import Registry
from tunewright.traffic.store import TrafficStore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TEXT = {"input": "The battery lasts all day."}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def replicas() -> list[psutil.Process]:
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            if one.cmdline() and one.cmdline()[0].startswith("ray::ServeReplica"):
                found.append(one)
        except psutil.NoSuchProcess:
            continue
    return found


class Served:
    """The endpoint under test: where it is, and where each replica shows its metrics."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.registry = folder, registry
        self.http, self.metrics = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"

    def classify(self, client: httpx.Client) -> httpx.Response:
        return client.post(f"{self.url}/v1/classify", json={"model": "reviews", **TEXT})

    def seen(self, name: str, **labels: str) -> list[float]:
        """A sample of each replica's own metrics; 0 where it has none."""
        values = []
        for port in range(self.metrics, self.metrics + 2):
            page = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            samples = [one for family in text_string_to_metric_families(page) for one in family.samples if one.name == name]
            values.append(sum(one.value for one in samples if labels.items() <= one.labels.items()))
        return values


def until(true: Callable[[], bool], seconds: float) -> float:
    """Wait until something holds; how long that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not come about in time"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray import serve

    from tunewright.serve.on_ray import application

    folder = tmp_path_factory.mktemp("ray")
    made = Served(folder, make_registry(folder))
    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": made.http}, proxy_location="HeadOnly")
    arguments = {"target": "registry/reviews", "directory": str(folder), "cpus": 0.5, "keys": False, "metrics_port": made.metrics}
    serve.run(application(arguments), name="tunewright", route_prefix="/")
    yield made
    serve.shutdown()
    ray.shutdown()


@pytest.mark.slow
def test_both_replicas_answer_follow_the_registry_survive_one_and_store_all_traffic(served: Served):
    from ray import serve

    stored, failed = 0, []
    with httpx.Client(timeout=60) as client:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: served.classify(client), range(24)))
        assert {one.status_code for one in answers} == {200}
        stored += len(answers)
        assert all(count > 0 for count in served.seen("tunewright_request_success_total", version="reviews@1"))

        # Answers stream through Ray's proxy
        body = {"model": "reviews", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 12, "temperature": 0, "stream": True}
        with client.stream("POST", f"{served.url}/v1/chat/completions", json=body) as streamed:
            lines = [line for line in streamed.iter_lines() if line]
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert (len(lines) > 3, lines[-1]) == (True, "data: [DONE]")
        stored += 1

        # A promotion reaches both
        served.registry.promote(2, **WHO)
        took = until(lambda: served.seen("tunewright_alias_version", alias="champion") == [2.0, 2.0], 10)
        assert took < 5
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: served.classify(client), range(24)))
        assert {one.json()["version"] for one in answers} == {"reviews@2"}
        stored += len(answers)
        assert all(count > 0 for count in served.seen("tunewright_request_success_total", version="reviews@2"))

        # One replica is killed in the middle of the load. Clients try again, once, what was in flight on it.
        victim, other = replicas()
        stop = time.monotonic() + 3

        def load(_: int) -> int:
            sent = 0
            while time.monotonic() < stop:
                began = time.monotonic()
                answer = served.classify(client)
                if answer.status_code != 200:
                    failed.append((began, answer.status_code))
                    answer = served.classify(client)
                assert answer.status_code == 200, answer.text
                sent += 1
            return sent

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(load, number) for number in range(4)]
            time.sleep(0.5)
            killed = time.monotonic()
            victim.send_signal(signal.SIGKILL)
            answered = sum(one.result() for one in running)
        assert answered > 20
        assert len(failed) <= 4, "at most the requests that were in flight, one for each client"
        assert all(began <= killed + 0.1 for began, _ in failed)

        # Ray starts another one, which serves what the registry says now
        until(lambda: len({one.pid for one in replicas()} - {victim.pid}) == 2, 30)
        until(lambda: serve.status().applications["tunewright"].status == "RUNNING", 30)
        until(lambda: served.seen("tunewright_alias_version", alias="champion") == [2.0, 2.0], 30)
    assert other.is_running()

    # Shutdown gives everything back, and what was answered is in the store: at most the last 100 ms of the killed replica are not
    processes = replicas()
    serve.shutdown()
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
    with TrafficStore.open("sqlite:///traffic.db", served.folder) as store:
        kept = store.exchanges(columns=["id", "time", "version", "status"])
        assert kept["id"].n_unique() == len(kept)
        assert stored + answered - 20 <= len(kept) <= stored + answered + len(failed)
        assert set(kept["version"]) == {"reviews@1", "reviews@2"}
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", served.metrics)) != 0


def test_mistakes_are_told_before_ray_starts(tmp_path: Path):
    from tunewright.serve.on_ray import application

    with pytest.raises(RecipeError, match=r"replica: unknown key. Did you mean 'replicas'"):
        application({"target": "reviews", "replica": 2})
    with pytest.raises(RecipeError, match="replicas: .*greater than or equal to 1, but got 0"):
        application({"target": "reviews", "replicas": 0})
    with pytest.raises(RunError, match="tunewright keys create NAME --registry"):
        application({"target": "reviews", "registry": str(tmp_path)})
    with pytest.raises(RunError, match="nor a model of the registry"):
        application({"target": "revews", "registry": str(tmp_path), "keys": False})


def test_the_config_file_obeys_rays_schema_and_names_our_settings():
    from ray.serve.schema import ServeDeploySchema

    from tunewright.serve.on_ray import RaySettings

    (document,) = documents(DEPLOY / "ray/serve.yaml")
    (app,) = ServeDeploySchema.model_validate(document).applications
    settings = RaySettings.model_validate(app.args)
    module, name = app.import_path.split(":")
    assert (module, name) == ("tunewright.serve.on_ray", "application")
    assert settings.keys


def test_each_replica_of_a_machine_gets_a_port_for_its_metrics():
    from tunewright.serve.on_ray import show_metrics

    first = free_port()
    servers = [show_metrics(lambda number=number: f"replica {number}\n".encode(), "127.0.0.1", first) for number in range(2)]
    try:
        ports = [one.server_address[1] for one in servers]
        assert ports[0] != ports[1]
        assert [httpx.get(f"http://127.0.0.1:{port}/metrics").text for port in ports] == ["replica 0\n", "replica 1\n"]
        assert httpx.get(f"http://127.0.0.1:{ports[0]}/other").status_code == 404
    finally:
        for one in servers:
            one.shutdown()
            one.server_close()
