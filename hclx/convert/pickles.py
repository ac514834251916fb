"""Reads weights that were pickled (`*.bin`), as models of 2021 to 2023 have them, once: they are
written as safetensors first.

A pickle can run any code when it is read. PyTorch's unpickler with `weights_only` builds nothing
but tensors and refuses the rest; so does this module, with whatever else it finds.
"""

import ctypes
import math
import mmap
import shutil
from collections.abc import Iterator
from pathlib import Path

from hclx.convert.safetensors_files import Writer
from hclx.errors import DataError, require
from hclx.progress import ProgressBar


def convert_pickles(folder: Path, target: Path) -> None:
    """Writes the pickled weights of a folder as safetensors, with copies of its other files.

    Args:
      folder: of transformers, with *.bin files.
      target: an empty folder.
    Raises:
      MissingExtraError: PyTorch is not installed.
      DataError: there is no such file, or one is damaged or holds more than tensors.
    """
    require("torch")
    paths = sorted(folder.glob("pytorch_model*.bin"))
    if not paths:
        raise DataError(
            f"{folder} has no pytorch_model*.bin; without --allow_bin, safetensors are read"
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in _tensors(paths)}
    writer = Writer(target, shapes, "float32")
    with ProgressBar(sum(map(math.prod, shapes.values())), "unpickle", "parameter") as progress:
        for name, tensor in _tensors(paths):
            writer.write(name, tensor.float().numpy())
            _forget_pages(tensor)
            progress.update(tensor.numel())
    writer.close()
    for path in folder.iterdir():
        if path.suffix in (".json", ".jinja") and not path.name.endswith(".index.json"):
            shutil.copyfile(path, target / path.name)


def _forget_pages(tensor) -> None:
    """Lets go of the pages of a file that a tensor maps, which count as memory of this process. The
    system reads them again if they are used again.
    """
    storage, page = tensor.untyped_storage(), mmap.PAGESIZE
    begin = -(-storage.data_ptr() // page) * page
    size = (storage.data_ptr() + storage.nbytes()) // page * page - begin  # of whole pages alone
    if size > 0 and hasattr(mmap, "MADV_DONTNEED"):
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        madvise(begin, size, mmap.MADV_DONTNEED)


def _tensors(paths: list[Path]) -> Iterator[tuple]:
    """Yields (name, tensor) of all files; their values are read when they are used."""
    import torch

    for path in paths:
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        # UnpicklingError, RuntimeError, ValueError and others, by what is wrong
        except Exception as error:
            reason = str(error).partition("\n")[0][:300]
            raise DataError(f"{path} is refused: it is damaged, or holds code: {reason}") from error
        if not isinstance(held, dict):
            raise DataError(f"{path} is refused: it holds {type(held).__name__}, and no tensors")
        for name, tensor in held.items():
            if not isinstance(tensor, torch.Tensor) or not isinstance(name, str):
                raise DataError(f"{path} is refused: {name!r} is no tensor")
            yield name, tensor
