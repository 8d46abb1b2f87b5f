"""Energy-aware splitting (arXiv 1910.03103): directions of all paths at once by the Rayleigh quotient, stochastically;
gains against measured costs are the selection's part."""

from itertools import islice

import torch

from kws_grow.methods.proposal import IndexSettings, Proposal, Stream, as_gains, halves
from kws_grow.network import DsCnn
from kws_grow.splitting import Probe, predicted_changes, random_directions, rayleigh_pass


def propose(net: DsCnn, batches: Stream, generator: torch.Generator, settings: IndexSettings) -> Proposal:
    stream, probe = batches(), Probe(settings.eps)
    v = rayleigh_pass(net, stream, random_directions(net, generator), probe, steps=settings.steps)
    changes = predicted_changes(net, list(islice(stream, settings.fresh)), v, probe, settings.gains)
    return halves(net, as_gains(changes), v, settings.eps)
