"""What generated code does with a CMSIS-NN: a stand-in with our arithmetic that asks for scratch of any size.

The real library is no part of the repository; export.kernels says how it is linked.
"""

import ctypes
import re

import numpy as np
import pytest

from export.c_writer import write_c
from export.host import KERNELS, WARNINGS
from export.op_kernel import with_scratch
from export.stimuli import random_inputs
from export.tflite_reader import read_tflite
from export.toolchain import host_compiler, run_tool
from export.witness import tflm_scores
from tests.export.models import Chain

DENSE = ("arm_fully_connected_s8", "arm_fully_connected_per_channel_s8")
SIZES = tuple(f"arm_{kernel}_s8_get_buffer_size"
              for kernel in ("convolve_wrapper", "depthwise_conv_wrapper", "avgpool", "fully_connected"))

# Fully-connected kernels as those for MVE: they want the sum of each output's weights in their scratch.
STAND_IN = """
#include "arm_nnfunctions.h"

int32_t wanted = 0;

int32_t want(void) { return wanted; }

arm_cmsis_nn_status arm_vector_sum_s8(int32_t *sums, const int32_t columns, const int32_t rows, const int8_t *weights,
                                      const int32_t lhs_offset, const int32_t rhs_offset, const int32_t *bias) {
    for (int32_t row = 0; row < rows; row++) {
        sums[row] = bias ? bias[row] : 0;
        for (int32_t column = 0; column < columns; column++) {
            sums[row] += lhs_offset * (weights[row * columns + column] + rhs_offset);
        }
    }
    return KWS_NN_SUCCESS;
}

kws_nn_status check_sums(const kws_nn_context *context, const kws_nn_fc_params *params, const kws_nn_dims *filter_dims,
                         const int8_t *weights, const int32_t *bias) {
    int32_t sums[64];
    arm_vector_sum_s8(sums, filter_dims->n, filter_dims->c, weights, params->input_offset, 0, bias);
    for (int32_t o = 0; wanted && o < filter_dims->c; o++) {
        if (((const int32_t *)context->buf)[o] != sums[o]) {
            return KWS_NN_ARG_ERROR;
        }
    }
    return KWS_NN_SUCCESS;
}
"""
HEADER = """
#include "kws_nn_functions.h"
%s
int32_t want(void);
arm_cmsis_nn_status arm_vector_sum_s8(int32_t *, const int32_t, const int32_t, const int8_t *, const int32_t,
                                      const int32_t, const int32_t *);
kws_nn_status check_sums(const kws_nn_context *, const kws_nn_fc_params *, const kws_nn_dims *, const int8_t *,
                         const int32_t *);
"""
DENSE_CALL = """#define %s(ctx, params, quant, in, x, dims, weights, bias_dims, bias, out, y) \\
    (check_sums(ctx, params, dims, weights, bias) || \\
     %s(ctx, params, quant, in, x, dims, weights, bias_dims, bias, out, y))
"""


def write_stand_in(folder) -> None:
    """arm_nnfunctions.h: the names of kws_nn.h, but for those that the stand-in has functions of its own for."""
    names = dict(re.findall(r"#define (\w+) (kws_\w+|KWS_\w+)\n", (KERNELS / "kws_nn.h").read_text()))
    lines = [DENSE_CALL % (name, kernel) if name in DENSE else f"#define {name} {kernel}"
             for name, kernel in names.items() if name not in SIZES]
    lines += [f"#define {name}(...) want()" for name in SIZES]
    (folder / "arm_nnfunctions.h").write_text(HEADER % "\n".join(lines))
    (folder / "stand_in.c").write_text(STAND_IN)


def compiled(folder, chain, scratch_bytes: int):
    """The graph, the library, and the arena of a net whose first op gets this much scratch."""
    graph = read_tflite(chain.content())
    kernel_of = with_scratch(lambda _, op: scratch_bytes if op is graph.ops[0] else 0)
    plan = write_c(graph, folder, kernel_of=kernel_of)
    write_stand_in(folder)
    run_tool([host_compiler(), *WARNINGS, "-fPIC", "-shared", "-DKWS_CMSIS_NN", f"-I{KERNELS}", f"-I{folder}",
              "-o", folder / "net.so", *folder.glob("*.c"), *KERNELS.glob("*.c")], "the stand-in")
    return graph, ctypes.CDLL(str(folder / "net.so")), np.full(plan.arena_bytes + 16, 0x5A, np.uint8)


def run(library, arena, x, scores) -> int:
    start = arena.ctypes.data + -arena.ctypes.data % 16
    return library.network_run(*map(ctypes.c_void_p, (start, x.ctypes.data, scores.ctypes.data)))


CHAINS = {
    "conv": lambda: Chain((1, 5, 4, 3), 1).conv(6),
    "depthwise": lambda: Chain((1, 5, 4, 3), 2).depthwise(),
    "average_pool": lambda: Chain((1, 5, 4, 3), 3).average_pool(),
    "dense": lambda: Chain((1, 21), 4).dense(6),
    "dense-per-channel": lambda: Chain((1, 21), 5).dense(6, per_channel=True),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_a_library_that_wants_more_scratch_than_there_is_gets_none(kind, tmp_path):
    chain, given = CHAINS[kind](), 24
    graph, library, arena = compiled(tmp_path, chain, given)
    wanted = ctypes.c_int32.in_dll(library, "wanted")
    x = random_inputs(graph.input.shape, 3, 6)
    expected, scores = tflm_scores(chain.content(), x), np.full((3, graph.output.elements), 99, np.int8)
    for row, result in zip(x, scores, strict=True):
        wanted.value = given + 1
        assert run(library, arena, row, result) == 1
        assert (result == 99).all()
        wanted.value = given
        assert run(library, arena, row, result) == 0
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("kind", ["dense", "dense-per-channel"])
def test_weight_sums_only_where_the_library_wants_them(kind, tmp_path):
    """Without scratch there is nowhere to write them."""
    chain = CHAINS[kind]()
    graph, library, arena = compiled(tmp_path, chain, 0)
    x, scores = random_inputs(graph.input.shape, 1), np.zeros((1, graph.output.elements), np.int8)
    assert run(library, arena, x[0], scores[0]) == 0
    np.testing.assert_array_equal(scores, tflm_scores(chain.content(), x))
