"""A trained float net as it leaves kws_grow: batch norm folded, ranges chosen, nothing of torch in it."""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from datasets.console import UserError, atomic_write

OPS = ("conv", "depthwise", "add", "average_pool", "dense", "softmax")


@dataclass(frozen=True)
class FloatLayer:
    """One layer. Shapes: h, w, in_c, out_c as in NHWC.

    op: one of OPS. `average_pool` takes the whole plane; `softmax` has neither weight nor range; `add` sums the output
        of the layer before it and that of layer `addend`, of the same shape.
    weight: float32; conv [out_c, kh, kw, in_c], depthwise [kh, kw, c], dense [out_c, in_c]; else None.
    bias: float32 [out_c]; else None.
    stride: (rows, columns). Padding is always TFLite's SAME.
    relu: whether a ReLU follows.
    output_range: (min, max) of the output tensor after the ReLU, real units, min <= 0 <= max.
    weight_limit: float32 [out_c]; weights of channel c are quantized over [-limit, limit].
    addend: of `add`, the index of an earlier layer.
    """

    op: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    stride: tuple[int, int] = (1, 1)
    relu: bool = False
    output_range: tuple[float, float] | None = None
    weight_limit: np.ndarray | None = None
    addend: int | None = None


@dataclass(frozen=True)
class FloatNet:
    """Layers over MFCC [frames, coefficients], each of the output of the one before it.

    input_shape: (49, 10) or (49, 20).
    input_range: (min, max) of the MFCC in real units (orthonormal DCT-II of uint8 codes).
    labels: names of the scores, in order.
    dataset: name of the training data, "synthetic" where it is.
    """

    input_shape: tuple[int, int]
    input_range: tuple[float, float]
    layers: tuple[FloatLayer, ...]
    labels: tuple[str, ...]
    dataset: str


_ARRAYS = ("weight", "bias", "weight_limit")
_HEAD = "head"
SAFETENSORS = ".safetensors"


def save_net(net: FloatNet, path: Path) -> None:
    """Write `net` to one file: arrays as they are, the rest as JSON. path: .npz, or .safetensors."""
    head, arrays = _parts(net)
    content = safetensors.numpy.save(arrays, {_HEAD: head}) if path.suffix == SAFETENSORS else _npz(head, arrays)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _npz(head: str, arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{_HEAD: np.array(head)}, **arrays)
    return buffer.getvalue()


def _parts(net: FloatNet) -> tuple[str, dict[str, np.ndarray]]:
    layers = [{k: v for k, v in vars(layer).items() if k not in _ARRAYS} for layer in net.layers]
    arrays = {f"{i}.{name}": np.ascontiguousarray(getattr(layer, name)) for i, layer in enumerate(net.layers)
              for name in _ARRAYS if getattr(layer, name) is not None}
    return json.dumps({**vars(net), "layers": layers}), arrays


def load_net(path: Path) -> FloatNet:
    """Read what save_net wrote. UserError where the file is missing or damaged."""
    try:
        head, arrays = _read(path)
        layers = tuple(_layer(fields, {name: arrays[f"{i}.{name}"] for name in _ARRAYS if f"{i}.{name}" in arrays})
                       for i, fields in enumerate(head.pop("layers")))
        return FloatNet(**{k: tuple(v) if isinstance(v, list) else v for k, v in head.items()}, layers=layers)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; a run folder holds it once `make grow-kws` has finished") from error
    except Exception as error:
        raise UserError(f"{path}: not a net written by kws-grow ({error})") from error


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    if path.suffix == SAFETENSORS:
        with safetensors.safe_open(path, "numpy") as file:
            names = file.keys()
            return json.loads(file.metadata()[_HEAD]), {name: file.get_tensor(name) for name in names}
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file[_HEAD])), {name: file[name] for name in file if name != _HEAD}


def _layer(fields: dict, arrays: dict) -> FloatLayer:
    pair = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
    return replace(FloatLayer(**{**fields, **pair}), **arrays)
