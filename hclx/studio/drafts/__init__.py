"""Prompts that people write and keep: drafts, versions, links and tables."""
