"""Inputs of a network to compare witnesses on: random ones, or an .npy of the user's."""

from pathlib import Path

import numpy as np

from datasets.console import UserError
from export.graph import Graph


def random_inputs(shape: tuple[int, ...], n: int, seed: int = 0) -> np.ndarray:
    """int8 [n, *shape[1:]]: noise of every strength about every level, so that nets which average do not see the same
    clip over and over; a row of either extreme among them. shape: of the network's input, [1, ...]."""
    rng, flat = np.random.default_rng(seed), (n, *(1 for _ in shape[1:]))
    level, strength = rng.uniform(-128, 128, flat), rng.uniform(0, 128, flat)
    inputs = np.rint(level + strength * rng.standard_normal((n, *shape[1:]))).clip(-128, 127).astype(np.int8)
    inputs[0], inputs[-1] = -128, 127
    return inputs


def random_stimuli(graph: Graph, n: int, seed: int = 0) -> np.ndarray:
    """random_inputs for the input of `graph`, of its type, int8 or uint8."""
    inputs = random_inputs(graph.input.shape, n, seed)
    return inputs if graph.input.dtype == "int8" else (inputs.astype(np.int16) + 128).astype(np.uint8)


def load_inputs(path: Path, graph: Graph, limit: int) -> np.ndarray:
    """The first `limit` inputs [n, ...] of an .npy for `graph`. UserError for another type, shape or no rows."""
    array, wanted = _load(path), graph.input
    shape = wanted.shape[1:]
    if array.dtype != wanted.dtype:
        raise UserError(f"INPUTS={path}: holds {array.dtype}; input {wanted.name} takes {wanted.dtype}")
    if array.ndim == 0 or array.shape[1:] not in (shape, (wanted.elements,)):
        raise UserError(f"INPUTS={path}: has shape {array.shape}; input {wanted.name} takes (n, "
                        f"{', '.join(map(str, shape))})")
    if not len(array):
        raise UserError(f"INPUTS={path}: has no rows; allowed: at least one")
    return np.array(array[:limit]).reshape(-1, *shape)


def _load(path: Path) -> np.ndarray:
    """The array, whose rows are read when they are taken."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise UserError(f"INPUTS={path}: {error.strerror or 'cannot be read'}; allowed: an .npy of inputs") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"INPUTS={path}: not an .npy of numbers ({error})") from error
