"""The DS-CNN as path layers: the unit that splits is one channel of one path layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.arithmetic import same_padding
from export.shape import DEPTHWISE_KERNEL, FIRST_KERNEL, FIRST_STRIDE, NetShape

MFCC_UNIT = 64.0  # the net sees MFCC / 64: a pure scale, so that padding with zeros means the same as in int8


class PathLayer(nn.Module):
    """Channels from one linear mix to the next: mix, norm, ReLU and, unless last, depthwise, norm, ReLU.

    Row c of every parameter belongs to channel path c (DESIGN, Growth 1).
    """

    def __init__(self, in_c: int, out_c: int, kernel=(1, 1), stride=(1, 1), depthwise: bool = True):
        super().__init__()
        self.mix = nn.Conv2d(in_c, out_c, kernel, stride, bias=False)
        self.norm = nn.BatchNorm2d(out_c)
        self.depthwise = self.depthwise_norm = None
        if depthwise:
            self.depthwise = nn.Conv2d(out_c, out_c, DEPTHWISE_KERNEL, padding=1, groups=out_c, bias=False)
            self.depthwise_norm = nn.BatchNorm2d(out_c)

    def forward(self, x: Tensor) -> Tensor:
        """[b, in_c, h, w] -> [b, out_c, h', w']; the input is padded already."""
        x = F.relu(self.norm(self.mix(x)))
        return x if self.depthwise is None else F.relu(self.depthwise_norm(self.depthwise(x)))

    def path_parameters(self) -> list[nn.Parameter]:
        """Parameters with one row a channel: row, gamma, beta (, filter, gamma, beta)."""
        own = [self.mix.weight, self.norm.weight, self.norm.bias]
        if self.depthwise is None:
            return own
        return [*own, self.depthwise.weight, self.depthwise_norm.weight, self.depthwise_norm.bias]


class DsCnn(nn.Module):
    """NetShape with weights: MFCC [b, 49, n] -> logits [b, labels]."""

    def __init__(self, shape: NetShape):
        super().__init__()
        self.n_coefficients, self.n_labels = shape.n_coefficients, shape.n_labels
        self.first = FIRST_KERNEL[shape.n_coefficients], FIRST_STRIDE[shape.n_coefficients]
        last = len(shape.widths) - 1
        self.paths = nn.ModuleList(
            PathLayer(shape.widths[i - 1] if i else 1, c, *(() if i else self.first), depthwise=i != last)
            for i, c in enumerate(shape.widths))
        self.classifier = nn.Linear(shape.widths[-1], shape.n_labels)
        self.to(memory_format=torch.channels_last)

    @property
    def shape(self) -> NetShape:
        """Read off the weights: growth changes them in place."""
        return NetShape(tuple(p.mix.out_channels for p in self.paths), self.n_coefficients, self.n_labels)

    def pad(self, mfcc: Tensor) -> Tensor:
        """[b, 49, n] -> [b, 1, h, w], scaled and padded for the first convolution."""
        rows, columns = (same_padding(size, k, s) for size, k, s in zip(mfcc.shape[1:], *self.first, strict=True))
        return F.pad(mfcc.unsqueeze(1) / MFCC_UNIT, (*columns, *rows))

    def forward(self, mfcc: Tensor) -> Tensor:
        x = self.pad(mfcc)
        for path in self.paths:
            x = path(x)
        return self.classifier(x.mean((2, 3)))
