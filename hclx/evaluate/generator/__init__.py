"""Metrics of a model by the texts that it reads and writes, without a task."""
