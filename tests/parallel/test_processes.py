"""What can be said of several processes in one: which flags are refused, and that one process needs nothing of it."""

import jax
import pytest

from hclx.config import MeshConfig
from hclx.errors import ConfigError
from hclx.parallel import make_mesh, process_0_first, start_processes
from hclx.parallel.processes import AnyProcess

BAD = {
    "no coordinator": ((None, 0, 2), "--coordinator missing"),
    "no number": (("h:1", 0, None), "--num_processes missing"),
    "no id": (("h:1", None, 2), "--process_id missing"),
    "two missing": (("h:1", None, None), "--num_processes and --process_id missing"),
    "no port": (("host", 0, 2), "--coordinator=host is not HOST:PORT"),
    "a port that is no number": (("host:http", 0, 2), "--coordinator=host:http is not HOST:PORT"),
    "an id too large": (("h:1", 2, 2), "--process_id=2 is not one of --num_processes=2"),
    "an id below 0": (("h:1", -1, 2), "--process_id=-1 is not one of --num_processes=2"),
}


@pytest.mark.parametrize("case", BAD)
def test_flags_that_do_not_fit_together_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(ConfigError, match=message):
        start_processes(*arguments)
    assert not jax.distributed.is_initialized()


def test_one_process_is_what_it_always_was():
    start_processes(None, None, None)
    assert not jax.distributed.is_initialized()
    assert process_0_first("work", lambda: 3) == 3
    any_process = AnyProcess(make_mesh(MeshConfig()))
    assert any_process(True) and not any_process(False)
