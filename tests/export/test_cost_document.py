"""docs/cost.md is written from the files of costs, and the figures that it argues with are theirs."""

import re

import pytest

from export.cost_document import CMSIS_NN, DOCUMENT, MLPERF_TINY, SILICON_CYCLES, band, document, predicted
from export.layer_costs import load_costs
from export.timing import stated_timing


def test_the_document_is_written_from_the_costs():
    """Where this fails, run: python -m export.cost_document"""
    assert DOCUMENT.read_text() == document()


def test_the_shape_is_mlperf_tinys():
    assert sum(layer.macs for layer in MLPERF_TINY.layers()) == 2_656_768  # DESIGN


def test_stated_cycles_rest_on_what_this_net_takes_on_m4():
    instructions, cycles = CMSIS_NN["cortex-m4"]
    ours = {kernels: predicted(load_costs("cortex-m4", kernels)) for kernels in ("portable", "tuned")}
    ratios = {kernels: whole.cycles / whole.instructions for kernels, whole in ours.items()}
    for kernels, per_instruction in {**ratios, "cmsis-nn": cycles / instructions}.items():
        stated = re.search(r"stated: ([\d.]+) of a Cortex-M4", stated_timing("cortex-m7", kernels).source)[1]
        assert float(stated) == pytest.approx(per_instruction, abs=0.01)


def test_the_band_of_what_was_measured_is_what_was_measured():
    low, high = band(CMSIS_NN["cortex-m4"][1], load_costs("cortex-m4", "portable"))
    assert (low, high) == pytest.approx(SILICON_CYCLES)
    wider = band(CMSIS_NN["cortex-m4"][1], load_costs("cortex-m7", "portable"))
    assert (wider[0] / low, wider[1] / high) == pytest.approx((0.85, 1.15))
