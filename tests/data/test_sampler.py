"""The order of windows: permutations, exactly once an epoch, shares as asked, the same for any
division of work.
"""

from collections import Counter

import numpy as np
import pytest

from hclx.data.sampler import PERIOD, Order, apportion, mix64, permute, skip_ranges
from hclx.errors import DataError

U64 = (1 << 64) - 1


def brute_force_mix(x: int) -> int:
    """splitmix64's finaliser in Python's integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & U64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & U64
    return x ^ (x >> 31)


def test_mix_is_splitmix64():
    numbers = [0, 1, 2, 12345, 1 << 63, U64]
    assert mix64(np.array(numbers, np.uint64)).tolist() == [brute_force_mix(x) for x in numbers]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 16, 17, 100, 1000, 4097])
def test_permute_is_a_bijection(n):
    for key in (0, 1, U64):
        permuted = permute(np.arange(n), n, np.full(n, key, np.uint64))
        assert sorted(permuted.tolist()) == list(range(n))


def test_permutations_of_different_keys_differ_and_look_random():
    n = 2000
    first, second = (permute(np.arange(n), n, np.full(n, key, np.uint64)) for key in (1, 2))
    assert (first == second).mean() < 0.01
    assert abs(np.corrcoef(np.arange(n), first)[0, 1]) < 0.08  # 3.5 standard deviations of chance


def test_a_source_is_seen_exactly_once_an_epoch():
    order = Order((37,), (1.0,), seed=5)
    epochs = order.locate(np.arange(3 * 37))[1].reshape(3, 37)
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs.tolist())
    assert epochs[0].tolist() != epochs[1].tolist() != epochs[2].tolist()


def test_a_mixture_keeps_its_rates_and_repeats_no_window_before_all_were_seen():
    sizes, rates = (50, 11, 400), (1.0, 0.5, 2.5)
    source, window = Order(sizes, rates, seed=1).locate(np.arange(40_000))
    shares = np.bincount(source) / len(source)
    assert np.allclose(shares, np.array(rates) / sum(rates), atol=1e-4)
    for k, n in enumerate(sizes):
        drawn = window[source == k]
        whole = drawn[: len(drawn) // n * n].reshape(-1, n)
        assert (np.sort(whole, axis=1) == np.arange(n)).all()


def test_a_source_without_a_sequence_is_never_drawn():
    """The others keep their shares, and their own orders."""
    with_it = Order((50, 0, 400), (1.0, 7.0, 3.0), seed=1).locate(np.arange(4000))
    without = Order((50, 400), (1.0, 3.0), seed=1).locate(np.arange(4000))
    assert np.bincount(with_it[0]).tolist() == [1000, 0, 3000]
    assert (np.where(with_it[0] == 2, 1, 0) == without[0]).all()
    assert (with_it[1] == without[1])[without[0] == 0].all()
    source, window = Order((0, 3), (1.0, 1e-9), seed=1).locate(np.arange(6))
    assert set(source) == {1} and sorted(window) == [0, 0, 1, 1, 2, 2]


def test_sources_are_spread_evenly():
    source, _ = Order((10, 10), (3.0, 1.0), seed=0).locate(np.arange(4000))
    assert {Counter(chunk)[1] for chunk in source.reshape(-1, 40).tolist()} == {10}


def test_any_division_of_the_examples_gives_the_same_order():
    order = Order((123, 45), (0.7, 0.3), seed=9)
    whole = np.stack(order.locate(np.arange(1000)))
    one_by_one = np.concatenate(
        [np.stack(order.locate(np.array([g]))) for g in range(1000)], axis=1
    )
    by_hosts = np.concatenate(
        [np.stack(order.locate(np.arange(a, a + 50))) for a in range(0, 1000, 50)], axis=1
    )
    assert (whole == one_by_one).all() and (whole == by_hosts).all()


def test_seed_changes_the_order():
    first, second = (
        Order((100,), (1.0,), seed).locate(np.arange(100))[1].tolist() for seed in (0, 1)
    )
    assert first != second


def test_a_position_far_into_a_long_run_needs_no_walk():
    source, window = Order((1_000_003,), (1.0,), seed=0).locate(np.array([10**15]))
    assert 0 <= window[0] < 1_000_003


def test_apportion_adds_up_by_largest_remainders():
    assert apportion((1, 1, 1), 10).tolist() in ([4, 3, 3], [3, 4, 3], [3, 3, 4])
    assert apportion((41.1, 5.2, 51.5), PERIOD).sum() == PERIOD
    with pytest.raises(DataError, match="positive"):
        apportion((1.0, 0.0), 10)
    with pytest.raises(DataError, match="never be drawn"):
        apportion((1.0, 1e-9), PERIOD)


@pytest.mark.parametrize(
    "ranges", [(), ((0, 5),), ((3, 4), (4, 9)), ((2, 7), (8, 9), (30, 31)), ((90, 95),)]
)
def test_skip_ranges_counts_what_is_left(ranges):
    kept = [i for i in range(200) if not any(first <= i < last for first, last in ranges)]
    assert skip_ranges(np.arange(80), ranges).tolist() == kept[:80]
