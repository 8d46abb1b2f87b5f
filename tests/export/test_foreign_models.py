"""Nets made with no code of ours: Keras and TensorFlow's own converter, with its own calibration."""

import numpy as np
import pytest

from export.plan import make_plan
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from tests.export.test_bits import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")


def separable(layers, x, filters, n_blocks):
    """Blocks of a DS-CNN: depthwise, batch norm, ReLU, pointwise, batch norm, ReLU."""
    for _ in range(n_blocks):
        for convolution in (layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(filters, 1, padding="same")):
            x = layers.ReLU()(layers.BatchNormalization()(convolution(x)))
    return x


def first(layers, x, filters):
    x = layers.Conv2D(filters, (10, 4), (2, 2), padding="same")(x)
    return layers.Dropout(0.2)(layers.ReLU()(layers.BatchNormalization()(x)))


def mlperf_tiny(layers):
    """The keyword-spotting reference net of MLPerf Tiny v1 (github.com/mlcommons/tiny, keras_model.py)."""
    inputs = layers.Input((49, 10, 1))
    x = layers.Dropout(0.4)(separable(layers, first(layers, inputs, 64), 64, 4))
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return inputs, layers.Dense(12, activation="softmax")(x)


def arm_ds_cnn(layers):
    """Arm's DS-CNN-S ("Hello Edge"): its input is one row of 490 values."""
    inputs = layers.Input((490,))
    x = separable(layers, first(layers, layers.Reshape((49, 10, 1))(inputs), 64), 64, 4)
    x = layers.Flatten()(layers.AveragePooling2D((25, 5))(x))
    return inputs, layers.Dense(12, activation="softmax")(x)


def residual(layers):
    """Everything else: residual adds, padding, max pooling, a depth multiplier, ReLU6, dense layers, a mean."""
    inputs = layers.Input((20, 9, 2))
    x = layers.Conv2D(12, (3, 2), strides=(2, 1), padding="valid")(layers.ZeroPadding2D(((1, 2), (0, 1)))(inputs))
    x = layers.MaxPooling2D((2, 3), strides=(1, 2), padding="same")(layers.ReLU(6.0)(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    for activation in ("relu", None):
        x = layers.add([x, layers.Conv2D(24, 1, activation=activation)(x)])
        x = layers.ReLU()(x)
    return inputs, layers.Dense(7)(layers.Dense(30, activation="relu")(layers.GlobalAveragePooling2D()(x)))


def converted(build, edges: str) -> bytes:
    """By TensorFlow's converter, calibrated on noise; batch norms are given statistics as a trained net has them."""
    tf = pytest.importorskip("tensorflow")
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Model(*build(tf.keras.layers))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            ends = ((1, 2), (-0.3, 0.3), (-0.1, 0.1), (0.1, 0.3))  # gamma, beta, mean, variance
            layer.set_weights([rng.uniform(*end, layer.gamma.shape) for end in ends])
    samples = rng.normal(size=(40, 1, *model.input_shape[1:])).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(edges)
    return converter.convert()


@pytest.mark.parametrize("edges", ["int8", "uint8"])
@pytest.mark.parametrize("build", [mlperf_tiny, arm_ds_cnn, residual])
def test_same_bits(build, edges):
    tflite = converted(build, edges)
    graph = read_tflite(tflite)
    assert graph.input.dtype == graph.output.dtype == edges
    inputs = random_inputs(graph.input.shape, 12).view(edges)
    assert len(np.unique(assert_same_bits(tflite, inputs), axis=0)) > 3
    if build is not residual and edges == "int8":
        assert make_plan(graph).arena_bytes == 16_000


def test_what_the_converter_makes_of_it():
    """The cases are what they claim to be."""
    kinds = {op.kind for op in read_tflite(converted(residual, "uint8")).ops}
    assert {"ADD", "MAX_POOL_2D", "MEAN", "QUANTIZE", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} <= kinds
