"""docs/cost.md is written from the files of costs, and the figures that it argues with are theirs."""

import pytest

from export.cost_document import CMSIS_NN, DOCUMENT, MLPERF_TINY, SILICON_CYCLES, band, document
from export.layer_costs import load_costs
from export.timing import stated_timing
from export.workload import work_of

WORKS = [work_of(layer) for layer in MLPERF_TINY.layers()]


def test_the_document_is_written_from_the_costs():
    """Where this fails, run: python -m export.cost_document"""
    assert DOCUMENT.read_text() == document()


def test_the_shape_is_mlperf_tinys():
    assert sum(layer.macs for layer in MLPERF_TINY.layers()) == 2_656_768  # DESIGN


def test_stated_cycles_rest_on_what_this_net_takes_on_m4():
    costs = load_costs("cortex-m4", "portable")
    portable = sum(map(costs.cycles_of, WORKS)) / sum(map(costs.instructions_of, WORKS))
    instructions, cycles = CMSIS_NN["cortex-m4"]
    for kernels, per_instruction in (("portable", portable), ("cmsis-nn", cycles / instructions)):
        assert f"stated: {per_instruction:.2f} of a Cortex-M4" in stated_timing("cortex-m7", kernels).source


def test_the_band_of_what_was_measured_is_what_was_measured():
    low, high = band(CMSIS_NN["cortex-m4"][1], load_costs("cortex-m4", "portable"))
    assert (low, high) == pytest.approx(SILICON_CYCLES)
    wider = band(CMSIS_NN["cortex-m4"][1], load_costs("cortex-m7", "portable"))
    assert (wider[0] / low, wider[1] / high) == pytest.approx((0.85, 1.15))
