"""Numbers about all requests, for Prometheus; their names follow those of vLLM."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from hclx.serve.admission import Admission
from hclx.serve.caller import Usage
from hclx.serve.safety.output_filter import Finding

# Why a text ended -> the word of OpenAI, which has none for a deadline.
FINISH_REASONS = {"end": "stop", "stop": "stop", "length": "length", "deadline": "length"}
FINISH_REASONS["content_filter"] = "content_filter"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The metrics of one server.

    Attributes:
      queue_time, first_token, between_tokens, whole_time: histograms, in seconds.
      answers: a counter of answers by path and status.
    """

    def __init__(self, admission: Admission):
        """Starts at 0."""
        self._registry = registry = CollectorRegistry()

        def histogram(name: str, text: str, buckets=_SECONDS) -> Histogram:
            return Histogram(f"hclx:{name}", text, buckets=buckets, registry=registry)

        def counter(name: str, text: str, labels=()) -> Counter:
            return Counter(f"hclx:{name}", text, labels, registry=registry)

        running = Gauge("hclx:num_requests_running", "Admitted requests.", registry=registry)
        running.set_function(lambda: admission.n_running)
        waiting = Gauge("hclx:num_requests_waiting", "Requests in the queue.", registry=registry)
        waiting.set_function(lambda: admission.n_waiting)
        self.queue_time = histogram("request_queue_time_seconds", "From arrival to admission.")
        self.first_token = histogram("time_to_first_token_seconds", "Of streams.")
        text = "Between the parts of a stream."
        self.between_tokens = histogram("inter_token_latency_seconds", text, _TOKEN_SECONDS)
        self.whole_time = histogram("e2e_request_latency_seconds", "From arrival to the last byte.")
        self.answers = counter("http_requests", "Answers.", ("path", "status"))
        self._ended = counter("request_success", "Texts that ended.", ("finished_reason",))
        self._prompt_tokens = counter("prompt_tokens", "Tokens of prompts.")
        self._cached_tokens = counter("cached_tokens", "Those of them from the prefix cache.")
        self._new_tokens = counter("generation_tokens", "Tokens that were written.")
        text = "Texts that the filter has judged, by category and level; 0 is the worst."
        self._judged = counter("judged_texts", text, ("category", "level"))
        self._masked = counter("masked_items", "Items of personal data that were masked.")

    def observe_part(self, begin: float, last: float | None) -> float:
        """Observes a part of a stream, and returns the time, in seconds of `time.monotonic`.

        Args:
          begin: of the request.
          last: the time of the part before; None: there was none.
        """
        now = time.monotonic()
        if last is None:
            self.first_token.observe(now - begin)
        else:
            self.between_tokens.observe(now - last)
        return now

    def count_end(self, stop_reason: str) -> None:
        """Counts a text that has ended, for a reason of the engine."""
        self._ended.labels(FINISH_REASONS[stop_reason]).inc()

    def count_findings(self, findings: Iterable[Finding]) -> None:
        """Counts the judgement of a text."""
        for finding in findings:
            self._judged.labels(finding.category.name, str(finding.level)).inc()

    def count_masked(self, n_items: int) -> None:
        """Counts items of personal data that were masked in a text."""
        self._masked.inc(n_items)

    def count(self, usage: Usage) -> None:
        """Adds the tokens of a request."""
        self._prompt_tokens.inc(usage.prompt_tokens)
        self._cached_tokens.inc(usage.cached_tokens)
        self._new_tokens.inc(usage.completion_tokens)

    def text(self) -> bytes:
        """Returns all numbers in the format of Prometheus."""
        return generate_latest(self._registry)
