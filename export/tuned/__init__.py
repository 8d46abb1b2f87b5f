"""KERNELS=tuned: kernels that know shapes, weights and zero points, by the instructions that a core has."""

from export.tuned.dsp import DSP
from export.tuned.mve import MVE
from export.tuned.plain import PLAIN
from export.tuned.tuned_kernel import Family

FAMILIES: dict[str, Family] = {"dsp": DSP, "mve": MVE, "plain": PLAIN}
HOST = DSP  # its instructions are written out in C where a compiler has none
