"""Each kernel, called alone, against TFLite Micro on a model of that one op; built to trap on undefined behaviour."""

import ctypes

import ai_edge_litert.schema_py_generated as schema
import numpy as np
import pytest

from export.arithmetic import (
    ADD_LEFT_SHIFT,
    activation_range,
    add_multipliers,
    channel_multipliers,
    dense_multiplier,
    mean_multiplier,
    requantize_multiplier,
    same_padding,
)
from export.host import KERNELS, WARNINGS
from export.stimuli import random_inputs
from export.tflite_file import parse_tflite
from export.toolchain import host_compiler, run_tool
from export.witness import tflm_runtime
from tests.export.models import Chain

ROWS = 5
GUARD = 64
SEEDS = pytest.mark.parametrize("seeds", [range(25), pytest.param(range(25, 1000), marks=pytest.mark.slow)],
                                ids=["few", "many"])
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """Our kernels as a library: undefined behaviour ends the process."""
    out = tmp_path_factory.mktemp("kernels") / "kernels.so"
    run_tool([host_compiler(), *WARNINGS, "-O1", "-fPIC", "-shared", "-fsanitize=undefined",
              "-fsanitize-undefined-trap-on-error", "-o", out, *sorted(KERNELS.glob("*.c"))], "the kernels")
    return ctypes.CDLL(str(out))


def ints(*values) -> ctypes.Array:
    """A struct or an array of int32."""
    return (ctypes.c_int32 * len(values))(*map(int, values))


def channels_quant(multipliers, shifts) -> tuple[ctypes.Array, list]:
    """A kws_nn_per_channel_quant_params, and the arrays it points to."""
    arrays = [ints(*multipliers), ints(*shifts)]
    return (ctypes.c_void_p * 2)(*map(ctypes.addressof, arrays)), arrays


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class Output:
    """Memory for a kernel's output, with guard bytes around it. initial: what it holds before."""

    def __init__(self, size: int, dtype=np.int8, initial: np.ndarray | None = None) -> None:
        self.memory = np.full(size + 2 * GUARD, 0x5A, dtype)
        self.values = self.memory[GUARD:GUARD + size]
        self.values[:] = -77 if dtype == np.int8 else 77
        if initial is not None:
            self.values[:] = initial.ravel()

    @property
    def at(self) -> ctypes.c_void_p:
        return pointer(self.values)

    def checked(self) -> np.ndarray:
        around = np.concatenate([self.memory[:GUARD], self.memory[-GUARD:]])
        assert (around == 0x5A).all(), "wrote outside its output"
        return self.values


class Net:
    """A model of one op: what its kernel takes from its tensors, and TFLite Micro on it."""

    def __init__(self, chain: Chain) -> None:
        self.content = chain.content()
        file = parse_tflite(self.content)
        self.operands = [None if i < 0 else file.tensors[i] for i in file.ops[0].inputs]
        self.result = file.tensors[file.ops[0].outputs[0]]
        self.x, self.size = self.operands[0], self.result.elements
        self.scales = [self.x.scale[0], self.result.scale[0]]
        self.input_offset, self.output_offset = -int(self.x.zero_point[0]), int(self.result.zero_point[0])

    def range(self, activation: str) -> tuple[int, int]:
        """(min, max) of the output behind a fused activation."""
        return activation_range(activation, self.scales[1], self.output_offset)

    def expected(self, *inputs: np.ndarray) -> np.ndarray:
        """TFLite Micro's output [size] for one value of each input."""
        interpreter = tflm_runtime().Interpreter.from_bytes(self.content, arena_size=1 << 20)
        for index, values in enumerate(inputs):
            interpreter.set_input(values.reshape(interpreter.get_input_details(index)["shape"]), index)
        interpreter.invoke()
        return interpreter.get_output(0).ravel()


def rows_of(net: Net, seed: int) -> np.ndarray:
    return random_inputs(net.x.shape, ROWS, seed)


def random_plane(rng) -> tuple[int, ...]:
    return (1, *map(int, rng.integers(1, (13, 9, 11))))


@SEEDS
def test_max_pool(kernels, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        padding, activation = rng.choice(["SAME", "VALID"]), str(rng.choice(ACTIVATIONS))
        kernel, stride = (tuple(map(int, rng.integers(1, 5, 2))) for _ in range(2))
        shape = (1, *(int(k + rng.integers(0, 9)) for k in kernel), int(rng.integers(1, 11)))
        net = Net(Chain(shape, seed).max_pool(kernel, stride, padding, activation))
        before = [same_padding(*sizes)[0] if padding == "SAME" else 0
                  for sizes in zip(shape[1:3], kernel, stride, strict=True)]
        params = ints(*stride[::-1], *before[::-1], *net.range(activation))
        for x in rows_of(net, seed):
            output = Output(net.size)
            assert kernels.kws_max_pool_s8(None, params, ints(*shape), pointer(x), ints(1, *kernel, 1),
                                           ints(*net.result.shape), output.at) == 0
            np.testing.assert_array_equal(output.checked(), net.expected(x), f"seed {seed}")


def test_max_pool_refuses_a_window_outside_the_plane(kernels):
    x, output = np.zeros(1, np.int8), Output(2)
    status = kernels.kws_max_pool_s8(None, ints(3, 1, 0, 0, -128, 127), ints(1, 1, 1, 1), pointer(x), ints(1, 1, 1, 1),
                                     ints(1, 1, 2, 1), output.at)
    assert status == -1
    output.checked()


def sum_net(seed: int) -> tuple[Net, str]:
    """ADD of two inputs whose scales differ, up to a thousandfold."""
    rng = np.random.default_rng(seed)
    chain, activation = Chain(random_plane(rng), seed), str(rng.choice(ACTIVATIONS))
    other = chain.activation(chain.shape, chain.scale * 10 ** rng.uniform(-3, 3))
    chain.graph.inputs = [chain.at, other]
    return Net(chain.add(other, 2 ** rng.uniform(-4, 4), activation)), activation


@SEEDS
@pytest.mark.parametrize("place", ["apart", "in the first", "in the second"])
def test_elementwise_add(kernels, seeds, place):
    for seed in seeds:
        net, activation = sum_net(seed)
        scaling = add_multipliers(*(tensor.scale[0] for tensor in (*net.operands, net.result)))
        offsets = [-int(tensor.zero_point[0]) for tensor in net.operands]
        rows = zip(rows_of(net, seed), rows_of(net, seed + 1)[::-1], strict=True)
        for x, y in rows:
            output = Output(net.size, initial={"in the first": x, "in the second": y}.get(place))
            a, b = (output.at if where == place else pointer(values)
                    for where, values in (("in the first", x), ("in the second", y)))
            assert kernels.kws_elementwise_add_s8(a, b, offsets[0], *scaling[0], offsets[1], *scaling[1],
                                                  ADD_LEFT_SHIFT, output.at, net.output_offset, *scaling[2],
                                                  *net.range(activation), net.size) == 0
            np.testing.assert_array_equal(output.checked(), net.expected(x, y), f"seed {seed}")


def dense_net(seed: int, per_channel: bool) -> tuple[Net, str]:
    """FULLY_CONNECTED with one weight scale, or one an output; now and then without biases."""
    rng = np.random.default_rng(seed)
    inputs, outputs = int(rng.integers(1, 200)), int(rng.integers(2, 14))
    chain, options = Chain((1, inputs), seed), schema.FullyConnectedOptionsT()
    activation = str(rng.choice(ACTIVATIONS))
    options.fusedActivationFunction = getattr(schema.ActivationFunctionType, activation)
    weights, bias, scale = chain.parameters((outputs, inputs), outputs, 0, per_channel, inputs)
    output = chain.activation((1, outputs), scale)
    return Net(chain.op("FULLY_CONNECTED", [chain.at, weights, bias if seed % 5 else -1], output, options)), activation


@SEEDS
@pytest.mark.parametrize("per_channel", [False, True])
def test_fully_connected(kernels, seeds, per_channel):
    for seed in seeds:
        net, activation = dense_net(seed, per_channel)
        _, weight, bias = net.operands
        outputs, inputs = weight.shape
        if per_channel:
            quant, _kept = channels_quant(*channel_multipliers(net.scales[0], weight.scale, net.scales[1], outputs))
        else:
            quant = ints(*dense_multiplier(net.scales[0], weight.scale[0], net.scales[1]))
        kernel = kernels.kws_fully_connected_per_channel_s8 if per_channel else kernels.kws_fully_connected_s8
        params = ints(net.input_offset, 0, net.output_offset, *net.range(activation))
        for x in rows_of(net, seed):
            output = Output(outputs)
            assert kernel(None, params, quant, ints(1, 1, 1, inputs), pointer(x), ints(inputs, 1, 1, outputs),
                          pointer(weight.data), None, pointer(bias.data) if bias else None,
                          ints(1, 1, 1, outputs), output.at) == 0
            np.testing.assert_array_equal(output.checked(), net.expected(x), f"seed {seed}")


def test_fully_connected_refuses_asymmetric_weights(kernels):
    params, dims = ints(0, 1, 0, -128, 127), ints(1, 1, 1, 1)
    quant, _kept = channels_quant([1 << 30], [0])
    x, output = np.zeros(1, np.int8), Output(1)
    for kernel, scaling in ((kernels.kws_fully_connected_s8, ints(1 << 30, 0)),
                            (kernels.kws_fully_connected_per_channel_s8, quant)):
        assert kernel(None, params, scaling, dims, pointer(x), dims, pointer(x), None, None, dims, output.at) == -1
    assert output.checked()[0] == -77


@SEEDS
def test_mean(kernels, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net = Net(Chain(random_plane(rng), seed).mean(bool(seed % 2), ratio=2 ** rng.uniform(-12, 3)))
        _, height, width, channels = net.x.shape
        scaling = mean_multiplier(*net.scales, height * width)
        for x in rows_of(net, seed):
            output = Output(net.size)
            kernels.kws_mean_s8(pointer(x), height * width, channels, net.input_offset, *scaling,
                                net.output_offset, output.at)
            np.testing.assert_array_equal(output.checked(), net.expected(x), f"seed {seed}")


@SEEDS
def test_pad(kernels, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        pads = rng.integers(0, 4, (3, 2)).tolist()
        net = Net(Chain(random_plane(rng), seed).pad(*pads))
        for x in rows_of(net, seed):
            output = Output(net.size)
            kernels.kws_pad_s8(pointer(x), *net.x.shape[1:], *sum(pads, []), net.output_offset, output.at)
            np.testing.assert_array_equal(output.checked(), net.expected(x), f"seed {seed}")


@SEEDS
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in-place"])
@pytest.mark.parametrize("kernel", ["kws_requantize_s8", "kws_requantize_u8_s8", "kws_requantize_s8_u8"])
def test_requantize(kernels, seeds, kernel, in_place):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        chain = Chain(random_plane(rng), seed)
        if kernel == "kws_requantize_u8_s8":
            chain.unsigned(chain.at)
        ratio = 1.0 if seed % 5 == 0 else 2 ** rng.uniform(-18, 4)
        net = Net(chain.quantize(ratio, unsigned=kernel == "kws_requantize_s8_u8"))
        check_requantization(kernels[kernel], net, requantize_multiplier(*net.scales), None, in_place, seed)


@SEEDS
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in-place"])
def test_relu(kernels, seeds, in_place):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net = Net(Chain(random_plane(rng), seed).relu(2 ** rng.uniform(-18, 4)))
        check_requantization(kernels.kws_requantize_s8, net, requantize_multiplier(*net.scales), net.range("RELU"),
                             in_place, seed)


def check_requantization(kernel, net: Net, scaling, limits, in_place: bool, seed: int) -> None:
    """limits: (min, max) of the output; None for all that its type holds."""
    target = np.dtype(net.result.dtype)
    limits = limits or (np.iinfo(target).min, np.iinfo(target).max)
    for x in rows_of(net, seed).view(net.x.dtype):
        output = Output(net.size, target, x.view(target) if in_place else None)
        kernel(output.at if in_place else pointer(x), net.input_offset, *scaling, net.output_offset, *limits, net.size,
               output.at)
        np.testing.assert_array_equal(output.checked(), net.expected(x), f"seed {seed}")


@SEEDS
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in-place"])
def test_clamp(kernels, seeds, in_place):
    for seed in seeds:
        net = Net(Chain(random_plane(np.random.default_rng(seed)), seed).relu6())
        limits = activation_range("RELU6", net.scales[0], -net.input_offset)
        for x in rows_of(net, seed):
            output = Output(net.size, initial=x if in_place else None)
            kernels.kws_clamp_s8(output.at if in_place else pointer(x), *limits, net.size, output.at)
            np.testing.assert_array_equal(output.checked(), net.expected(x), f"seed {seed}")
