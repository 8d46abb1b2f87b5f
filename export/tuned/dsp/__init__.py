"""Kernels of the DSP instructions of Armv7E-M and Armv8-M: Cortex-M4, M7, M33."""

from export.tuned.tuned_kernel import Family

DSP = Family((), ("dsp",), "kws_dsp.h")
