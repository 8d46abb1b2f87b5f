"""Quantization-aware fine-tuning: a FloatNet that computes with int8's rounding and learns weights, biases and ranges.

Ranges are learned as logarithms by Adam, much faster than weights (as in TQT, arXiv 1903.08066), through the gradients
of kws_grow.fake_quant. Weights and biases are in units of their ranges at the start, so that one learning rate suits
every layer. What is learnt is the float net's own probabilities (distillation, arXiv 1802.05668): labels would move the
net away from the float one instead of closer to it.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from export.net import FloatLayer, FloatNet
from kws_grow.deploy import FROM_TORCH, apply, parameters_of
from kws_grow.fake_quant import fake_quant, fake_quant_weight
from kws_grow.ranges import Range

WEIGHT_FACTOR = 0.004  # learning rate of weights and biases, where that of ranges is 1


class LearnedRange(nn.Module):
    """(low, high) of a tensor as logarithms; low stays 0 behind a ReLU."""

    def __init__(self, start: Range, relu: bool):
        super().__init__()
        self.log_high = nn.Parameter(torch.tensor(start[1]).log())
        self.log_low = None if relu else nn.Parameter(torch.tensor(-start[0]).clamp(min=1e-6).log())

    def ends(self) -> tuple[Tensor, Tensor]:
        high = self.log_high.exp()
        return torch.zeros_like(high) if self.log_low is None else -self.log_low.exp(), high

    def forward(self, x: Tensor) -> Tensor:
        return fake_quant(x, *self.ends())


class QuantizedLayer(nn.Module):
    """A FloatLayer with fake-quantized weights and output. Pooling has no parameter but its input's range, ADD none but
    its own."""

    def __init__(self, layer: FloatLayer, output: LearnedRange):
        super().__init__()
        self.layer, self.output = layer, output
        if layer.weight is not None:
            limit = torch.from_numpy(layer.weight_limit)
            limit = limit.max().view(1) if layer.op == "dense" else limit
            weight, bias = parameters_of(layer)
            self.register_buffer("weight_unit", limit.view(-1, *[1] * (weight.ndim - 1)))
            self.register_buffer("bias_unit", output.ends()[1].detach().clone())
            self.weight, self.bias = nn.Parameter(weight / self.weight_unit), nn.Parameter(bias / self.bias_unit)
            self.log_limit = nn.Parameter(limit.log())

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """outputs: of the net's input and every layer before."""
        if self.layer.weight is None:
            return self.output(apply(self.layer, outputs))
        weight = fake_quant_weight(self.weight * self.weight_unit, self.log_limit.exp())
        return self.output(apply(self.layer, outputs, weight, self.bias * self.bias_unit))

    @torch.no_grad()
    def float_layer(self) -> FloatLayer:
        """The layer with what was learned."""
        ends = tuple(float(end) for end in self.output.ends())
        if self.layer.weight is None:
            return replace(self.layer, output_range=ends)
        weight = FROM_TORCH[self.layer.op]((self.weight * self.weight_unit).cpu().numpy()).copy()
        limit = self.log_limit.exp().expand(len(self.bias)).cpu().numpy().copy()
        return replace(self.layer, weight=weight, bias=(self.bias * self.bias_unit).cpu().numpy(), weight_limit=limit,
                       output_range=ends)


class QuantizedNet(nn.Module):
    """MFCC [b, 49, n] -> logits [b, labels], as the .tflite of `net` computes them but for its fixed-point rounding."""

    def __init__(self, net: FloatNet):
        super().__init__()
        self.start, self.n_coefficients = net, net.input_shape[1]
        self.input, layers = LearnedRange(net.input_range, relu=False), []
        for layer in net.layers[:-1]:
            shared = layer.op == "average_pool"
            output = layers[-1].output if shared else LearnedRange(layer.output_range, layer.relu)
            layers.append(QuantizedLayer(layer, output))
        self.layers = nn.ModuleList(layers)

    def forward(self, mfcc: Tensor) -> Tensor:
        outputs = [self.input(mfcc.unsqueeze(1))]
        for layer in self.layers:
            outputs.append(layer(outputs))
        return outputs[-1]

    def float_net(self) -> FloatNet:
        """What was learned, for export.quantize."""
        layers = (*(layer.float_layer() for layer in self.layers), self.start.layers[-1])
        ends = tuple(float(end.detach()) for end in self.input.ends())
        return replace(self.start, input_range=ends, layers=layers)


def make_tuner(net: QuantizedNet) -> torch.optim.Adam:
    """Adam over everything that is learned; train_epoch sets the learning rates."""
    ranges = [parameter for name, parameter in net.named_parameters() if ".log_" in name]
    others = [parameter for name, parameter in net.named_parameters() if ".log_" not in name]
    return torch.optim.Adam([{"params": ranges}, {"params": others, "factor": WEIGHT_FACTOR}], lr=0.0)
