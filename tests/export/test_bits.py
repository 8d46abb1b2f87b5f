"""The chain, to the bit: TFLite Micro, ONNX Runtime and our C on the host give the same int8 scores, every byte."""


import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from datasets.features import log_mel_codes
from datasets.wav import fit_to_second
from export.host import host_scores
from export.onnx_operator import EXACT_FLOAT32
from export.onnx_writer import to_onnx
from export.quantize import to_tflite
from export.runs import input_quantizer
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.witness import onnx_scores, tflm_scores
from tests.export.family import nets
from tests.export.models import Chain, cut, random_net, small_model

AUDIO = Path(__file__).resolve().parents[3] / "shared" / "speech_commands" / "audio_flac.zip"
QUICK = settings(max_examples=12, deadline=None, derandomize=True)
LONG = settings(max_examples=250, deadline=None)


def assert_same_bits(tflite: bytes, inputs: np.ndarray) -> np.ndarray:
    """All three agree on every byte; returns the scores."""
    graph = read_tflite(tflite)
    witness = tflm_scores(tflite, inputs)
    np.testing.assert_array_equal(onnx_scores(to_onnx(graph), inputs), witness)
    np.testing.assert_array_equal(host_scores(graph, inputs), witness)
    return witness


widths = st.lists(st.integers(4, 70), min_size=1, max_size=4).map(tuple)


def check_grown(seed, widths, n_coefficients):
    """The scores, and the whole plane behind the last convolution, where no average hides a wrong byte."""
    tflite = to_tflite(random_net(seed, widths, n_coefficients))
    inputs = random_inputs((1, 49, n_coefficients, 1), 24, seed)
    assert_same_bits(tflite, inputs)
    kinds = [op.kind for op in read_tflite(tflite).ops]
    plane = assert_same_bits(cut(tflite, kinds.index("AVERAGE_POOL_2D") - 1), inputs[:4])
    assume(len(np.unique(plane)) > 3)  # most random nets are alive; the others say little


@QUICK
@given(seed=st.integers(0, 10**6), widths=widths, n_coefficients=st.sampled_from([10, 20]))
def test_grown_nets(seed, widths, n_coefficients):
    check_grown(seed, widths, n_coefficients)


@pytest.mark.slow
@LONG
@given(seed=st.integers(0, 10**6), widths=widths, n_coefficients=st.sampled_from([10, 20]))
def test_grown_nets_at_length(seed, widths, n_coefficients):
    check_grown(seed, widths, n_coefficients)


@pytest.mark.parametrize(("depths", "strides", "n_coefficients"), [
    ((1, 2, 0), (2, 1), 10), ((0, 1, 2), (1, 2), 20), ((2, 0, 1), (2, 2), 10)])
def test_residual_nets(depths, strides, n_coefficients):
    """Every plane behind a sum, and the scores."""
    tflite = small_model(11, (8, 12, 7), n_coefficients, depths, strides)
    inputs = random_inputs((1, 49, n_coefficients, 1), 8, 3)
    assert_same_bits(tflite, inputs)
    for i, op in enumerate(read_tflite(tflite).ops):
        if op.kind == "ADD":
            assert len(np.unique(assert_same_bits(cut(tflite, i), inputs[:3]))) > 20


def check_family(chain):
    shape, content = tuple(chain.graph.tensors[0].shape), chain.content()
    inputs = random_inputs(shape, 16, chain.seed).view(read_tflite(content).input.dtype)
    assert_same_bits(content, inputs)


@settings(QUICK, max_examples=60)
@given(nets())
def test_family_of_nets(chain):
    check_family(chain)


@pytest.mark.slow
@settings(LONG, max_examples=2000)
@given(nets())
def test_family_of_nets_at_length(chain):
    check_family(chain)


@pytest.mark.parametrize("build", [
    lambda: Chain((1, 9, 8, 3), 1).conv(5, (3, 2), (2, 1), padding="VALID").average_pool((2, 3), (1, 2)),
    lambda: Chain((1, 12, 12, 4), 2).depthwise(2, (3, 3), (1, 2), padding="VALID", activation="RELU6").conv(6, (1, 1)),
    lambda: Chain((1, 6, 5, 8), 3).reshape((1, 5, 6, 8)).conv(4).reshape((1, 120)).softmax(),
    lambda: Chain((1, 40), 4).dense(9, activation="RELU").dense(12).softmax(2.5),
    lambda: Chain((1, 4, 4, 2), 5).reshape((1, 32)),
    lambda: Chain((1, 6, 6, 3), 6).conv(4).reshape((1, 3, 12, 4)),
], ids=["valid", "multiplier", "reshapes", "dense", "only-reshape", "ends-in-plane"])
def test_shapes_of_other_nets(build):
    chain = build()
    shape = tuple(chain.graph.tensors[0].shape)
    assert_same_bits(chain.content(), random_inputs(shape, 20))


@pytest.mark.parametrize("activation", ["NONE", "RELU"])
@pytest.mark.parametrize(("taps", "bias_steps"), [
    (40, 30_000_000), (2000, 1000), (8000, 50_000_000), (30_000, 0), (2**16, 20_000_000)])
def test_sums_beyond_float32(taps, bias_steps, activation):
    """Sums above 2^24 are exact all the same: the bias in int64, the weights in parts of few bits."""
    chain = Chain((1, 1, 1, taps), 7).conv(6, (1, 1), activation=activation, bias_steps=bias_steps)
    tflite = chain.content()
    graph = read_tflite(tflite)
    weight, bias = (tensor.data.astype(np.int64) for tensor in graph.operands(graph.ops[0])[1:])
    reach = np.abs(weight).reshape(6, -1).sum(1) * 255 + np.abs(bias)
    assert reach.max() > EXACT_FLOAT32
    assert_same_bits(tflite, random_inputs((1, 1, 1, taps), 40))


@pytest.mark.parametrize("build", [
    lambda: Chain((1, 256, 257, 1), 1).average_pool((255, 257), (1, 1)),
    lambda: Chain((1, 9, 7, 2), 2).average_pool((4, 4), (3, 2), "SAME").average_pool((3, 3), (1, 1), "SAME"),
    lambda: Chain((1, 6, 5, 4), 3).pad((0, 1), (2, 0)).max_pool((3, 2), (1, 1), "SAME", "RELU6"),
    lambda: Chain((1, 5, 5, 4), 4).relu().add(0).add(1),
    lambda: Chain((1, 16, 16, 1), 23).relu(0.8),
    lambda: Chain((1, 3, 4), 5).relu(0.5).quantize(1.7).relu6().reshape((1, 12)).dense(3),
    lambda: Chain((1, 8), 6).quantize(unsigned=True).quantize(0.4).dense(4, activation="RELU_N1_TO_1"),
    lambda: Chain((1, 1), 7).softmax(),
], ids=["many-taps", "pools-over-edges", "pad-before-max-pool", "adds", "relu-at-halves", "three-dimensions",
        "uint8-inside", "one-score"])
def test_corners(build):
    chain = build()
    content = chain.content()
    graph = read_tflite(content)
    assert_same_bits(content, random_inputs(graph.input.shape, 8, 1).view(graph.input.dtype))


def test_every_softmax_of_two():
    """Every difference of two scores, with many scales: the whole exponential and the reciprocal near its ends."""
    inputs = np.array([[127, v] for v in range(-128, 128)] + [[v, 127] for v in range(-128, 128)], np.int8)
    for seed in range(6):
        chain = Chain((1, 2), seed)
        chain.graph.tensors[0].quantization.scale = [10.0 ** (seed - 4)]
        assert_same_bits(chain.softmax().content(), inputs)


def test_softmax_of_many_equal_scores():
    """The sum reaches its largest powers of two."""
    for n in (1, 3, 31, 256):
        inputs = np.random.default_rng(n).integers(120, 128, (4, n), dtype=np.int8)
        inputs[0] = 5
        assert_same_bits(Chain((1, n), n).softmax().content(), inputs)


@pytest.fixture(scope="module")
def real_codes():
    """uint8 codes [200, 49, 40] of real clips, from the recordings in ../shared."""
    if not AUDIO.is_file():
        pytest.skip("the real recordings are not in ../shared")
    with zipfile.ZipFile(AUDIO) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".flac") and name[0] != "_")
        waves = [soundfile.read(io.BytesIO(archive.read(name)), dtype="int16")[0]
                 for name in names[::len(names) // 200]]
    return np.array([log_mel_codes(fit_to_second(wave)) for wave in waves[:200]])


@pytest.mark.shared
@pytest.mark.parametrize("n_coefficients", [10, 20])
def test_real_clips(n_coefficients, real_codes):
    tflite = small_model(3, (16, 12, 20), n_coefficients)
    inputs = input_quantizer(read_tflite(tflite))(real_codes)
    scores = assert_same_bits(tflite, inputs)
    assert len(np.unique(scores, axis=0)) > 10
