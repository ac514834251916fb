"""What every test shares: eight fake CPU devices, and real Korean data where HCLX_DATA_DIR names it."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, laid out as its README says."""
    if not os.environ.get("HCLX_DATA_DIR"):
        pytest.skip("HCLX_DATA_DIR is not set: it names a folder of real Korean data")
    return Path(os.environ["HCLX_DATA_DIR"]).resolve()


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the source tree."""
    return ROOT
