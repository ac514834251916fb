"""Batches: where documents begin in packed sequences, and where their positions count from."""

import numpy as np

from hclx.data.batch import packing

EOD = 1


def test_segments_and_positions_of_packed_documents():
    segments, positions = packing(np.array([[7, 8, EOD, 9, EOD, EOD, 5]]), EOD)
    assert segments.tolist() == [[0, 0, 1, 1, 2, 3, 3]]
    assert positions.tolist() == [[0, 1, 0, 1, 0, 0, 1]]
    assert segments.dtype == positions.dtype == np.int32
