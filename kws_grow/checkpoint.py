"""Whole or not at all: the state of a run between two epochs."""

import hashlib
import io
from pathlib import Path

import torch

from datasets.console import UserError, atomic_write

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
DIGEST_BYTES = 32


def save_checkpoint(folder: Path, state: dict) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts) behind its SHA-256; the one before stays as PREVIOUS."""
    payload = io.BytesIO()
    torch.save(state, payload)
    path = folder / NAME
    with atomic_write(path) as temporary:
        temporary.write_bytes(hashlib.sha256(payload.getvalue()).digest() + payload.getvalue())
        if path.exists():
            path.replace(folder / PREVIOUS)


def load_checkpoint(folder: Path, device: torch.device) -> dict | None:
    """What save_checkpoint wrote last; None where there is none. UserError where a bit of it has changed."""
    path = folder / NAME
    if not path.exists():
        path = folder / PREVIOUS  # stopped between the two renames
    if not path.exists():
        return None
    content = path.read_bytes()
    digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise UserError(f"{path}: damaged checkpoint, its SHA-256 does not fit; copy {PREVIOUS} over it to go on from "
                        f"the epoch before, or delete {folder} to start again")
    return torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
