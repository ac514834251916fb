"""Many rows that a prompt answers beside the requests."""
