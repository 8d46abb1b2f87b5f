"""File names as hashes."""

import hashlib


def sha1_of(name: str) -> bytes:
    """20 bytes. Of the bytes on the disk, should a name not be UTF-8."""
    return hashlib.sha1(bytes_of(name)).digest()


def bytes_of(name: str) -> bytes:
    """UTF-8; what Python could not decode as such comes back as it was."""
    return name.encode("utf-8", "surrogateescape")


def is_utf8(name: str) -> bool:
    """Whether it can be printed and written into files of text."""
    return name.encode("utf-8", "ignore") == bytes_of(name)
