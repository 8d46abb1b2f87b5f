"""Kernels of Helium, the vector instructions of Armv8.1-M: Cortex-M55, M85."""

from export.tuned.mve.average_pool import AVERAGE_POOL
from export.tuned.mve.convolution import CONVOLUTION
from export.tuned.mve.depthwise import DEPTHWISE
from export.tuned.mve.fully_connected import FULLY_CONNECTED
from export.tuned.mve.pointwise import POINTWISE
from export.tuned.tuned_kernel import Family

MVE = Family((POINTWISE, CONVOLUTION, DEPTHWISE, FULLY_CONNECTED, AVERAGE_POOL), ("mve",), "kws_mve.h",
             ("-mfloat-abi=softfp",), ("KWS_MVE",))
