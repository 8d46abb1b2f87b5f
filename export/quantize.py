"""FloatNet to a full-integer int8 .tflite by TensorFlow's converter, which takes our ranges and calibrates nothing.

Every range is written as a fake-quant node: activations per tensor, weights of (depthwise) convolutions per channel
over [-weight_limit, weight_limit]; a dense layer's weights per tensor over its largest limit, which is what
fully-connected kernels of TFLite Micro and CMSIS-NN take. A channel whose weights are next to nothing beside its bias
gets a wider limit: else the sums of one would cost its whole layer the tuned DSP kernel (export.tuned.dsp).
"""

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.console import Parser, UserError, atomic_write, run_command
from export.metadata import Metadata, with_metadata
from export.net import OPS, FloatLayer, FloatNet, load_net

MOST_BIAS_STEPS = 2**21  # of a channel; a quarter of export.tuned.dsp.mix.LARGEST_SUM, the weights have the rest


def to_tflite(net: FloatNet) -> bytes:
    """The int8 .tflite of `net`: input [1, frames, coefficients, 1], output [1, labels] with scale 1/256 and zero
    point -128, labels and feature settings in it (export.metadata). The same net gives the same bytes. UserError names
    a layer that cannot be quantized."""
    return with_metadata(converted(net), Metadata.of(net.labels, net.dataset, net.input_shape[1]))


def converted(net: FloatNet) -> bytes:
    """The same without labels and feature settings, as other converters leave it."""
    _check(net)
    net = replace(net, layers=_within_reach(net))
    tf = _tensorflow()

    @tf.function(input_signature=[tf.TensorSpec((1, *net.input_shape, 1), tf.float32, name="mfcc")])
    def scores(mfcc):
        x, outputs = _fake_quant(tf, mfcc, net.input_range), []
        for layer in net.layers:
            x = _add(tf, x, outputs, layer) if layer.op == "add" else _BUILDERS[layer.op](tf, x, layer)
            outputs.append(x)
        return x

    module = tf.Module()
    module.scores = scores
    converter = tf.lite.TFLiteConverter.from_concrete_functions([scores.get_concrete_function()], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with _quiet():
        return converter.convert()


def _within_reach(net: FloatNet) -> tuple[FloatLayer, ...]:
    """The layers, weight limits wide enough for biases of at most MOST_BIAS_STEPS steps of input times weight."""
    low, high, layers = *net.input_range, []
    for layer in net.layers:
        if layer.weight is not None:
            least = np.abs(layer.bias) * (127 * 255 / (MOST_BIAS_STEPS * (high - low)))
            layer = replace(layer, weight_limit=np.maximum(layer.weight_limit, least).astype(np.float32))
        layers.append(layer)
        low, high = layer.output_range or (low, high)
    return tuple(layers)


def _check(net: FloatNet) -> None:
    if not net.layers or net.layers[-1].op != "softmax":
        raise UserError(f"net for {net.dataset}: its last layer must be softmax")
    for i, layer in enumerate(net.layers):
        where = f"layer {i} ({layer.op}) of the net"
        if layer.op not in OPS:
            raise UserError(f"{where}: unknown op; allowed: {', '.join(OPS)}")
        for name in ("weight", "bias", "weight_limit"):
            values = getattr(layer, name)
            if values is not None and not np.isfinite(values).all():
                raise UserError(f"{where}: {name} is not finite; training diverged, lower its learning rate")
        _check_ranges(layer, where)
        if layer.op == "add" and (layer.addend is None or not 0 <= layer.addend < i):
            raise UserError(f"{where}: addend {layer.addend}; allowed: the index of an earlier layer")


def _check_ranges(layer: FloatLayer, where: str) -> None:
    if layer.op == "add" and not _spans_zero(layer.output_range):
        raise UserError(f"{where}: output_range must be (min <= 0 <= max, min < max)")
    if layer.weight is not None and not (_positive(layer.weight_limit) and _spans_zero(layer.output_range)):
        raise UserError(f"{where}: weight_limit must be above 0 and output_range (min <= 0 <= max, min < max)")


def _positive(limit: np.ndarray | None) -> bool:
    return limit is not None and bool((np.asarray(limit) > 0).all())


def _spans_zero(limits: tuple[float, float] | None) -> bool:
    return limits is not None and limits[0] <= 0 <= limits[1] and limits[0] < limits[1]


def _tensorflow():
    """TensorFlow, imported late (it takes seconds), on the CPU and silent."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with _quiet():
        import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    return tf


class _quiet:
    """Turn away what C++ libraries write to stderr; an exception's text is not touched."""

    def __enter__(self) -> None:
        self.saved, self.sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(self.sink, 2)

    def __exit__(self, *_) -> None:
        os.dup2(self.saved, 2)
        os.close(self.saved)
        os.close(self.sink)


def _fake_quant(tf, x, limits: tuple[float, float]):
    return tf.quantization.fake_quant_with_min_max_vars(x, *map(float, limits), num_bits=8)


def _weights(tf, weight: np.ndarray, limit: np.ndarray):
    """Fake-quantized float32 weights, one symmetric range per channel of the last axis."""
    limit = np.asarray(limit, np.float32)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        tf.constant(weight, tf.float32), -limit, limit, num_bits=8, narrow_range=True)


def _finish_layer(tf, x, layer: FloatLayer):
    return _active(tf, tf.nn.bias_add(x, tf.constant(layer.bias, tf.float32)), layer)


def _active(tf, x, layer: FloatLayer):
    return _fake_quant(tf, tf.nn.relu(x) if layer.relu else x, layer.output_range)


def _conv(tf, x, layer: FloatLayer):
    weight = _weights(tf, layer.weight.transpose(1, 2, 3, 0), layer.weight_limit)  # HWIO
    return _finish_layer(tf, tf.nn.conv2d(x, weight, layer.stride, "SAME"), layer)


def _depthwise(tf, x, layer: FloatLayer):
    weight = _weights(tf, layer.weight[None], layer.weight_limit)  # [1, kh, kw, c], as TFLite keeps it
    weight = tf.reshape(weight, (*layer.weight.shape, 1))
    return _finish_layer(tf, tf.nn.depthwise_conv2d(x, weight, (1, *layer.stride, 1), "SAME"), layer)


def _add(tf, x, outputs: list, layer: FloatLayer):
    """outputs: of the layers so far."""
    return _active(tf, x + outputs[layer.addend], layer)


def _average_pool(tf, x, layer: FloatLayer):
    return tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID")


def _dense(tf, x, layer: FloatLayer):
    limit = float(np.max(layer.weight_limit))
    weight = tf.quantization.fake_quant_with_min_max_vars(
        tf.constant(layer.weight.T, tf.float32), -limit, limit, num_bits=8, narrow_range=True)
    return _finish_layer(tf, tf.matmul(tf.reshape(x, (1, -1)), weight), layer)


def _softmax(tf, x, layer: FloatLayer):
    return tf.nn.softmax(x)


_BUILDERS = {"conv": _conv, "depthwise": _depthwise, "average_pool": _average_pool, "dense": _dense,
             "softmax": _softmax}


def main() -> None:
    parser = Parser(prog="python -m export.quantize", description=__doc__.splitlines()[0])
    parser.add_argument("nets", type=Path, nargs="+", help="X.npz as kws_grow writes it; X.tflite is written beside it")
    for path in parser.parse_args().nets:
        content = to_tflite(load_net(path))
        with atomic_write(path.with_suffix(".tflite")) as temporary:
            temporary.write_bytes(content)


if __name__ == "__main__":
    run_command(main)
