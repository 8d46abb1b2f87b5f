"""Kernels of the DSP instructions of Armv7E-M and Armv8-M: Cortex-M4, M7, M33."""

from export.tuned.dsp.average_pool import AVERAGE_POOL
from export.tuned.dsp.convolution import CONVOLUTION, OF_ONE_CHANNEL
from export.tuned.dsp.depthwise import DEPTHWISE
from export.tuned.dsp.fully_connected import FULLY_CONNECTED
from export.tuned.dsp.pointwise import POINTWISE
from export.tuned.tuned_kernel import Family

DSP = Family((POINTWISE, CONVOLUTION, DEPTHWISE, OF_ONE_CHANNEL, FULLY_CONNECTED, AVERAGE_POOL), ("dsp",), "kws_dsp.h")
