"""Two thousand requests of all kinds leave no memory behind, on the device or on the host."""

import gc
import resource
import sys
import time

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.infer import GenerateRequest, SamplingConfig, ScoreRequest
from hclx.infer.tasks import Task
from hclx.infer.ticket import Ticket
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

pytestmark = pytest.mark.long

CONFIG = ModelConfig(vocab_size=128, n_layers=2, d_model=32, n_heads=4, max_length=256)
ROWS, BLOCK, BLOCKS = 4, 250, 8
LOGITS = ROWS * CONFIG.vocab_size * 4  # bytes; the last prompts may have been one or several


def rss() -> int:
    """Bytes of memory that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def submit_some(engine, rng):
    """Submits a block of requests and cancels some, and returns when all have ended."""
    tickets = []
    for i in range(BLOCK):
        ids = rng.integers(2, 128, int(rng.integers(1, 60 if i % 10 else 150))).tolist()
        prompt = (*(ids if i % 3 else [*range(2, 80)]), 9)
        sampling = SamplingConfig(
            max_tokens=int(rng.integers(1, 30 if i % 25 else 90)),
            temperature=float(rng.choice([0, 1])),
            top_k=int(rng.integers(0, 5)),
            logprobs=3 if i % 7 == 0 else None,
            stop=("A",) if i % 5 == 0 else (),
            seed=i,
        )
        if i % 6 == 0:
            request = ScoreRequest(prompt, tuple(ids[:9]), top=i % 2, tenant=str(rng.integers(3)))
        else:
            deadline = float(rng.uniform(0, 0.1)) if i % 11 == 0 else None
            tenant = str(rng.integers(3))
            request = GenerateRequest(prompt, sampling, tenant=tenant, deadline=deadline)
        tickets.append(engine.submit(request))
        if i % 4 == 0:
            tickets[rng.integers(len(tickets))].cancel()
        if i % 50 == 0:
            engine.embed("A" * int(rng.integers(1, 100)))
            time.sleep(float(rng.uniform(0, 0.02)))
    for ticket in tickets:
        try:
            ticket.result(300)
        except Exception as error:
            assert "cancelled" in str(error)


def wait_until_idle(engine):
    for _ in range(1000):
        if not (any(engine._rows) or engine._waiting or engine._unread):
            break
        time.sleep(0.01)
    assert not any(engine._rows) and not engine._waiting and not engine._unread
    engine.embed("A")  # one more turn, in which the cache may become shorter
    time.sleep(0.1)
    gc.collect()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_memory_is_flat_over_two_thousand_requests():
    rng = np.random.default_rng(0)
    on_device, on_host, left = [], [], []
    with engine_of(
        noisy_params(CONFIG), CONFIG, ByteTokenizer(128), rows=ROWS, prefix_tokens=512
    ) as engine:
        engine.warm_up()
        for _ in range(BLOCKS):
            submit_some(engine, rng)
            wait_until_idle(engine)
            on_device.append(sum(array.nbytes for array in jax.live_arrays()))
            on_host.append(rss())
            left.append(sum(isinstance(item, Task | Ticket) for item in gc.get_objects()))
    print("device", on_device, "host", [n // 2**20 for n in on_host], "tasks", left)
    assert max(on_device[2:]) <= max(on_device[:2]) + LOGITS
    assert max(on_host[2:]) - max(on_host[:2]) < 16 * 2**20
    assert max(left) <= 1
