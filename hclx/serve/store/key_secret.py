"""Secrets of keys: random texts, of which the store has only hashes.

A secret has 256 random bits, so that its SHA-256 can be neither guessed nor looked up; a slow hash
is for passwords, and would let anyone keep a server busy.
"""

import hashlib
import secrets

PREFIX = "hclx-"  # by which tools that look for leaked secrets recognise one
_RANDOM_BYTES = 32
_SHOWN = 4  # last characters, which tell which key has leaked


def new_secret() -> str:
    """Returns a new secret, which is shown once and never stored."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_of(secret: str) -> str:
    """Returns the SHA-256 of a text that may be a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", errors="surrogatepass")).hexdigest()


def ending_of(secret: str) -> str:
    """Returns the last characters of a secret, which the store keeps."""
    return secret[-_SHOWN:]
