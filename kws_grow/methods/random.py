"""Comparator: random paths, random directions of the same length, no pass over the data."""

import torch

from kws_grow.methods.proposal import OffsetSettings, Proposal, Stream, halves
from kws_grow.network import DsCnn
from kws_grow.splitting import random_directions


def propose(net: DsCnn, batches: Stream, generator: torch.Generator, settings: OffsetSettings) -> Proposal:
    v = random_directions(net, generator)
    gains = tuple(torch.rand(w, generator=generator, device=generator.device).cpu().double().numpy()
                  for w in net.shape.widths)
    return halves(net, gains, v, settings.eps, predicts=False)
