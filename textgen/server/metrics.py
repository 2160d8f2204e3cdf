"""What is counted, for Prometheus."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from textgen.server.models import Models

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one service; several services in a process do not share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "textgen_requests", "Requests answered.", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "textgen_request_seconds", "Seconds from a request to the end of its answer.",
            ["route"], buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.first_piece = Histogram(
            "textgen_first_piece_seconds", "Seconds from a request to the first piece of its text.",
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._tokens = Counter("textgen_tokens", "Tokens made.", ["model"], registry=self.registry)
        self._running = Gauge(
            "textgen_running", "Requests that are being written.", ["model"], registry=self.registry
        )
        self._queued = Gauge(
            "textgen_queued", "Requests that wait.", ["model"], registry=self.registry
        )

    def count_tokens(self, model: str, tokens: int) -> None:
        """Tokens were made."""
        self._tokens.labels(model).inc(tokens)

    def watch(self, models: Models) -> None:
        """Show what is going on in `models`."""
        for name, served in models.by_name.items():
            self._tokens.labels(name)
            scheduler = served.scheduler
            self._running.labels(name).set_function(partial(getattr, scheduler, "running"))
            self._queued.labels(name).set_function(partial(getattr, scheduler, "queued"))

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
