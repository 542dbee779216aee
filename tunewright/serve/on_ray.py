"""The same app on Ray Serve: several replicas behind one address, on one machine or many. Ray restarts what dies and spreads the requests.

    serve run tunewright.serve.on_ray:application target=reviews replicas=2        # or `serve run deploy/ray/serve.yaml`

    from ray import serve
    serve.run(application({"target": "reviews", "replicas": 2}), route_prefix="/")

Every replica watches the registry, so a promotion or rollback reaches all of them within half a second; the registry must lie on
storage that all nodes mount. They share one traffic store: SQLite on one machine, PostgreSQL on several. What an app counts for
itself holds for each replica: its queue, the rate of a key, and its metrics, which it therefore shows on a port of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunewright.core.errors import RecipeError, RunError
from tunewright.core.executor import THREAD_VARIABLES
from tunewright.core.optional import require
from tunewright.core.settings import problems_of, show_place
from tunewright.registry import root
from tunewright.serve.app import create_app
from tunewright.serve.keys import KeyFile
from tunewright.serve.logs import LOG, set_up
from tunewright.serve.service import Service, Setup

PORTS = 64  # that are tried for metrics, from the first one on
DRAIN_SECONDS = 30.0  # for a replica that is stopped to end its answers, beyond serve.timeout_seconds


class RaySettings(BaseModel):
    """What `serve run` takes as key=value, and a Serve config file under `args`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str = Field(description="what `tunewright serve` takes: a model of the registry, a run, a release or a base model")
    registry: str | None = Field(
        None, description="directory of all models, mounted on every node; default $TUNEWRIGHT_REGISTRY or registry"
    )
    replicas: int = Field(2, ge=1, description="processes that answer; each holds the model in memory")
    cpus: float = Field(1, gt=0, description="cores of one replica")
    set: list[str] = Field([], description="serve.KEY=VALUE, as `--set` of `tunewright serve`")
    keys: bool = Field(True, description="ask for API keys; false only where nobody but this machine reaches Ray's address")
    keys_file: str | None = Field(None, description="API keys; default keys.json in the registry directory")
    directory: str = Field(".", description="what the file of an SQLite traffic store is relative to")
    metrics_host: str = Field("127.0.0.1", description="where replicas show their metrics, without a key")
    metrics_port: int = Field(9400, ge=1, le=65535 - PORTS, description="port of the first replica of a node; the next ones follow")


def application(args: Mapping[str, Any]) -> Any:
    """The Serve application for `args` (keys of `RaySettings`). Raises `TunewrightError` when they, the target or its settings are wrong."""
    try:
        settings = RaySettings.model_validate(dict(args))
    except ValidationError as error:
        raise RecipeError("args", [f"{show_place(place)}: {text}" for place, text in problems_of(error, RaySettings)]) from None
    base = Path(settings.directory).resolve()
    setup = _setup(settings, base)
    timeout = setup.find().settings(setup.overrides).timeout_seconds
    serve: Any = require("ray.serve", "ray")
    threads = dict.fromkeys(THREAD_VARIABLES, str(max(1, int(settings.cpus))))
    deployment = serve.deployment(
        name="endpoint",
        num_replicas=settings.replicas,
        ray_actor_options={"num_cpus": settings.cpus, "runtime_env": {"env_vars": threads}},
        max_ongoing_requests=100_000,  # our own queue says 429; Ray's would make callers wait
        graceful_shutdown_timeout_s=timeout + DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=5,
        health_check_timeout_s=30,
        logging_config={"log_level": "WARNING", "enable_access_log": False},  # the app has a line for each request
    )
    return deployment(serve.ingress()(Endpoint)).bind(setup, settings.metrics_host, settings.metrics_port)


def _setup(settings: RaySettings, base: Path) -> Setup:
    """What each replica makes its app from; paths are absolute, because a replica has another working directory.

    Raises `RunError` when keys are asked for and there is none yet."""
    registry = (base / root(settings.registry)).resolve()
    folder = (base / settings.target).resolve()
    keys = (base / settings.keys_file).resolve() if settings.keys_file else registry / "keys.json"
    if settings.keys and not KeyFile(keys).read():
        raise RunError(
            f"{keys} has no API key, so nobody could use the endpoint. Make one with: tunewright keys create NAME --registry {keys.parent}"
            " (or set keys: false where only this machine reaches Ray's address)"
        )
    hosts = () if settings.keys else ("127.0.0.1", "::1", "localhost")
    target = str(folder) if folder.is_dir() else settings.target
    return Setup(target, str(registry), tuple(settings.set), keys, settings.keys, hosts, base, quiet=True)


class Endpoint:
    """One replica. Ray calls `__serve_build_asgi_app__` once and then runs the app's lifespan: start, and at the end a full stop."""

    def __init__(self, setup: Setup, metrics_host: str, metrics_port: int) -> None:
        self._setup, self._metrics = setup, (metrics_host, metrics_port)
        self._service: Service | None = None

    def __serve_build_asgi_app__(self) -> Any:
        set_up()
        app = create_app(self._setup)
        service: Service = app.state.service
        self._service = service
        show_metrics(service.page, *self._metrics)
        return app

    def check_health(self) -> None:
        """Ray replaces a replica for which this raises."""
        if self._service is None or not (self._service.ready or self._service.draining):
            raise RunError("the app of this replica is not ready")


def show_metrics(page: Callable[[], bytes], host: str, first: int) -> ThreadingHTTPServer:
    """Serve `page` at the first free port from `first` on, in the background. Raises `RunError` when none of `PORTS` is free."""
    for port in range(first, first + PORTS):
        try:
            server = _Quiet((host, port), partial(_Page, page))
        except OSError:
            continue
        Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        LOG.info("metrics of this replica at http://%s:%d/metrics", host, port)
        return server
    raise RunError(f"metrics_port: none of the ports {first} to {first + PORTS - 1} is free on {host}. Choose another first one.")


class _Quiet(ThreadingHTTPServer):
    """A port belongs to one replica: it is not shared, not even with one that just ended."""

    allow_reuse_port = False
    daemon_threads = True


class _Page(BaseHTTPRequestHandler):
    """GET /metrics."""

    timeout = 10

    def __init__(self, page: Callable[[], bytes], *rest: Any) -> None:
        self._page = page
        super().__init__(*rest)

    def do_GET(self) -> None:
        found = self.path.split("?")[0] == "/metrics"
        body = self._page() if found else b"Metrics are at /metrics.\n"
        self.send_response(200 if found else 404)
        self.send_header("content-type", "text/plain; version=1.0.0; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is not worth a line."""
