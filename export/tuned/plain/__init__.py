"""Kernels of Armv6-M's instructions: Cortex-M0+; their plain C is for Cortex-M3 and this machine."""

from export.tuned.plain.convolution import CONVOLUTION
from export.tuned.plain.depthwise import DEPTHWISE
from export.tuned.plain.pointwise import POINTWISE
from export.tuned.tuned_kernel import Family

PLAIN = Family((POINTWISE, CONVOLUTION, DEPTHWISE), ("plain",), "kws_plain.h")
