"""hclx: an open, clean-room HyperCLOVA in JAX and Flax, from raw Korean text to a model that
writes.
"""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout launch/, tasks/ and gin_configs/ stand beside this folder, and in a wheel they are
# in it. Either way they are hclx.launch, hclx.tasks and hclx.gin_configs.
_FOLDER = Path(__file__).resolve().parent
if not (_FOLDER / "launch").is_dir():
    __path__.append(str(_FOLDER.parent))
