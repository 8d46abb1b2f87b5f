"""Random whole nets for tests of costs: DS-CNNs of random widths, and others with every operator."""

import numpy as np

from export.graph import Graph
from export.tflite_reader import read_tflite
from tests.export.models import Chain


def whole_net(seed: int) -> Graph:
    """Every third has pools, residual sums, paddings and other kernels; the rest are DS-CNNs."""
    rng = np.random.default_rng(seed)
    chain = Chain((1, *[(49, 10), (49, 20)][seed % 2], 1), seed)
    kernel, stride = [((10, 4), (2, 2)), ((10, 8), (2, 4))][seed % 2]
    chain.conv(_width(rng), kernel, stride, activation="RELU")
    block = _other_block if seed % 3 == 2 else _separable_block
    for _ in range(rng.integers(2, 5)):
        block(chain, rng)
    _head(chain, rng, plain=seed % 3 != 2)
    return read_tflite(chain.content())


def _width(rng) -> int:
    """Mostly a multiple of four."""
    return int(rng.integers(2, 25)) * 4 if rng.random() < 0.8 else int(rng.integers(5, 90))


def _separable_block(chain: Chain, rng) -> None:
    chain.depthwise(activation="RELU").conv(_width(rng), (1, 1), activation="RELU")


def _other_block(chain: Chain, rng) -> None:
    """One of five."""
    choice, before = rng.integers(5), chain.at
    if choice == 0:
        chain.conv(chain.shape[3], (3, 3), activation="RELU").add(before)
    elif choice == 1:
        chain.pad().depthwise(padding="VALID", activation="RELU6").conv(_width(rng), (1, 1))
    elif choice == 2:
        chain.max_pool((2, 2), (2, 1), "SAME").conv(_width(rng), (3, 1), stride=(1, 1), activation="RELU")
    elif choice == 3:
        chain.depthwise(kernel=(5, 3), stride=(2, 1)).relu().conv(_width(rng), (1, 1))
    else:
        chain.conv(int(rng.integers(4, 20)), (3, 3), dilation=(2, 2), activation="RELU").quantize(1.2)


def _head(chain: Chain, rng, plain: bool) -> None:
    if plain:
        plane = chain.shape[1:3]
        chain.average_pool(plane, plane).reshape((1, chain.shape[3]))
    else:
        chain.mean()
    chain.dense(int(rng.integers(2, 36)), per_channel=bool(rng.integers(2))).softmax()
