"""The calls of a warm-up: every kind at every length of the cache, and from each length to each."""

import collections
import itertools

import pytest

from hclx.infer.calls import DeviceCalls
from hclx.infer.warm_up import CHUNKS, SCORED, compile_programs

SIZES = (128, 256, 512, 600)


class Calls:
    """Calls of a device that only count, by the length of the cache."""

    batches = (1, 8)

    def __init__(self):
        self.size, self.steps, self.made = SIZES[0], set(), collections.Counter()

    def resize(self, size):
        self.steps.add((self.size, size))
        self.size = size

    def __getattr__(self, name):
        assert callable(getattr(DeviceCalls, name))
        return lambda *_: self.made.update([(name, self.size)])


@pytest.mark.parametrize("guesses", [0, 4])
def test_every_call_is_made_at_every_length(guesses):
    calls = Calls()
    compile_programs(calls, SIZES, (1, 4), 8, 64, guesses)
    assert calls.steps >= set(itertools.permutations(SIZES, 2))
    numbers = {"prefill": 2 * len(CHUNKS), "decode": 2, "forward": 1}
    numbers |= {"load_prefix": 1, "store_prefix": 1}
    numbers |= {"verify": 1} if guesses else {}
    expected = {(name, size): n for name, n in numbers.items() for size in SIZES}
    once = {"pool": 2 * len(CHUNKS), "compute_logits": 2 * len(CHUNKS), "begin": 2, "sample": 1}
    expected |= {(name, SIZES[-1]): n for name, n in once.items()}
    expected["score", SIZES[-1]] = 2 * len(CHUNKS) * len(SCORED)
    expected["prefill", SIZES[-1]] += 2 * len(CHUNKS)  # before what is computed of the tokens
    assert calls.made == expected
