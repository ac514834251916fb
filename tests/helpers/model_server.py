"""A small server of OpenAI's completions on this machine, which fails as it is told."""

import contextlib
import http.server
import json
import threading
import time

MODELS = {"vllm": "vllm", "sglang": "sglang", "llama.cpp": "llamacpp", "python": "me", "other": "x"}
TEXT = ("가", "나", "다")


def logprobs(ids, values, tops=None):
    """Log-probabilities as vLLM writes them when it is asked for ids."""
    tops = tops or [None if v is None else {f"token_id:{i}": v} for i, v in zip(ids, values)]
    return {
        "tokens": [f"token_id:{i}" for i in ids],
        "token_logprobs": list(values),
        "top_logprobs": tops,
        "text_offset": [0] * len(ids),
    }


def chunk(text, ids=None, finish=None, **fields):
    choice = {"index": 0, "text": text, "finish_reason": finish, "token_ids": ids, **fields}
    return {"choices": [{k: v for k, v in choice.items() if v is not None or k == "finish_reason"}]}


def good_answer(handler, body):
    """Streams TEXT, or gives each token of the prompt the log-probability -1, -2, ..."""
    if body.get("stream"):
        handler.stream(
            *(chunk(text, [10 + i]) for i, text in enumerate(TEXT)),
            chunk("", [1], "stop"),
            {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 4}},
        )
        return
    ids = body["prompt"]
    values = [None] + [-float(i) for i in range(1, len(ids))]
    answer = {"choices": [{"text": "", "logprobs": logprobs(ids, values)}]}
    handler.reply(200, {**answer, "usage": {"prompt_tokens": len(ids)}})


def status(code, error="busy", **headers):
    """An answer with this status."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, body: handler.reply(code, {"error": {"message": error}}, **headers)


def raw(code, content, length=None, kind="application/json"):
    """An answer of these bytes, which may say another length."""
    data = content.encode()
    return lambda handler, body: handler.send(code, data, length or len(data), kind)


def stream(*events, done=True):
    """A stream of these events; without `done` the connection is closed behind them."""
    return lambda handler, body: handler.stream(*events, done=done)


class ModelServer(http.server.ThreadingHTTPServer):
    """The server.

    Attributes:
      kind: of MODELS.
      answers: one for each of the next requests for completions; then `good_answer`.
      bodies: of these requests.
      headers: of the last request.
      answer_get: answers all GET requests, if it is set.
      n_at_once, most_at_once: requests that are served, and their maximum so far.
      closed: is set when a client has closed its connection in the midst of a stream.
    """

    daemon_threads = True

    def __init__(self, kind):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kind, self.answers, self.bodies, self.headers = kind, [], [], {}
        self.answer_get = None
        self.models = [{"id": "m", "owned_by": MODELS[kind], "max_model_len": 50}]
        self.version, self.n_at_once, self.most_at_once = "0.32.0", 0, 0
        self.closed, self.lock = threading.Event(), threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        self.closed.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    is_counted = False

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.headers = dict(self.headers)
        if server.answer_get:
            server.answer_get(self)
        elif self.path == "/v1/models" and server.models is not None:
            self.reply(200, {"data": server.models})
        elif self.path == "/version" and server.version:
            self.reply(200, {"version": server.version})
        elif self.path == "/openapi.json":
            self.reply(200, {"info": {"title": "llama.cpp Python API"}})
        else:
            self.reply(404, {"detail": "Not Found"})

    def do_POST(self):
        server = self.server
        server.headers = dict(self.headers)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path in ("/tokenize", "/extras/tokenize"):
            text = body.get("prompt", body.get("content", body.get("input")))
            begins = body.get("add_special_tokens", body.get("add_special", True))
            self.reply(200, {"tokens": [1] * begins + [ord(char) for char in text]})
        elif self.path == "/v1/completions":
            with server.lock:
                server.bodies.append(body)
                server.n_at_once += 1
                server.most_at_once = max(server.most_at_once, server.n_at_once)
                answer = server.answers.pop(0) if server.answers else good_answer
            self.is_counted = True
            try:
                answer(self, body)
            finally:
                self.end_count()
        elif self.path == "/v1/embeddings" and server.kind == "other":
            self.reply(200, {"data": [{"index": 0, "embedding": [len(body["input"]), 2.0]}]})
        else:
            self.reply(404, {"detail": "Not Found"})

    def end_count(self):
        """Counts the request as served, which has to be before its client can send another."""
        with self.server.lock:
            self.server.n_at_once -= self.is_counted
            self.is_counted = False

    def reply(self, code, answer, **headers):
        data = json.dumps(answer, ensure_ascii=False).encode()
        self.send(code, data, len(data), "application/json", **headers)

    def send(self, code, data, length, kind, **headers):
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": length, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.end_count()
        self.wfile.write(data)
        self.close_connection = length != len(data)

    def send_for_ever(self, data):
        """Sends these bytes until the client closes the connection."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            self.wfile.write(data * 100)

    def stream(self, *events, done=True, seconds=0.0):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        for i, event in enumerate(events):
            time.sleep(seconds)
            if i == len(events) - 1:
                self.end_count()
            is_text = isinstance(event, str)
            text = event if is_text else f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
            self.wfile.write(text.encode())
            self.wfile.flush()
        if done:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


@contextlib.contextmanager
def model_server(kind="vllm"):
    """Serves until the context ends."""
    with ModelServer(kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
