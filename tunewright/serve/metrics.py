"""What Prometheus reads at /metrics. Suffixes are vLLM's, so that dashboards carry over; the prefix is `tunewright_`.

tunewright_time_to_first_token_seconds_bucket{model="reviews",version="reviews@3",side="champion",le="0.1"} 41.0

Labels hold only names that the server itself knows: a caller cannot make new series.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

WHO = ("model", "version", "side")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
TOKENS = (1, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096)
ENGINE_GAUGES = {
    "kv_cache_usage": ("kv_cache_usage_perc", "share of the KV cache in use (0 to 1)"),
    "prefix_cache_hit_rate": ("prefix_cache_hit_rate", "share of prompt tokens that came from the prefix cache (0 to 1)"),
}


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def seconds(name: str, text: str, labels: tuple[str, ...] = WHO) -> Histogram:
            return Histogram(f"tunewright_{name}", text, labels, buckets=SECONDS, registry=self.registry)

        def tokens(name: str, text: str) -> Histogram:
            return Histogram(f"tunewright_{name}", text, WHO, buckets=TOKENS, registry=self.registry)

        def count(name: str, text: str, labels: tuple[str, ...] = WHO) -> Counter:
            return Counter(f"tunewright_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"tunewright_{name}", text, labels, registry=self.registry)

        self.first_token = seconds("time_to_first_token_seconds", "from the request's arrival to the answer's first token")
        self.per_token = seconds("time_per_output_token_seconds", "mean time of a token after the first")
        self.latency = seconds("e2e_request_latency_seconds", "from the request's arrival to the answer's end")
        self.queue = seconds("request_queue_time_seconds", "waiting before the engine began")
        self.prompt_size = tokens("request_prompt_tokens", "tokens of one prompt")
        self.answer_size = tokens("request_generation_tokens", "tokens of one answer")
        self.prompt_tokens = count("prompt_tokens_total", "tokens of prompts")
        self.cached_tokens = count("prompt_tokens_cached_total", "tokens of prompts that came from the prefix cache")
        self.generation_tokens = count("generation_tokens_total", "tokens of answers")
        self.success = count("request_success_total", "answers that were finished, by reason", (*WHO, "finished_reason"))
        self.failure = count("request_failure_total", "answers that failed, by HTTP status (499: the caller left)", (*WHO, "status"))
        self.http = count("http_requests_total", "HTTP requests, by path of the API and status", ("path", "status"))
        self.refused = count("requests_refused_total", "requests refused before any work, by reason", ("reason",))
        self.feedback = count("feedback_total", "what people said of answers", ("kind",))
        self.shadow_left_out = count(
            "shadow_left_out_total", "copies for the challenger that found its queue full or came too late", ("version",)
        )
        self.reloads = count("reloads_total", "changes of the registry that were followed, by result", ("result",))
        for result in ("done", "failed"):
            self.reloads.labels(result)  # there from the start: Prometheus does not see the step of a counter that begins at 1
        self.running = gauge("num_requests_running", "requests that are being answered")
        self.waiting = gauge("num_requests_waiting", "requests that wait for their first token")
        self.loaded = gauge("version_loaded", "1 for each version that is in memory", ("model", "version"))
        self.alias = gauge("alias_version", "the version that an alias means now", ("model", "alias"))
        self.rollout = gauge("rollout_share", "share of the callers that the challenger gets (0 to 1)", ("model",))
        self.traffic_lost = gauge("traffic_lost", "exchanges that the traffic store could not take since the start")
        self.engine = {key: gauge(name, text) for key, (name, text) in ENGINE_GAUGES.items()}

    def show(self, load: Mapping[str, float], running: int, waiting: int) -> bytes:
        """Everything in Prometheus' text format. `load` are the engine's own gauges, which know more than ours."""
        self.running.set(load.get("requests_running", running))
        self.waiting.set(load.get("requests_waiting", waiting))
        for key, own in self.engine.items():
            if key in load:
                own.set(load[key])
        return generate_latest(self.registry)
