"""The limits of a server, which hold for everyone; those of a key are in `hclx.serve.caller`."""

import dataclasses
import ipaddress

from hclx.errors import ConfigError, shown
from hclx.field_checks import Validated, require
from hclx.infer.sampling import MAX_LOGPROBS, MOST_STOPS


@dataclasses.dataclass(frozen=True)
class ServeConfig(Validated):
    """The limits of requests, of the queue before the engine, and who may call from where.

    Attributes:
      body_bytes: the most bytes of a request's body.
      file_bytes: the same where it brings a file of rows.
      header_bytes: the most bytes of its headers together.
      header_seconds: how long a connection may take for the headers of a request.
      connections: the most connections that are open at once.
      prompts: the most prompts of a request, and texts to embed.
      n: the most continuations of a request, over all of its prompts.
      logprobs: the most alternatives of a token whose log-probabilities a request asks for.
      stop_texts: the most stop texts of a request, each of `stop_chars` characters at most, because
        each is looked for after each token.
      answer_tokens: the most tokens of an answer in a chat that does not say how many it may have.
      running_tokens: the most tokens of all requests that the engine has at once: prompts and what
        may be written behind them.
      running_texts: the most texts that the engine has at once: its rows, and a few that wait.
      texts_of_key: the most of them that are of one key: the rows, so that what waits is of others.
      waiting: the most requests that wait for their turn, of all keys.
      waiting_of_key: the most of them that one key has.
      queue_seconds: how long a request waits for its turn before it is refused.
      retry_seconds: what a refused client is told to wait.
      deadline: seconds from the beginning of a text after which it ends as it is.
      drain_seconds: how long requests may go on once the server was asked to end.
      hosts: names that the Host header may have besides loopback addresses; "*": any.
      origins: those pages, such as "https://example.org", whose scripts may call.
      trusted_proxies: addresses or networks, such as "10.0.0.0/8", whose X-Forwarded-Proto and
        X-Forwarded-For tell how and from where a client asks.
    """

    body_bytes: int = 2**22
    file_bytes: int = 2**26
    header_bytes: int = 2**14
    header_seconds: float = 30.0
    connections: int = 900
    prompts: int = 256
    n: int = 256
    logprobs: int = MAX_LOGPROBS
    stop_texts: int = 64
    stop_chars: int = 1000
    answer_tokens: int = 2048
    running_tokens: int = 2**17
    running_texts: int = 10
    texts_of_key: int = 8
    waiting: int = 256
    waiting_of_key: int = 64
    queue_seconds: float = 60.0
    retry_seconds: int = 1
    deadline: float = 600.0
    drain_seconds: int = 30
    hosts: tuple = ()
    origins: tuple = ()
    trusted_proxies: tuple = ()

    def _check(self):
        self._positive("body_bytes", "header_bytes", "prompts", "n", "stop_texts", "running_tokens")
        self._positive("header_seconds", "connections")
        self._positive("file_bytes", "stop_chars", "answer_tokens")
        self._positive(
            "running_texts", "texts_of_key", "waiting", "waiting_of_key", "queue_seconds"
        )
        self._positive("retry_seconds", "deadline", "drain_seconds")
        self._not_negative("logprobs")
        for name, most in (("logprobs", MAX_LOGPROBS), ("stop_texts", MOST_STOPS)):
            value = getattr(self, name)
            require(value <= most, f"ServeConfig.{name}={value}: the engine has at most {most}")
        for name in ("hosts", "origins", "trusted_proxies"):
            values = getattr(self, name)
            require(
                all(isinstance(value, str) and value for value in values),
                f"ServeConfig.{name}={values!r}: give texts",
            )
        for address in self.trusted_proxies:
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                raise ConfigError(
                    f"trusted_proxy={shown(address)} is no address and no network: {error}; give"
                    " 10.0.0.7 or 10.0.0.0/8"
                ) from error
