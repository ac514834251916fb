"""Serving: one engine behind HTTP, in the dialects that existing clients speak."""
