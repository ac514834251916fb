"""hclx: an open, clean-room HyperCLOVA in JAX and Flax, from raw Korean text to a model that
writes.
"""
