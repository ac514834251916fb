"""Trees of tokens against the texts that they are made of, by brute force."""

import numpy as np
import pytest

from hclx.infer.token_tree import common_length, group_texts, split_by_size, token_tree


def random_texts(seed, n):
    """Texts over few tokens, so that many begin alike, and some are equal or empty."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 3, rng.integers(0, 8)).tolist() for _ in range(n)]


@pytest.mark.parametrize("seed", range(20))
def test_every_text_is_a_path_and_every_beginning_has_one_token(seed):
    texts = random_texts(seed, 12)
    tree = token_tree(texts)
    for text, path in zip(texts, tree.paths):
        assert [tree.tokens[i] for i in path] == text
        for i in range(len(tree.tokens)):  # what each token of the text continues is the text
            assert not path or (i in path) == (i <= path[-1] < tree.ends[i])
    beginnings = {tuple(text[:n]) for text in texts for n in range(1, len(text) + 1)}
    assert len(tree.tokens) == len(beginnings)


@pytest.mark.parametrize("seed", range(20))
def test_groups_share_what_they_say_and_hold_their_bounds(seed):
    rng = np.random.default_rng(seed)
    texts = random_texts(seed, 30)
    limits = [int(rng.integers(0, len(text) + 1)) for text in texts]
    groups = group_texts(texts, limits, 3, 10)
    assert sorted(number for group in groups for number in group.numbers) == list(range(30))
    for n_shared, numbers in groups:
        assert len({tuple(texts[number][:n_shared]) for number in numbers}) == 1
        rests = [len(texts[number]) - n_shared for number in numbers]
        assert all(n_shared <= limits[number] for number in numbers)
        assert len(numbers) == 1 or (max(rests) <= 3 and sum(rests) <= 10)
        ordered = [texts[number] for number in numbers]
        assert ordered == sorted(ordered)


@pytest.mark.parametrize("seed", range(20))
def test_ranges_are_as_large_as_they_may_be(seed):
    texts = sorted(random_texts(seed, 30))
    ranges = list(split_by_size(texts, 9))
    assert [number for numbers in ranges for number in numbers] == list(range(30))
    size = lambda numbers: len(token_tree([texts[number] for number in numbers]).tokens)
    for numbers, after in zip(ranges, [*ranges[1:], None]):
        assert size(numbers) <= 9
        assert after is None or size([*numbers, after[0]]) > 9


def test_examples_of_a_task_are_one_group_and_drawn_ones_are_not():
    """Items behind the same examples share these; labels behind other examples their context."""
    items = [[*range(100), 200 + i, 300, label] for i in range(5) for label in (7, 8)]
    (group,) = group_texts(items, [len(item) - 1 for item in items], 128, 2048)
    assert group.n_shared == 100 and len(group.numbers) == 10
    drawn = [[i, *range(200), label] for i in range(5) for label in (7, 8)]
    groups = group_texts(drawn, [201] * 10, 128, 2048)
    assert [(g.n_shared, len(g.numbers)) for g in groups] == [(201, 2)] * 5
    assert common_length([1, 2, 3], [1, 2]) == 2 and common_length([], [1]) == 0
