"""Prompts to begin with, and those that are made of a sentence."""
