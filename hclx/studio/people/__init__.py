"""People who log in: their sessions, roles and usage."""
