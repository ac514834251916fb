"""The store of a server: keys, their quotas and what was used, in SQLite or PostgreSQL. It knows
nothing of HTTP, but for the one error by which `KeyStore` refuses a request.
"""
