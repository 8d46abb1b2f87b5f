"""One epoch of training, evaluation, the learning rate, averaged weights; memory that training keeps."""

import ctypes
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datasets.console import progress
from kws_grow.augment import CodeSource, mfcc

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # mallopt(3)
NEVER_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have this process reuse what it frees. By default glibc maps each activation afresh and the kernel zeroes it page
    by page, which takes a quarter of a training step. Returns whether the C library can: glibc's can.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER_BYTES))


def one_cycle(progress: float, peak: float, warmup: float = 0.15) -> float:
    """Learning rate at progress 0..1: linear up to `peak`, cosine down to zero."""
    if progress < warmup:
        return peak * (0.05 + 0.95 * progress / warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def make_optimizer(net: nn.Module, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """SGD with Nesterov momentum; no decay on vectors (norms, biases)."""
    matrices = [p for p in net.parameters() if p.ndim > 1]
    vectors = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=True)


class AveragedWeights:
    """Exponential average of every parameter and buffer of a net (Polyak), as a state dict."""

    def __init__(self, net: nn.Module, decay: float):
        self.decay, self.updates = decay, 0
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    def update(self, net: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))  # young averages forget faster
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value.detach(), 1 - decay)
            else:
                self.state[name].copy_(value)


def train_epoch(net: nn.Module, optimizer: torch.optim.Optimizer, source: CodeSource, batch: int,
                generator: torch.Generator, lr_at: Callable[[float], float], label_smoothing: float,
                average: AveragedWeights | None = None, teacher: Callable[[Tensor], Tensor] | None = None,
                penalty: Callable[[], Tensor] | None = None) -> float:
    """Train one epoch; lr_at takes the share of the epoch done. Returns the mean loss.

    A group of the optimizer may have a "factor" that its learning rate is multiplied by. With a teacher, in eval mode,
    its probabilities are learnt instead of the labels. penalty: is added to the loss that is learnt, not to the mean.
    """
    net.train()
    steps, total = max(len(source) // batch, 1), torch.zeros((), device=source.device)
    batches = progress(source.batches(batch, generator), "training", steps, "batch", leave=False)
    for step, (codes, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(step / steps) * group.get("factor", 1.0)
        optimizer.zero_grad(set_to_none=True)
        x = mfcc(codes, net.n_coefficients)
        loss = F.cross_entropy(net(x), labels if teacher is None else probabilities(teacher, x),
                               label_smoothing=label_smoothing)
        (loss if penalty is None else loss + penalty()).backward()
        optimizer.step()
        if average is not None:
            average.update(net)
        total += loss.detach()
    return float(total / steps)


def is_finite(net: nn.Module) -> bool:
    """Whether all parameters and buffers are numbers."""
    return all(bool(value.isfinite().all()) for value in net.state_dict().values())


@torch.no_grad()
def probabilities(net: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """MFCC [b, 49, n] -> probabilities [b, labels]."""
    return net(x).softmax(1)


@torch.no_grad()
def predictions(net: nn.Module, codes: Tensor, batch: int = 1024) -> Tensor:
    """Class of every clip; codes uint8 [n, 49, 40] -> int64 [n]. Eval mode."""
    net.eval()
    return torch.cat([net(mfcc(part, net.n_coefficients)).argmax(1) for part in codes.split(batch)])


def accuracy(net: nn.Module, codes: Tensor, labels: Tensor) -> float:
    """Share of clips in the right class, 0..1."""
    return float((predictions(net, codes) == labels).float().mean())
