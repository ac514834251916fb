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

    def __init__(self, size):
        self.size, self.steps, self.made = size, set(), collections.Counter()
        self.counts = set()  # of tokens of a row, with the size of the cache

    def resize(self, size):
        self.steps.add((self.size, size))
        self.size = size

    def prefill(self, tokens, *_):
        self.made.update([("prefill", self.size)])
        self.counts.add((self.size, tokens.shape[1]))

    def __getattr__(self, name):
        assert callable(getattr(DeviceCalls, name))
        return lambda *_: self.made.update([(name, self.size)])


def chunks(cache_size):
    """Sizes of the chunks of all numbers of tokens that have room."""
    tokens = range(1, cache_size + 1)
    return {next((size for size in CHUNKS if size >= n), CHUNKS[-1]) for n in tokens}


@pytest.mark.parametrize("guesses", [0, 4])
@pytest.mark.parametrize("sizes", [SIZES, (64,), (128, 192), (129, 300)])
def test_every_call_is_made_at_every_length(sizes, guesses):
    calls = Calls(sizes[0])
    compile_programs(calls, sizes, (1, 4), 8, 64, guesses)
    assert calls.steps >= set(itertools.permutations(sizes, 2))
    numbers = {"decode": 2, "forward": 1, "load_prefix": 1, "store_prefix": 1}
    numbers |= {"verify": 1} if guesses else {}
    expected = {(name, size): n for name, n in numbers.items() for size in sizes}
    expected |= {("prefill", size): 2 * len(chunks(size)) for size in sizes}
    last, n_chunks = sizes[-1], len(chunks(sizes[-1]))
    once = {"pool": 2 * n_chunks, "compute_logits": 2 * n_chunks, "begin": 2, "sample": 1}
    expected |= {(name, last): n for name, n in once.items()}
    expected["score", last] = 2 * n_chunks * len(SCORED)
    expected["prefill", last] += 2 * n_chunks  # before what is computed of the tokens
    assert calls.made == expected
    assert calls.counts == {(size, count) for size in sizes for count in chunks(size)}
