"""The loader: batches by index, as arrays spread over devices, the same however many read them."""

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.data import Loader
from hclx.data.cache_builder import build_cache
from hclx.data.sampler import Order
from hclx.data.source import ReadSettings
from hclx.errors import DataError
from hclx.parallel import make_mesh, named_sharding
from tests.helpers.sources import memory_source

LENGTH, BATCH = 32, 8


@pytest.fixture(scope="module")
def cache(tokenizer_dirs, tmp_path_factory, sample_texts):
    sources = [
        memory_source("a", sample_texts[:40], 3.0),
        memory_source("b", sample_texts[40:], 1.0),
    ]
    return build_cache(
        "m",
        sources,
        tokenizer_dirs["plain"],
        tmp_path_factory.mktemp("c") / "cache",
        ReadSettings(200),
    )


def loader(cache, mesh=MeshConfig(fsdp=1), devices=1, **options):
    sharding = named_sharding(make_mesh(mesh, jax.devices()[:devices]), ("batch", None))
    return Loader(
        cache,
        "train",
        **{"seed": 7, "global_batch_size": BATCH, "sequence_length": LENGTH, "sharding": sharding}
        | options,
    )


def brute_force_row(cache, g):
    """Example g straight from the streams."""
    order = Order(cache.n_sequences("train", LENGTH), cache.rates, 7)
    (source,), (window,) = order.locate(np.array([g]))
    return cache.stream("train", source)[window * LENGTH : window * LENGTH + LENGTH + 1]


def test_batches_are_the_sequences_of_the_order(cache):
    with loader(cache) as data_loader:
        for index in (0, BATCH, 13 * BATCH):
            expected = np.stack([brute_force_row(cache, index + i) for i in range(BATCH)])
            batch = data_loader.batch(index)
            assert [field.dtype for field in batch] == [
                np.int32, np.int32, np.float32, np.int32, np.int32,
            ]  # fmt: skip
            assert (rows_of(batch) == expected).all() and (np.asarray(batch.weights_bt) == 1).all()
            for row, segments, positions in zip(
                expected, np.asarray(batch.segments_bt), np.asarray(batch.positions_bt)
            ):
                assert list(zip(segments, positions)) == packed(row[:-1], cache.manifest["eod_id"])


def rows_of(batch):
    """[b, t + 1]: inputs, and the last target."""
    tokens_bt, targets_bt = np.asarray(batch.tokens_bt), np.asarray(batch.targets_bt)
    assert (tokens_bt[:, 1:] == targets_bt[:, :-1]).all()
    return np.concatenate([tokens_bt, targets_bt[:, -1:]], axis=1)


def packed(tokens, eod_id):
    """Segment and position of each token, by its definition."""
    segment, position, result = 0, -1, []
    for token in tokens:
        segment, position = (segment + 1, 0) if token == eod_id else (segment, position + 1)
        result.append((segment, position))
    return result


def test_rows_after_the_last_one_of_an_evaluation_weigh_nothing(cache):
    for mesh, devices in ((MeshConfig(fsdp=1), 1), (MeshConfig(data=4, fsdp=2), 8)):
        with loader(cache, mesh, devices) as data_loader:
            batch, partial = data_loader.batch(BATCH), data_loader.batch(BATCH, stop=BATCH + 3)
            assert np.asarray(partial.weights_bt).sum(1).tolist() == [LENGTH] * 3 + [0] * 5
            assert (np.asarray(data_loader.batch(BATCH, stop=3 * BATCH).weights_bt) == 1).all()
            for name in ("tokens_bt", "targets_bt", "segments_bt", "positions_bt"):
                assert (
                    np.asarray(getattr(partial, name)) == np.asarray(getattr(batch, name))
                ).all()


def same(batch, other):
    return all((np.asarray(a) == np.asarray(b)).all() for a, b in zip(batch, other, strict=True))


def test_ranges_that_a_rewind_leaves_out_are_passed_by(cache):
    expected = [g for g in range(100) if not (3 <= g < 6 or 10 <= g < 20)]
    with loader(cache, skip=((3, 6), (10, 20))) as data_loader:
        assert data_loader.examples(0, 2 * BATCH).tolist() == expected[: 2 * BATCH]
        assert (
            rows_of(data_loader.batch(BATCH))
            == np.stack([brute_force_row(cache, g) for g in expected[BATCH : 2 * BATCH]])
        ).all()


@pytest.mark.parametrize(
    "mesh",
    [MeshConfig(data=8, fsdp=1), MeshConfig(data=2, fsdp=2, model=2), MeshConfig(fsdp=1, model=8)],
)
def test_any_mesh_reads_the_same_batch(cache, mesh):
    with loader(cache) as single_device, loader(cache, mesh, 8) as sharded:
        assert same(single_device.batch(16), sharded.batch(16))


def test_each_device_holds_only_its_rows(cache):
    with loader(cache, MeshConfig(data=4, fsdp=2), 8) as many:
        batch = many.batch(0)
        for field in batch:
            assert {shard.data.shape for shard in field.addressable_shards} == {(1, LENGTH)}


def test_iterating_from_any_index_continues_the_order(cache):
    with loader(cache) as data_loader:
        stream = data_loader.iterate(3 * BATCH)
        for step in range(3, 8):
            index, batch = next(stream)
            assert index == step * BATCH
            assert same(batch, data_loader.batch(index))


def test_a_change_of_batch_size_in_mid_epoch_loses_and_repeats_nothing(cache):
    with loader(cache) as eight, loader(cache, global_batch_size=4) as four:
        rows = [rows_of(eight.batch(0)), rows_of(four.batch(8)), rows_of(four.batch(12))]
        assert (np.concatenate(rows) == eight.rows(0, 16)).all()


def test_an_epoch_sees_every_window_once(cache, tokenizer_dirs, tmp_path, sample_texts):
    single = build_cache(
        "s",
        [memory_source("a", sample_texts)],
        tokenizer_dirs["plain"],
        tmp_path / "c",
        ReadSettings(200),
    )
    with loader(single) as data_loader:
        n = data_loader.n_sequences
        rows = {tuple(row) for row in data_loader.rows(0, n).tolist()}
        assert len(rows) == n and rows == {
            tuple(row) for row in data_loader.rows(n, 2 * n).tolist()
        }


def test_damage_reaches_the_one_who_waits_for_the_batch(cache, tmp_path):
    import shutil

    from hclx.data import TokenCache

    folder = shutil.copytree(cache.directory, tmp_path / "cache")
    for shard in (folder / "train" / "a" / "tokens" / "c").rglob("*"):
        if shard.is_file():
            shard.write_bytes(b"\0" * shard.stat().st_size)
    with (
        loader(TokenCache(folder)) as broken,
        pytest.raises(DataError, match="the token cache is damaged"),
    ):
        next(broken.iterate(0))


def test_closing_ends_the_thread(cache):
    import threading

    data_loader = loader(cache)
    next(data_loader.iterate(0))
    data_loader.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("loader-")]
