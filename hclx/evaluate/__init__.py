"""Few-shot evaluation of language models."""
