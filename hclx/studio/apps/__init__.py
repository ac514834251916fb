"""Prompts that answer for others at an address."""
