"""What int8 makes of real numbers, in torch and with gradients, just as export.quantize has TensorFlow write it.

Rounding passes its gradient straight through, so that the gradient of a range is that of learned step sizes (LSQ,
arXiv 1902.08153): of a value inside it the rounding error, of a clipped value one.
"""

import torch
from torch import Tensor

STEPS = 255         # of an activation's range: int8 -128..127
WEIGHT_STEPS = 127  # of a weight's limit: int8 -127..127, symmetric


def fake_quant(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`x` rounded to the 256 steps of the range low <= 0 <= high, moved so that zero is a step; clipped beyond."""
    scale = (high - low) / STEPS
    zero = _round(-low / scale)
    return ((_round(x / scale) + zero).clamp(0, STEPS) - zero) * scale


def fake_quant_weight(weight: Tensor, limit: Tensor) -> Tensor:
    """`weight` [out_c, ...] rounded to 255 steps of [-limit, limit]; limit [out_c], or [1] for all channels."""
    scale = (limit / WEIGHT_STEPS).view(-1, *[1] * (weight.ndim - 1))
    return _round(weight / scale).clamp(-WEIGHT_STEPS, WEIGHT_STEPS) * scale


def _round(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


def squared_error(values: Tensor, low: float, high: float) -> Tensor:
    """What int8 over (low, high) adds to each value, squared."""
    ends = torch.tensor([low, high], dtype=values.dtype, device=values.device)
    return (fake_quant(values, *ends) - values).square()
