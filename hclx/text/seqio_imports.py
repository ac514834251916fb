"""seqio, TensorFlow and its text ops, imported without the lines that they write at start-up.

TensorFlow's C++ code reports drivers and instruction sets before its own log levels apply, so the
standard error stream of the process is diverted while it starts.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from hclx.errors import require

require("seqio", "tensorflow", "tensorflow_text")


@contextlib.contextmanager
def diverted_stderr() -> Iterator[None]:
    """Keeps what anything in this process writes to standard error, C++ code included; it is
    written out only if an exception leaves the context.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        terminal = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


with diverted_stderr():
    import seqio
    import tensorflow as tf
    import tensorflow_text as tf_text

    # TensorFlow only prepares text here, and would take all of a GPU's memory.
    tf.config.set_visible_devices([], "GPU")

__all__ = ["seqio", "tf", "tf_text"]
