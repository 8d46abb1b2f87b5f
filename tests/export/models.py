"""Nets for tests: random FloatNets as kws_grow leaves them, and .tflite files written op by op, without TensorFlow."""

from functools import cache

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
import numpy as np

from export.net import FloatLayer, FloatNet
from export.quantize import to_tflite
from export.shape import FIRST_KERNEL, FIRST_STRIDE, NetShape

LABELS = ("_silence_", "_unknown_", "yes", "no", "up")


def random_net(seed: int, widths: tuple[int, ...], n_coefficients: int = 10, labels=LABELS, depths=(),
               strides=()) -> FloatNet:
    """A DS-CNN of these path widths, residual blocks and strides with random weights; ranges narrow enough that values
    clip now and then."""
    rng = np.random.default_rng(seed)

    def layer(op, weight, axes, stride=(1, 1), relu=True):
        weight = (weight / np.sqrt(max(1, weight[0].size))).astype(np.float32)
        limit = (np.abs(weight).max(axis=axes) * rng.uniform(0.7, 1.1)).astype(np.float32)
        bias = rng.normal(0, 0.5, weight.shape[2] if op == "depthwise" else len(weight)).astype(np.float32)
        ends = (0.0, float(rng.uniform(1, 3))) if relu else (-float(rng.uniform(1, 3)), float(rng.uniform(1, 3)))
        return FloatLayer(op, weight, bias, stride, relu, ends, limit)

    def depthwise(channels, stride=(1, 1)):
        return layer("depthwise", rng.normal(size=(3, 3, channels)) * np.sqrt(channels / 3), (0, 1), stride)

    def pointwise(in_c, out_c, relu=True):
        return layer("conv", 2 * rng.normal(size=(out_c, 1, 1, in_c)), (1, 2, 3), relu=relu)

    def add_blocks(channels, depth):
        for _ in range(depth):
            addend = len(layers) - 1
            layers.extend((depthwise(channels), pointwise(channels, channels, relu=False),
                           FloatLayer("add", relu=True, output_range=(0.0, float(rng.uniform(2, 4))), addend=addend)))

    shape = NetShape(widths, n_coefficients, len(labels), depths, strides)
    first = rng.normal(size=(widths[0], *FIRST_KERNEL[n_coefficients], 1)) / 100
    layers = [layer("conv", first, (1, 2, 3), FIRST_STRIDE[n_coefficients])]
    add_blocks(widths[0], shape.depths[0])
    for in_c, out_c, stride, depth in zip(widths, widths[1:], shape.strides, shape.depths[1:], strict=False):
        layers += [depthwise(in_c, (stride, stride)), pointwise(in_c, out_c)]
        add_blocks(out_c, depth)
    layers += [FloatLayer("average_pool"),
               layer("dense", 4 * rng.normal(size=(len(labels), widths[-1])), 1, relu=False), FloatLayer("softmax")]
    return FloatNet((49, n_coefficients), (-300.0, float(rng.uniform(500, 1600))), tuple(layers), labels, "synthetic")


@cache
def small_model(seed: int = 0, widths: tuple[int, ...] = (8, 6, 5), n_coefficients: int = 10, depths=(),
                strides=()) -> bytes:
    """The .tflite of a random net, converted once per process."""
    return to_tflite(random_net(seed, widths, n_coefficients, depths=depths, strides=strides))


def cut(tflite: bytes, last_op: int) -> bytes:
    """The same model, ending behind the op of that index."""
    model = schema.ModelT.InitFromPackedBuf(tflite, 0)
    graph = model.subgraphs[0]
    graph.operators = graph.operators[:last_op + 1]
    graph.outputs, model.signatureDefs = graph.operators[-1].outputs, None
    return packed(model)


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class Chain:
    """Writes a .tflite of a chain of ops with random weights and scales; every method adds an op."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "test"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.kinds = [], [], []
        self.model.subgraphs = [self.graph]
        self.at = self.activation(shape, self.rng.uniform(0.01, 0.1))
        self.graph.inputs = [self.at]

    def __repr__(self) -> str:
        """Seed and ops with the shapes they write, for what hypothesis prints."""
        tensors = [self.graph.tensors[self.graph.inputs[0]], *(self.graph.tensors[op.outputs[0]] for op in
                                                               self.graph.operators)]
        names = ["input", *(self.kinds[op.opcodeIndex] for op in self.graph.operators)]
        return f"seed {self.seed}: " + " ".join(f"{name} {list(tensor.shape)} {tensor.quantization.scale[0]:.9g}"
                                                for name, tensor in zip(names, tensors, strict=True))

    def tensor(self, shape, kind, scale, zero_point, data=None, axis=0) -> int:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape, tensor.type = f"tensor_{len(self.graph.tensors)}", list(shape), kind
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.quantizedDimension = np.atleast_1d(scale).tolist(), axis
        tensor.quantization.zeroPoint = np.broadcast_to(zero_point, np.size(scale)).tolist()
        if data is not None:
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def activation(self, shape, scale, zero_point=None) -> int:
        zero_point = int(self.rng.integers(-128, 128)) if zero_point is None else zero_point
        return self.tensor(shape, schema.TensorType.INT8, scale, zero_point)

    def op(self, kind: str, inputs, output: int, options=None) -> "Chain":
        code, op = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        op.opcodeIndex, op.inputs, op.outputs = len(self.model.operatorCodes), inputs, [output]
        if options is not None:
            op.builtinOptions = options
            op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self.model.operatorCodes.append(code)
        self.kinds.append(kind)
        self.graph.operators.append(op)
        self.at = output
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.graph.tensors[self.at].shape)

    @property
    def scale(self) -> float:
        return self.graph.tensors[self.at].quantization.scale[0]

    def parameters(self, shape, channels: int, axis: int, per_channel: bool, taps: int, bias_steps=20000):
        """Weights and biases of random scales, and an output scale that spreads the sums over int8."""
        scale = self.rng.uniform(0.002, 0.02, channels if per_channel else 1).astype(np.float32)
        weights = self.rng.integers(-127, 128, shape).astype(np.int8)
        bias = self.rng.integers(-bias_steps, bias_steps + 1, channels).astype(np.int32)
        return (self.tensor(shape, schema.TensorType.INT8, scale, 0, weights, axis),
                self.tensor((channels,), schema.TensorType.INT32, scale * np.float32(self.scale), 0, bias),
                float(scale.mean()) * self.scale * np.sqrt(taps) * 73 * 73 / self.rng.uniform(30, 300))

    def windowed(self, kind, options, shape, kernel, stride, dilation, padding, activation, multiplier=1, **kwargs):
        _, height, width, in_c = self.shape
        sizes = [(size - (k - 1) * d - 1) // s + 1 if padding == "VALID" else -(-size // s)
                 for size, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)]
        channels = shape[3] if kind == "DEPTHWISE_CONV_2D" else shape[0]
        axis, taps = (3, np.prod(kernel)) if kind == "DEPTHWISE_CONV_2D" else (0, np.prod(kernel) * in_c)
        weights, bias, scale = self.parameters(shape, channels, axis, kwargs.pop("per_channel", True), taps, **kwargs)
        options.strideH, options.strideW = stride
        options.dilationHFactor, options.dilationWFactor = dilation
        options.padding = getattr(schema.Padding, padding)
        options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
        return self.op(kind, [self.at, weights, bias], self.activation((1, *sizes, channels), scale), options)

    def conv(self, out_c, kernel=(3, 3), stride=(1, 1), dilation=(1, 1), padding="SAME", activation="NONE", **kwargs):
        shape = (out_c, *kernel, self.shape[3])
        return self.windowed("CONV_2D", schema.Conv2DOptionsT(), shape, kernel, stride, dilation, padding, activation,
                             **kwargs)

    def depthwise(self, multiplier=1, kernel=(3, 3), stride=(1, 1), dilation=(1, 1), padding="SAME",
                  activation="NONE", **kwargs):
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = multiplier
        shape = (1, *kernel, self.shape[3] * multiplier)
        return self.windowed("DEPTHWISE_CONV_2D", options, shape, kernel, stride, dilation, padding, activation,
                             **kwargs)

    def pool(self, kind, kernel=(2, 2), stride=(2, 2), padding="VALID", activation="NONE"):
        options = schema.Pool2DOptionsT()
        options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
        options.filterHeight, options.filterWidth = kernel
        options.strideH, options.strideW = stride
        options.padding = getattr(schema.Padding, padding)
        before = self.graph.tensors[self.at].quantization
        sizes = [(size - k) // s + 1 if padding == "VALID" else -(-size // s)
                 for size, k, s in zip(self.shape[1:3], kernel, stride, strict=True)]
        output = self.activation((1, *sizes, self.shape[3]), before.scale[0], before.zeroPoint[0])
        return self.op(kind, [self.at], output, options)

    def average_pool(self, *args, **kwargs):
        return self.pool("AVERAGE_POOL_2D", *args, **kwargs)

    def max_pool(self, *args, **kwargs):
        return self.pool("MAX_POOL_2D", *args, **kwargs)

    def mean(self, keep_dims=False, axes=(1, 2), ratio=1.0):
        """ratio: of the output's scale to the input's."""
        options, channels = schema.ReducerOptionsT(), self.shape[3]
        options.keepDims = keep_dims
        axis = self.tensor((len(axes),), schema.TensorType.INT32, [], 0, np.array(axes, np.int32))
        output = self.activation((1, 1, 1, channels) if keep_dims else (1, channels), self.scale * ratio)
        return self.op("MEAN", [self.at, axis], output, options)

    def add(self, other: int, ratio=1.0, activation="NONE"):
        """The sum with an earlier tensor of the same shape; ratio: of the output's scale to the larger input's."""
        options = schema.AddOptionsT()
        options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
        scale = max(self.scale, self.graph.tensors[other].quantization.scale[0]) * ratio
        return self.op("ADD", [self.at, other], self.activation(self.shape, scale), options)

    def pad(self, rows=(1, 1), columns=(1, 1), channels=(0, 0)):
        before = self.graph.tensors[self.at].quantization
        pads = np.array([(0, 0), rows, columns, channels], np.int32)
        paddings = self.tensor((4, 2), schema.TensorType.INT32, [], 0, pads)
        shape = tuple(size + sum(pair) for size, pair in zip(self.shape, pads.tolist(), strict=True))
        return self.op("PAD", [self.at, paddings], self.activation(shape, before.scale[0], before.zeroPoint[0]),
                       schema.PadOptionsT())

    def relu(self, ratio=1.0):
        return self.op("RELU", [self.at], self.activation(self.shape, self.scale * ratio))

    def relu6(self):
        before = self.graph.tensors[self.at].quantization
        return self.op("RELU6", [self.at], self.activation(self.shape, before.scale[0], before.zeroPoint[0]))

    def quantize(self, ratio=1.0, unsigned=False):
        """To another scale and zero point, and to uint8 where `unsigned`."""
        output = self.activation(self.shape, self.scale * ratio)
        if unsigned:
            self.unsigned(output)
        return self.op("QUANTIZE", [self.at], output, schema.QuantizeOptionsT())

    def unsigned(self, tensor: int) -> "Chain":
        """Make an activation uint8: the same real values."""
        self.graph.tensors[tensor].type = schema.TensorType.UINT8
        self.graph.tensors[tensor].quantization.zeroPoint = [self.graph.tensors[tensor].quantization.zeroPoint[0] + 128]
        return self

    def reshape(self, shape):
        before = self.graph.tensors[self.at].quantization
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        target = self.tensor((len(shape),), schema.TensorType.INT32, [], 0, np.array(shape, np.int32))
        return self.op("RESHAPE", [self.at, target], self.activation(shape, before.scale[0], before.zeroPoint[0]),
                       options)

    def dense(self, outputs, activation="NONE", **kwargs):
        options, inputs = schema.FullyConnectedOptionsT(), int(np.prod(self.shape))
        options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
        per_channel = kwargs.pop("per_channel", False)
        weights, bias, scale = self.parameters((outputs, inputs), outputs, 0, per_channel, inputs, **kwargs)
        return self.op("FULLY_CONNECTED", [self.at, weights, bias], self.activation((1, outputs), scale), options)

    def softmax(self, beta=1.0):
        options = schema.SoftmaxOptionsT()
        options.beta = beta
        return self.op("SOFTMAX", [self.at], self.activation(self.shape, 1 / 256, -128), options)

    def content(self) -> bytes:
        self.graph.outputs = [self.at]
        return packed(self.model)
