"""The records of the Studio in the store of a server."""
