"""Kernels of the DSP instructions of Armv7E-M and Armv8-M: Cortex-M4, M7, M33."""

from export.tuned.dsp.pointwise import POINTWISE
from export.tuned.tuned_kernel import Family

DSP = Family((POINTWISE,), ("dsp",), "kws_dsp.h")
