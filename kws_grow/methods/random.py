"""Comparator: random paths, a step of them at a time in layers drawn as often as they have paths, whatever that costs,
and random directions of the same length; no pass over the data."""

import torch

from kws_grow.methods.proposal import OffsetSettings, Proposal, Stream, halves
from kws_grow.network import DsCnn
from kws_grow.selection import WIDTH_STEP
from kws_grow.splitting import random_directions


def propose(net: DsCnn, batches: Stream, generator: torch.Generator, settings: OffsetSettings) -> Proposal:
    v = random_directions(net, generator)
    gains = tuple(torch.rand(w, generator=generator, device=generator.device).cpu().double().numpy()
                  for w in net.shape.widths)
    moves = torch.tensor([i for i, w in enumerate(net.shape.widths) for _ in range(w // WIDTH_STEP)])
    order = moves[torch.randperm(len(moves), generator=generator, device=generator.device).cpu()]
    return halves(net, gains, v, settings.eps, tuple(order.tolist()))
