"""Whole or not at all: the state of a run between two epochs."""

import pickle
from pathlib import Path
from zipfile import BadZipFile

import torch

from datasets.console import UserError, atomic_write

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"


def save_checkpoint(folder: Path, state: dict) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts); the one before is kept as checkpoint.previous.pt."""
    path = folder / NAME
    with atomic_write(path) as temporary:
        torch.save(state, temporary)
        if path.exists():
            path.replace(folder / PREVIOUS)


def load_checkpoint(folder: Path, device: torch.device) -> dict | None:
    """What save_checkpoint wrote last; None where there is none. UserError where it is damaged."""
    path = folder / NAME
    if not path.exists():
        path = folder / PREVIOUS  # stopped between the two renames
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, BadZipFile, EOFError, RuntimeError, OSError, ValueError, KeyError) as error:
        why = (str(error).splitlines() or ["no text"])[0][:80]
        raise UserError(f"{path}: damaged checkpoint ({why}); copy {PREVIOUS} over it to go on from the epoch before, "
                        f"or delete {folder} to start again") from error
