"""The DS-CNN as path layers: the unit that splits is one channel of one path layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.arithmetic import same_padding
from export.shape import DEPTHWISE_KERNEL, FIRST_KERNEL, FIRST_STRIDE, NetShape

MFCC_UNIT = 64.0  # the net sees MFCC / 64: a pure scale, so that padding with zeros means the same as in int8

Rows = list[Tensor]  # one tensor a path parameter, each [C, ...]


def depthwise_conv(x: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
    """[b, c, h, w] by weight [c, 1, 3, 3] -> [b, c, h', w'], TFLite's SAME padding."""
    return same_conv(x, weight, None, stride, len(weight))


def same_conv(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], groups: int) -> Tensor:
    """F.conv2d with TFLite's SAME padding; a padded copy of x is made only where the sides differ."""
    sides = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], weight.shape[2:], stride, strict=True)]
    if all(before == after for before, after in sides):
        return F.conv2d(x, weight, bias, stride, tuple(before for before, _ in sides), groups=groups)
    (top, bottom), (left, right) = sides
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, stride, groups=groups)


class ResidualBlock(nn.Module):
    """relu(x + norm(pointwise(relu(norm(depthwise x))))) on the channels of a path layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, DEPTHWISE_KERNEL, padding=1, groups=channels, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w] -> the same; x is not negative."""
        inner = F.relu(self.depthwise_norm(depthwise_conv(x, self.depthwise.weight, (1, 1))))
        return F.relu(x + self.norm(self.mix(inner)))


class PathLayer(nn.Module):
    """Channels from one linear mix to the next: mix, norm, ReLU, residual blocks and, unless last, depthwise, norm,
    ReLU.

    Row c of every parameter belongs to channel path c (DESIGN, Growth 1); what residual ADDs join is one path.
    """

    def __init__(self, in_c: int, out_c: int, kernel=(1, 1), stride=(1, 1), depthwise_stride: int | None = 1,
                 depth: int = 0):
        super().__init__()
        self.mix = nn.Conv2d(in_c, out_c, kernel, stride, bias=False)
        self.norm = nn.BatchNorm2d(out_c)
        self.blocks = nn.ModuleList(ResidualBlock(out_c) for _ in range(depth))
        self.depthwise = self.depthwise_norm = None
        if depthwise_stride is not None:
            self.depthwise = nn.Conv2d(out_c, out_c, DEPTHWISE_KERNEL, depthwise_stride, 1, groups=out_c, bias=False)
            self.depthwise_norm = nn.BatchNorm2d(out_c)

    def forward(self, x: Tensor) -> Tensor:
        """[b, in_c, h, w] -> [b, out_c, h', w']; the first layer's input is padded already."""
        x = F.relu(self.norm(self.mix(x)))
        for block in self.blocks:
            x = block(x)
        if self.depthwise is None:
            return x
        return F.relu(self.depthwise_norm(depthwise_conv(x, self.depthwise.weight, self.depthwise.stride)))

    def path_names(self) -> list[str]:
        """Names of the parameters that have one row a channel: row, gamma, beta; filter, gamma, beta, row, gamma, beta
        of each block; filter, gamma, beta."""
        return [name for name, _ in self.named_parameters()]

    def path_parameters(self) -> list[nn.Parameter]:
        """In the order of path_names."""
        return [parameter for _, parameter in self.named_parameters()]

    def norms(self) -> list[nn.BatchNorm2d]:
        """Every norm over the paths."""
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]


class DsCnn(nn.Module):
    """NetShape with weights: MFCC [b, 49, n] -> logits [b, labels]."""

    def __init__(self, shape: NetShape):
        super().__init__()
        self.n_coefficients, self.n_labels = shape.n_coefficients, shape.n_labels
        self.first = FIRST_KERNEL[shape.n_coefficients], FIRST_STRIDE[shape.n_coefficients]
        inputs = (1, *shape.widths[:-1])
        self.paths = nn.ModuleList(
            PathLayer(in_c, c, *((1, 1), (1, 1)) if i else self.first, depthwise_stride=stride, depth=depth)
            for i, (in_c, c, stride, depth)
            in enumerate(zip(inputs, shape.widths, (*shape.strides, None), shape.depths, strict=True)))
        self.classifier = nn.Linear(shape.widths[-1], shape.n_labels)
        self.to(memory_format=torch.channels_last)

    @property
    def shape(self) -> NetShape:
        """Read off the weights: growth changes them in place."""
        widths, depths = zip(*((len(p.mix.weight), len(p.blocks)) for p in self.paths), strict=True)
        strides = tuple(p.depthwise.stride[0] for p in self.paths if p.depthwise is not None)
        return NetShape(widths, self.n_coefficients, self.n_labels, depths, strides)

    def pad(self, mfcc: Tensor) -> Tensor:
        """[b, 49, n] -> [b, 1, h, w], scaled and padded for the first convolution."""
        rows, columns = (same_padding(size, k, s) for size, k, s in zip(mfcc.shape[1:], *self.first, strict=True))
        return F.pad(mfcc.unsqueeze(1) / MFCC_UNIT, (*columns, *rows))

    def mixes_behind(self, layer: int) -> list[nn.Module]:
        """Every linear mix that reads path layer `layer`: its blocks' own, then the next layer's or the classifier."""
        behind = self.paths[layer + 1].mix if layer + 1 < len(self.paths) else self.classifier
        return [*(block.mix for block in self.paths[layer].blocks), behind]

    def forward(self, mfcc: Tensor) -> Tensor:
        x = self.pad(mfcc)
        for path in self.paths:
            x = path(x)
        return self.classifier(x.mean((2, 3)))
