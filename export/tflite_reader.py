"""An int8 .tflite, ours or not, to a Graph. Each op is one entry of HANDLERS; each rule one small function."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ai_edge_litert.schema_py_generated as schema
import numpy as np

from datasets.console import UserError
from export.arithmetic import MAX_SCORES, same_padding, softmax_parameters, window_count
from export.graph import Graph, Op, Tensor, Window

_OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_TYPE_NAMES = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
_ACTIVATIONS = {value: name for name, value in vars(schema.ActivationFunctionType).items()
                if name in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")}


def read_tflite(source: Path | bytes) -> Graph:
    """The Graph of a .tflite file or of its bytes. UserError names the op, the tensor and the rule where it holds
    something that is not supported, and says so where it is damaged."""
    name, content = _content(source)
    try:
        graph = _graph(content)
        check_graph(graph)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except Exception as error:
        raise UserError(f"{name}: damaged .tflite ({type(error).__name__}: {error})") from error
    return graph


def _content(source: Path | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes | bytearray):
        return "model", bytes(source)
    try:
        return str(source), Path(source).read_bytes()
    except OSError as error:
        raise UserError(f"{source}: {error.strerror}; MODEL is an int8 .tflite") from error


def _graph(content: bytes) -> Graph:
    if content[4:8] != b"TFL3":
        raise UserError("not a .tflite (its bytes 4 to 8 are not TFL3)")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if len(model.subgraphs) != 1:
        raise UserError(f"{len(model.subgraphs)} subgraphs; allowed: one")
    subgraph = model.subgraphs[0]
    tensors = tuple(_tensor(tensor, model.buffers) for tensor in subgraph.tensors)
    ops = tuple(_op(i, op, model.operatorCodes, tensors) for i, op in enumerate(subgraph.operators))
    inputs, outputs = (tuple(map(int, ends)) for ends in (subgraph.inputs, subgraph.outputs))
    return Graph(tensors, ops, inputs, outputs, hashlib.sha256(content).hexdigest())


def _tensor(tensor: schema.TensorT, buffers: list) -> Tensor:
    name, shape = _text(tensor.name), () if tensor.shape is None else tuple(map(int, tensor.shape))
    dtype, quantization = _TYPE_NAMES[tensor.type], tensor.quantization
    scale = None if quantization is None else quantization.scale
    if scale is None or len(scale) == 0:
        scale, zero_point, axis = np.zeros(0, np.float32), np.zeros(0, np.int32), 0
    else:
        zeros = np.zeros(len(scale)) if quantization.zeroPoint is None else quantization.zeroPoint
        scale, zero_point = np.asarray(scale, np.float32), np.asarray(zeros, np.int32)
        axis = int(quantization.quantizedDimension)
    return Tensor(name, shape, dtype, scale, zero_point, axis, _constant(buffers[tensor.buffer].data, dtype, shape))


def _text(name) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _constant(data, dtype: str, shape: tuple[int, ...]) -> np.ndarray | None:
    if data is None or len(data) == 0:
        return None
    if dtype not in ("int8", "int32"):
        return np.asarray(data, np.uint8)
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.dtype(dtype).newbyteorder("<")).reshape(shape)


@dataclass(frozen=True)
class _Context:
    """What a handler sees: the op's options, tensor indices and tensors, and how to name the op in an error."""

    where: str
    kind: str
    options: object
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    tensors: tuple[Tensor | None, ...]
    result: Tensor

    def require(self, holds: bool, tensor: Tensor | None, rule: str) -> None:
        if not holds:
            raise UserError(f"{self.where}: tensor {tensor.name if tensor else 'absent'}: {rule}")


def _op(index: int, op: schema.OperatorT, codes: list, tensors: tuple[Tensor, ...]) -> Op:
    code = codes[op.opcodeIndex]
    kind = _OP_NAMES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "unknown")
    if kind not in HANDLERS:
        raise UserError(f"op {index} {kind}: not supported; allowed: {', '.join(HANDLERS)}")
    inputs, outputs = tuple(map(int, op.inputs)), tuple(map(int, op.outputs))
    operands = tuple(None if i < 0 else tensors[i] for i in inputs)
    context = _Context(f"op {index} {kind}", kind, op.builtinOptions, inputs, outputs, operands, tensors[outputs[0]])
    for tensor in (operands[0], context.result):
        _check_activation(context, tensor)
    return HANDLERS[kind](context)


def _check_activation(context: _Context, tensor: Tensor) -> None:
    """Activations are int8 with one scale, one batch, and are computed, not constant."""
    context.require(tensor.dtype == "int8", tensor, f"is {tensor.dtype}; activations must be int8")
    context.require(len(tensor.scale) == 1 and _usable(tensor.scale), tensor, "activations need one scale above 0")
    context.require(-128 <= tensor.zero_point[0] <= 127, tensor, "zero point must lie in -128..127")
    context.require(tensor.data is None, tensor, "activations must not be constants")
    context.require(len(tensor.shape) > 0 and min(tensor.shape) > 0 and tensor.shape[0] == 1, tensor,
                    f"has shape {tensor.shape}; allowed: one batch, no empty dimension")


def _usable(scale: np.ndarray) -> bool:
    return bool((np.isfinite(scale) & (scale > 0)).all())


def _check_weights(context: _Context, rank: int, axis: int | None) -> None:
    """Weights are constant int8, zero points 0, one scale or one per channel of `axis`; biases constant int32."""
    weight, bias = context.tensors[1], context.tensors[2] if len(context.tensors) > 2 else None
    context.require(weight is not None and weight.data is not None and weight.dtype == "int8", weight,
                    "weights must be constant int8")
    context.require(len(weight.shape) == rank, weight, f"has shape {weight.shape}; weights must have {rank} dimensions")
    channels = 1 if axis is None else weight.shape[axis]
    context.require(len(weight.scale) in (1, channels), weight, f"has {len(weight.scale)} scales; allowed: "
                    + ("one" if axis is None else f"one or {channels}"))
    context.require(len(weight.scale) == 1 or weight.axis == axis, weight, f"scales must run along axis {axis}")
    context.require(bool((weight.zero_point == 0).all()) and _usable(weight.scale), weight,
                    "weights need scales above 0 and zero points 0")
    if bias is not None:
        context.require(bias.data is not None and bias.dtype == "int32" and bias.data.size == context.result.shape[-1],
                        bias, "biases must be constant int32, one per output channel")


def _activation(context: _Context) -> str:
    code = context.options.fusedActivationFunction
    context.require(code in _ACTIVATIONS, context.result,
                    f"fused activation {code}; allowed: {', '.join(_ACTIVATIONS.values())}")
    return _ACTIVATIONS[code]


def _window(context: _Context, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1), multiplier=1) -> Window:
    options, plane = context.options, context.tensors[0].shape[1:3]
    stride = (options.strideH, options.strideW)
    context.require(min(*stride, *dilation, *kernel) >= 1, context.result, "stride, dilation and kernel are from 1 up")
    padding = [(0, 0), (0, 0)]
    if options.padding == schema.Padding.SAME:
        padding = [same_padding(*sizes) for sizes in zip(plane, kernel, stride, dilation, strict=True)]
    counts = tuple(map(window_count, plane, kernel, stride, dilation, padding))
    context.require(counts == context.result.shape[1:3], context.result,
                    f"plane {context.result.shape[1:3]} is not the {counts} that its window gives")
    return Window(kernel, stride, dilation, *zip(*padding, strict=True), multiplier)


def _require_planes(context: _Context) -> None:
    for tensor in (context.tensors[0], context.result):
        context.require(len(tensor.shape) == 4, tensor, f"has shape {tensor.shape}; must be [1, h, w, c]")


def _conv(context: _Context) -> Op:
    _require_planes(context)
    _check_weights(context, 4, 0)
    x, weight = context.tensors[:2]
    context.require(weight.shape[3] == x.shape[3], weight, f"{weight.shape[3]} input channels for {x.shape[3]}; "
                    "grouped convolutions are not supported")
    context.require(weight.shape[0] == context.result.shape[3], weight, "its first dimension must be output channels")
    dilation = (context.options.dilationHFactor, context.options.dilationWFactor)
    return _windowed(context, _window(context, weight.shape[1:3], dilation))


def _depthwise(context: _Context) -> Op:
    _require_planes(context)
    _check_weights(context, 4, 3)
    x, weight = context.tensors[:2]
    channels, multiplier = context.result.shape[3], context.options.depthMultiplier
    context.require(weight.shape[0] == 1 and weight.shape[3] == channels == x.shape[3] * multiplier, weight,
                    f"has shape {weight.shape}; must be [1, kh, kw, {x.shape[3]} x depth multiplier {multiplier}]")
    dilation = (context.options.dilationHFactor, context.options.dilationWFactor)
    return _windowed(context, _window(context, weight.shape[1:3], dilation, multiplier))


def _average_pool(context: _Context) -> Op:
    _require_planes(context)
    _require_same_quantization(context)
    context.require(context.tensors[0].shape[3] == context.result.shape[3], context.result, "channels must not change")
    return _windowed(context, _window(context, (context.options.filterHeight, context.options.filterWidth)))


def _require_same_quantization(context: _Context) -> None:
    x, result = context.tensors[0], context.result
    context.require(x.scale[0] == result.scale[0] and x.zero_point[0] == result.zero_point[0], result,
                    "must have its input's scale and zero point")


def _windowed(context: _Context, window: Window) -> Op:
    return Op(context.kind, context.inputs, context.outputs, _activation(context), window)


def _fully_connected(context: _Context) -> Op:
    _check_weights(context, 2, None)
    x, weight = context.tensors[:2]
    context.require(weight.shape[1] == x.elements and weight.shape[0] == context.result.elements, weight,
                    f"has shape {weight.shape}; must be [{context.result.elements}, {x.elements}]")
    context.require(context.options.weightsFormat == 0, weight, "shuffled weights are not supported")
    return Op(context.kind, context.inputs, context.outputs, _activation(context))


def _reshape(context: _Context) -> Op:
    _require_same_quantization(context)
    context.require(context.tensors[0].elements == context.result.elements, context.result,
                    f"has {context.result.elements} elements; its input has {context.tensors[0].elements}")
    return Op(context.kind, context.inputs[:1], context.outputs)


def _softmax(context: _Context) -> Op:
    x, result = context.tensors[0], context.result
    context.require(x.shape == result.shape and x.elements == x.shape[-1], result, "must be one row of scores")
    context.require(result.scale[0] == np.float32(1 / 256) and result.zero_point[0] == -128, result,
                    "softmax must have scale 1/256 and zero point -128")
    beta = float(context.options.beta)
    context.require(x.elements <= MAX_SCORES, x, f"has {x.elements} scores; softmax takes at most {MAX_SCORES}")
    context.require(softmax_parameters(x.scale[0], beta).shift >= 1, x,
                    f"scale {x.scale[0]} times beta {beta} is too small for softmax; allowed: above 2^-26")
    return Op(context.kind, context.inputs, context.outputs, beta=beta)


HANDLERS: dict[str, Callable[[_Context], Op]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _average_pool,
    "RESHAPE": _reshape,
    "SOFTMAX": _softmax,
}


def check_graph(graph: Graph) -> None:
    """One input, one output, each tensor written once and before it is read."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or not graph.ops:
        raise UserError(f"{len(graph.inputs)} inputs, {len(graph.outputs)} outputs, {len(graph.ops)} ops; "
                        "allowed: one input, one output, at least one op")
    known = {graph.inputs[0]}
    for op in graph.ops:
        for i in op.inputs:
            if i >= 0 and graph.tensors[i].data is None and i not in known:
                raise UserError(f"{op.kind}: tensor {graph.tensors[i].name}: is read before it is written")
        if len(op.outputs) != 1 or op.outputs[0] in known:
            raise UserError(f"{op.kind}: tensor {graph.result(op).name}: must be the only output and written once")
        known.update(op.outputs)
    if graph.outputs[0] not in known:
        raise UserError(f"tensor {graph.output.name}: the output is never written")
