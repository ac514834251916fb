"""Shared by all tests: eight fake CPU devices, real Korean data where HCLX_DATA_DIR names it,
small tokenizers.
"""

import gc
import importlib.metadata
import os
import signal
import sys
import tempfile
import threading

if threading.current_thread() is threading.main_thread():
    # A shell that starts the tests in the background ignores Ctrl-C for them, and for every process
    # that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Programs of tests and of their commands are so small that they take longer to compile than to run.
# These flags concern the generation of code alone, not the passes over HLO; with them a program
# compiles in a quarter of the time. Without the first, XLA splits each into up to 32 parts and
# compiles these in parallel, which is more work in all, and other tests use the other cores.
_FAST_COMPILATION = [
    "--xla_cpu_parallel_codegen_split_count=1",
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
]
# jaxlib 0.12 has no such flag any more, and XLA ends a process that names an unknown one.
HAS_FUSION_EMITTERS_FLAG = importlib.metadata.version("jaxlib").startswith("0.10.")
if HAS_FUSION_EMITTERS_FLAG:
    _FAST_COMPILATION.append("--xla_cpu_use_fusion_emitters=false")


def xla_flags(devices: int) -> str:
    """Returns the flags of XLA for a number of fake devices and programs that compile fast."""
    return " ".join([f"--xla_force_host_platform_device_count={devices}", *_FAST_COMPILATION])


os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {xla_flags(8)}"
os.environ["JAX_PLATFORMS"] = "cpu"
# Threads of PyTorch wait for each other in loops, which cost most where other tests have the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Traces make so many objects that a twentieth of all time would go into searches for garbage. That
# of `forget_programs`, after each module, is enough.
gc.set_threshold(50_000, 20, 20)
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has it from the process that started it
    _PROGRAMS = tempfile.TemporaryDirectory(prefix="hclx-programs-")
    # Not the user's folder. All processes of a test run share it: a program is found by its code,
    # so it is the same one.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS.name
    # Also what is compiled in less than a second: many files of tests need the same programs.
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import itertools  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "hclx" / "data" / "sample" / "korean_sample.jsonl"


def pytest_addoption(parser):
    parser.addoption(
        "--long", action="store_true", help="also run the tests that take minutes each"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; runs with --long (make test-long)")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Looks for no garbage while tests are collected: what is imported and made there stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: make test-long"))


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Forgets the programs that a module has compiled: those of all of them fill the memory.

    What is alive before a module is looked at this once: a search for garbage among all libraries
    and collected tests takes most of a second, and Python makes many.
    """
    gc.collect()
    gc.freeze()
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, laid out as its README says."""
    if not os.environ.get("HCLX_DATA_DIR"):
        pytest.skip("HCLX_DATA_DIR is not set: it names a folder of real Korean data")
    return Path(os.environ["HCLX_DATA_DIR"]).resolve()


@pytest.fixture(scope="session")
def sample_texts() -> list[str]:
    """The documents of the sample that ships with the package."""
    return [json.loads(line)["text"] for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def wiki_texts(data_dir) -> list[str]:
    """400 articles of the real Korean Wikipedia."""
    from hclx.text.documents import expand_globs, read_documents

    documents = read_documents(expand_globs(str(data_dir / "corpus" / "kowiki" / "*.jsonl.gz")))
    return [document.text for document in itertools.islice(documents, 400)]


@pytest.fixture(scope="session")
def tokenizer_dirs(tmp_path_factory, sample_texts) -> dict[str, str]:
    """Mode -> folder of a tokenizer of 1,024 tokens, trained on the sample."""
    from hclx.text import train_tokenizer
    from hclx.text.pretokenizers import MORPHEMES_OF

    folder = tmp_path_factory.mktemp("tokenizers")
    for mode, morphemes in MORPHEMES_OF.items():
        train_tokenizer(
            sample_texts, folder / mode, vocab_size=1024, morphemes=morphemes, workers=1
        )
    return {mode: str(folder / mode) for mode in MORPHEMES_OF}


@pytest.fixture(scope="session")
def tokenizers(tokenizer_dirs):
    """Mode -> tokenizer."""
    from hclx.text import load_tokenizer

    return {mode: load_tokenizer(folder) for mode, folder in tokenizer_dirs.items()}
