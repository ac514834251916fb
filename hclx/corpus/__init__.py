"""The corpus pipeline: raw files to documents, attributes, verdicts, and the texts that stay. Needs
the `corpus` extra.
"""
