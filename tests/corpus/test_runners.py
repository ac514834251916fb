"""Beam's other runners: the same bytes as the local one's, and the same error of a worker.

`portable` submits the job as to Flink, but Beam's own job server takes it, and workers are threads
here: Flink's and Spark's job servers are jars that only Maven has. `spark` is Spark itself, under a
runner that is not Beam's.
"""

import importlib.util
from collections import Counter

import pytest

from hclx.corpus.pipeline import Corpus
from hclx.corpus.runner import make_runner
from hclx.corpus.store import Store
from hclx.corpus.tokenize_mixture import tokenize_mixture
from hclx.corpus.tokenizer_counts import count_mixture
from hclx.data.source import ReadSettings
from hclx.errors import ConfigError, DataError
from tests.helpers import generated_corpus
from tests.helpers.beam_functions import refuse
from tests.helpers.built_corpora import digest

DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"
SPARK = "beam_pyspark_runner.pyspark_runner.PySparkRunner"


@pytest.fixture(params=["portable", "dask", "spark"])
def options(request):
    """Beam's options of a runner."""
    if request.param == "portable":
        return ["--runner=FlinkRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    if request.param == "spark":
        if not all(importlib.util.find_spec(name) for name in ("pyspark", "beam_pyspark_runner")):
            pytest.skip("pyspark and beam-pyspark-runner are not installed")
        return [f"--runner={SPARK}"]
    distributed = pytest.importorskip(
        "dask.distributed", reason="dask.distributed is not installed"
    )
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=50
    )

    def close():
        for client in list(distributed.Client._instances):  # the runner leaves its own
            client.close()
        cluster.close()

    request.addfinalizer(close)
    return [
        f"--runner={DASK}",
        f"--dask_client_address={cluster.scheduler_address}",
        "--dask_partition_size=1",
    ]


@pytest.mark.long
def test_a_runner_does_not_change_a_byte(options, tokenizer_dirs, tmp_path):
    generated_corpus.write(tmp_path / "raw")
    for name, runner in (("local", make_runner(workers=1)), ("other", make_runner(options))):
        corpus = Corpus(
            generated_corpus.settings(),
            str(tmp_path / "raw"),
            str(tmp_path / name),
            runner,
            generated_corpus.EVALUATION,
        )
        corpus.build()
        corpus.mix()
        tokenize_mixture(
            corpus.store,
            tokenizer_dirs["plain"],
            str(tmp_path / name / "cache"),
            ReadSettings(),
            runner,
        )
        count_mixture(corpus.store, runner, "plain", 1.0, 0, Counter())
    local_digest = digest(tmp_path / "local")
    assert local_digest == digest(tmp_path / "other") and {
        name.split("/")[0] for name in local_digest
    } >= {
        "mixture",
        "cache",
        "counts",
    }


@pytest.mark.long
def test_an_error_of_a_worker_is_the_error_of_the_command(options, tmp_path):
    runner = make_runner(options, store=Store(str(tmp_path)))
    with pytest.raises(DataError, match=r"^b\.jsonl:7: not what it should be$"):
        runner.map(refuse, ["b"])
    assert not list(tmp_path.rglob("*.json"))


def test_a_runner_that_is_not_there_is_refused():
    for name in ("NoRunner", "hclx.none.Runner", "apache_beam.runners.runner.NoRunner"):
        with pytest.raises(ConfigError, match="(?i)runner|hclx.none"):
            make_runner([f"--runner={name}"])
