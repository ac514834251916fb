"""The Studio: pages on which people without code make functions of a model, and their routes."""
