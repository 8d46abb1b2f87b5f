"""The bytes of a .tflite to tensors and calls, before any rule of an operator: only what can be read safely.

Every vector is looked at as an array in the file, never copied element by element, and counts are limited, so that no
file, however damaged, takes long or much memory. Source of the format: TFLite's schema.fbs, by ai-edge-litert.
"""

import hashlib
from dataclasses import dataclass
from math import prod

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from datasets.console import UserError
from export.graph import Tensor
from export.metadata import read_entry

MAX_ITEMS = 2048     # of tensors and of ops
MAX_RANK = 8
MAX_NAME = 200       # characters of a tensor's name that are kept
MAX_SCALES = 4096    # of one tensor

_OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_TYPE_NAMES = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
_KEPT_TYPES = ("int8", "int32")  # of constants that an operator looks into


@dataclass(frozen=True)
class RawOp:
    """An op as the file has it. options: its flatbuffers table and the number of its type."""

    index: int
    kind: str
    options: object
    options_type: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def where(self) -> str:
        return f"op {self.index} {self.kind}"


@dataclass(frozen=True)
class TfliteFile:
    """tensors, ops, inputs, outputs of its one subgraph. sha256: of the file. metadata: as Graph's."""

    tensors: tuple[Tensor, ...]
    ops: tuple[RawOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    sha256: str
    metadata: bytes | None


def parse_tflite(content: bytes) -> TfliteFile:
    """UserError where the file is none, is damaged, or exceeds a limit of this module; names the tensor or op."""
    if content[4:8] != b"TFL3":
        raise UserError("not a .tflite (its bytes 4 to 8 are not TFL3)")
    try:
        return _parse(content)
    except UserError:
        raise
    except Exception as error:  # flatbuffers raises many kinds on damaged offsets
        raise UserError(f"damaged .tflite of {len(content)} bytes ({type(error).__name__}: {error})") from error


def _parse(content: bytes) -> TfliteFile:
    model = schema.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise UserError(f"{model.SubgraphsLength()} subgraphs; allowed: one")
    subgraph = model.Subgraphs(0)
    tensors = tuple(_tensor(i, subgraph.Tensors(i), model)
                    for i in _counted("tensors", subgraph.TensorsLength()))
    names = tuple(_op_name(model.OperatorCodes(i)) for i in _counted("op codes", model.OperatorCodesLength()))
    ops = tuple(_op(i, subgraph.Operators(i), names, len(tensors))
                for i in _counted("ops", subgraph.OperatorsLength()))
    ends = [_indices(read(), len(tensors), what) for what, read in (
        ("the subgraph's inputs", subgraph.InputsAsNumpy), ("the subgraph's outputs", subgraph.OutputsAsNumpy))]
    return TfliteFile(tensors, ops, *ends, hashlib.sha256(content).hexdigest(), read_entry(model))


def _counted(what: str, count: int) -> range:
    if count > MAX_ITEMS:
        raise UserError(f"{count} {what}; allowed: at most {MAX_ITEMS}")
    return range(count)


def _op_name(code: schema.OperatorCode) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return _OP_NAMES.get(number, f"number {number}")


def _op(index: int, op: schema.Operator, names: tuple[str, ...], n_tensors: int) -> RawOp:
    if op.OpcodeIndex() >= len(names):
        raise UserError(f"op {index}: its op code is number {op.OpcodeIndex()}; the file has {len(names)}")
    kind = names[op.OpcodeIndex()]
    inputs, outputs = (_indices(read(), n_tensors, f"op {index} {kind}")
                       for read in (op.InputsAsNumpy, op.OutputsAsNumpy))
    return RawOp(index, kind, op.BuiltinOptions(), op.BuiltinOptionsType(), inputs, outputs)


def _indices(values, n_tensors: int, where: str) -> tuple[int, ...]:
    """Tensor numbers of a vector (0 where the file has none); -1 stands for an absent one."""
    numbers = tuple(map(int, _limited(values, MAX_ITEMS, f"{where}: tensor numbers")))
    for number in numbers:
        if not -1 <= number < n_tensors:
            raise UserError(f"{where}: tensor number {number}; the file has {n_tensors}")
    return numbers


def _limited(values, limit: int, what: str) -> np.ndarray:
    array = np.atleast_1d(values) if isinstance(values, np.ndarray) else np.zeros(0, np.int64)
    if len(array) > limit:
        raise UserError(f"{len(array)} {what}; allowed: at most {limit}")
    return array


def _tensor(index: int, tensor: schema.Tensor, model: schema.Model) -> Tensor:
    name = _name(index, tensor)
    shape = tuple(map(int, _limited(tensor.ShapeAsNumpy(), MAX_RANK, f"dimensions of tensor {name}")))
    dtype = _TYPE_NAMES.get(tensor.Type(), f"type {tensor.Type()}")
    data = _constant(name, tensor, model, dtype, shape)
    return Tensor(name, shape, dtype, *_quantization(name, tensor.Quantization()), data)


_NAME_FIELD = 10  # of the Tensor table, schema.fbs


def _name(index: int, tensor: schema.Tensor) -> str:
    """Printable, on one line, and never empty; read here because Tensor.Name() would copy it whole."""
    table = tensor._tab
    offset = table.Offset(_NAME_FIELD)
    if offset == 0:
        return f"number {index}"
    start = table.Vector(offset)
    text = bytes(table.Bytes[start:start + min(table.VectorLen(offset), MAX_NAME)]).decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in text) or f"number {index}"


def _quantization(name: str, quantization) -> tuple[np.ndarray, np.ndarray, int]:
    """(scale, zero point, axis); empty arrays where the tensor has no quantization."""
    if quantization is None or quantization.ScaleLength() == 0:
        return np.zeros(0, np.float32), np.zeros(0, np.int32), 0
    scale, zero_point = np.atleast_1d(quantization.ScaleAsNumpy()), quantization.ZeroPointAsNumpy()
    zeros = np.atleast_1d(zero_point) if isinstance(zero_point, np.ndarray) else np.zeros(0, np.int64)
    _limited(scale, MAX_SCALES, f"scales of tensor {name}")
    if len(zeros) not in (1, len(scale)):
        raise UserError(f"tensor {name}: {len(scale)} scales and {len(zeros)} zero points; allowed: as many, or one")
    if not ((zeros >= -2**31) & (zeros < 2**31)).all():
        raise UserError(f"tensor {name}: zero point {zeros[np.argmax(np.abs(zeros))]} does not fit 32 bits")
    zeros = np.broadcast_to(zeros.astype(np.int32), len(scale))
    return scale.astype(np.float32, copy=False), zeros, int(quantization.QuantizedDimension())


def _constant(name: str, tensor: schema.Tensor, model: schema.Model, dtype: str, shape) -> np.ndarray | None:
    """The tensor's data as an array of its shape; raw bytes where no operator looks into its type; None where it is an
    activation."""
    if tensor.Buffer() >= model.BuffersLength():
        raise UserError(f"tensor {name}: its buffer is number {tensor.Buffer()}; the file has {model.BuffersLength()}")
    buffer = model.Buffers(tensor.Buffer())
    if buffer.Offset() > 1 or tensor.ExternalBuffer() > 0:
        raise UserError(f"tensor {name}: its data lie outside the model's tables; allowed: inside")
    if buffer.DataLength() == 0:
        return None
    return _shaped(name, np.atleast_1d(buffer.DataAsNumpy()), dtype, shape)


def _shaped(name: str, data: np.ndarray, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype not in _KEPT_TYPES:
        return data
    needed = prod(shape) * np.dtype(dtype).itemsize
    if min(shape, default=1) < 0 or needed != len(data):
        raise UserError(f"tensor {name}: {len(data)} bytes for shape {shape} of {dtype}; allowed: {needed}")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def read_options(op: RawOp, kind: type | None) -> object:
    """An op's options as `kind`, one of schema's object classes; None where that is None. UserError where the file has
    others, or damaged ones."""
    if kind is None:
        return None
    name = kind.__name__.removesuffix("T")
    if op.options is None or op.options_type != getattr(schema.BuiltinOptions, name):
        raise UserError(f"{op.where}: has options of type {op.options_type}; allowed: {name}")
    try:
        return kind.InitFromBuf(op.options.Bytes, op.options.Pos)
    except Exception as error:
        raise UserError(f"{op.where}: its options are damaged ({type(error).__name__}: {error})") from error
