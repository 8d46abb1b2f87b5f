"""`make bench-index`: is what growth predicts what splits do? One path at a time of seed nets after a few epochs, at
the offset used, in float64, on training clips that the directions were not fitted to; whether exact and stochastic
indices agree; and what indexing takes beside an epoch."""

import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from datasets.console import Parser, atomic_write, commit, finish, progress, run_command
from datasets.load import load
from export.shape import NetShape
from kws_grow.augment import Augmentation, CodeSource, generator_for
from kws_grow.config import Schedule
from kws_grow.edits import grown, halved, unchanged
from kws_grow.grow import from_one, known, seeds_of
from kws_grow.loop import batches_of
from kws_grow.methods import settings_of
from kws_grow.methods.proposal import IndexSettings
from kws_grow.methods.splitting import ExactSettings, smallest_eigenpairs, smooth_probe
from kws_grow.network import DsCnn
from kws_grow.splitting import (
    ALONE,
    CAUTIOUS,
    Batch,
    Directions,
    Probe,
    batch_loss,
    curvature_product,
    offsets_of,
    predicted_changes,
    random_directions,
    rayleigh_pass,
    row_dot,
)
from kws_grow.training import keep_freed_memory, make_optimizer, train_epoch

OUT = Path("docs") / "results" / "index"
JUDGED_CLIPS, BATCH = 4096, 256
WIDTHS, EPOCHS = (16, 16, 16, 16, 16), 4
EXACT_BATCHES, STOCHASTIC_STEPS = 8, 160
WORTH_TELLING = 1e-5  # of a predicted change
WITHOUT_MARGIN = {CAUTIOUS: ALONE}
# What directions are fitted to (DESIGN, Growth 4): ReLU over the offset that is used, or the curvature of a smooth
# surrogate. The default's results lie at the top, others' in a folder of their own.
FINITE_OFFSET = "finite-offset"
CURVATURES = {FINITE_OFFSET: lambda settings: Probe(settings.eps),
              "softplus": lambda settings: smooth_probe(ExactSettings())}
known_curvature = known("curvature", CURVATURES)


@dataclass(frozen=True)
class Prediction:
    """Of one split. Changes of the loss. predicted: from other clips than it is judged on, as growth has to.
    same_clips: from those, with no margin for what other clips would say; how good the formula is."""

    layer: int
    path: int
    predicted: float
    same_clips: float
    realised: float


@dataclass(frozen=True)
class Study:
    """Of one seed net. index_s, epoch_s: processor seconds of an index pass and of an epoch."""

    net: DsCnn
    predictions: tuple[Prediction, ...]
    index_s: float
    epoch_s: float


def main() -> None:
    parser = Parser(prog="python -m kws_grow.bench_index", description=__doc__)
    parser.add_argument("--data", type=Path, help="as for grow-kws")
    parser.add_argument("--seeds", default="0 1 2", help="of the nets judged; default: %(default)s")
    parser.add_argument("--every", type=from_one, default=1, help="judge every n-th path; default: %(default)s")
    parser.add_argument("--index", default="", help="as for grow-kws")
    parser.add_argument("--curvature", type=known_curvature, default=FINITE_OFFSET,
                        help=f"that directions are fitted to: {', '.join(CURVATURES)}; default: %(default)s")
    parser.add_argument("--out", type=Path, help=f"folder; default: {OUT}, or one in it")
    arguments = parser.parse_args()
    seeds = seeds_of(arguments.seeds) or parser.error("SEEDS: at least one")
    torch.set_num_threads(1)
    keep_freed_memory()
    dataset = load(arguments.data, None)
    source = CodeSource(dataset, "cpu", Augmentation(), Schedule().min_epoch_clips)
    settings = settings_of("energy-aware", arguments.index)
    studies = [study(source, len(dataset.labels), seed, settings, arguments) for seed in seeds]
    predictions = [p for each in studies for p in each.predictions]
    out = arguments.out or OUT / (arguments.curvature if arguments.curvature != FINITE_OFFSET else "")
    plot(predictions, out)
    facts = {**agreement(predictions), "same_clips": agreement(predictions, "same_clips"),
             "splits": len(predictions), "clips": JUDGED_CLIPS, **asdict(settings), "curvature": arguments.curvature,
             "mean_realised": float(np.mean([p.realised for p in predictions])),
             "signs_of_seeds": [round(agreement(each.predictions)["signs"], 4) for each in studies],
             "rank_correlation": rank_correlation(studies[0].net, source, seeds[0]),
             "index_s": round(sum(each.index_s for each in studies), 1),
             "epoch_s": round(sum(each.epoch_s for each in studies), 1)}
    facts["index_of_epoch"] = round(facts["index_s"] / facts["epoch_s"], 2)
    finish({**facts, "dataset": dataset.name, "seeds": seeds, "commit": commit()}, out, "Indexed")


def study(source: CodeSource, n_labels: int, seed: int, settings: IndexSettings, arguments: Namespace) -> Study:
    """One net: trained, indexed, its splits made."""
    net, epoch_s = trained(source, n_labels, seed)
    batches = stream(source, net, seed, "index")
    started = time.process_time()
    v, changes = indexed(net, batches, seed, settings, CURVATURES[arguments.curvature](settings))
    index_s = time.process_time() - started
    judge = list(islice(batches, JUDGED_CLIPS // BATCH))  # of the same pass over the clips, so that none comes twice
    return Study(net, tuple(judged(net, v, changes, settings, judge, arguments.every)), index_s, epoch_s)


def trained(source: CodeSource, n_labels: int, seed: int) -> tuple[DsCnn, float]:
    """A seed net as the first round meets it, and the processor seconds of its last epoch."""
    torch.manual_seed(seed)
    net = DsCnn(NetShape(WIDTHS, n_labels=n_labels))
    s = Schedule()
    optimizer = make_optimizer(net, s.momentum, s.weight_decay)
    for epoch in range(EPOCHS):
        started = time.process_time()
        train_epoch(net, optimizer, source, s.batch, generator_for(seed, "epoch", epoch, device=source.device),
                    lambda share: s.growing_lr, s.label_smoothing)
    return net, time.process_time() - started


def stream(source: CodeSource, net: DsCnn, seed: int, name: str) -> Iterator[Batch]:
    """Endless batches."""
    return batches_of(source, BATCH, net, generator_for(seed, name, 0, device=source.device))


def indexed(net: DsCnn, batches: Iterator[Batch], seed: int, settings: IndexSettings,
            curvature: Probe) -> tuple[Directions, list[Tensor]]:
    """As the energy-aware method does it, but for what the directions are fitted to."""
    start = random_directions(net, generator_for(seed, "directions", 0, device=net.classifier.weight.device))
    v = rayleigh_pass(net, batches, start, curvature, steps=settings.steps)
    return v, predicted_changes(net, list(islice(batches, settings.fresh)), v, Probe(settings.eps), settings.gains)


def judged(net: DsCnn, v: Directions, changes: list[Tensor], settings: IndexSettings, judge: list[Batch],
           every: int = 1) -> list[Prediction]:
    """Each split really made, alone. changes: predicted from other clips."""
    same = predicted_changes(net, judge, v, Probe(settings.eps), WITHOUT_MARGIN.get(settings.gains, settings.gains))
    double = DsCnn(net.shape).double()
    double.load_state_dict(net.state_dict())
    batches = [(mfcc.double(), labels) for mfcc, labels in judge]
    offsets = [[d.double() for d in rows] for rows in offsets_of(net, v, settings.eps)]
    before, done = batch_loss(double, batches), []
    paths = [(layer, path) for layer, c in enumerate(net.shape.widths) for path in range(0, c, every)]
    for layer, path in progress(paths, "splitting", unit="path", leave=False):
        edits = [unchanged(double, i) for i in range(len(net.paths))]
        edits[layer] = halved(double, layer, torch.tensor([path]), offsets[layer])
        done.append(Prediction(layer, path, float(changes[layer][path]), float(same[layer][path]),
                               batch_loss(grown(double, edits), batches) - before))
    return done


def agreement(predictions: list[Prediction], of: str = "predicted") -> dict:
    """signs: share of those worth telling whose sign is right. slope: of realised on predicted, through zero."""
    told = [p for p in predictions if abs(getattr(p, of)) > WORTH_TELLING]
    x, y = np.array([getattr(p, of) for p in told]), np.array([p.realised for p in told])
    return {"signs": float(np.mean(np.sign(x) == np.sign(y))), "slope": float(x @ y / (x @ x)), "told": len(told),
            "correlation": float(np.corrcoef(x, y)[0, 1])}


def rank_correlation(net: DsCnn, source: CodeSource, seed: int) -> float:
    """Of every path's smallest eigenvalue, exact and as the stochastic pass finds it; on the same clips, by the same
    smooth surrogate, so that nothing but the method differs."""
    probe = smooth_probe(ExactSettings())
    clips = list(islice(stream(source, net, seed, "exact"), EXACT_BATCHES))
    exact, _ = smallest_eigenpairs(net, clips, probe)
    start = random_directions(net, generator_for(seed, "directions", 1, device=source.device))
    v = rayleigh_pass(net, cycle(clips), start, probe, steps=STOCHASTIC_STEPS)
    products = [curvature_product(net, batch, v, probe) for batch in clips]
    found = [sum(row_dot(rows, p[i]) for p in products) for i, rows in enumerate(v)]
    return float(spearmanr(torch.cat(exact), torch.cat(found)).statistic)


def plot(predictions: list[Prediction], folder: Path) -> None:
    """scatter.png."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    figure, both = plt.subplots(1, 2, figsize=(11, 5.5), layout="constrained", sharex=True, sharey=True)
    low = min(min(p.predicted, p.same_clips, p.realised) for p in predictions)
    for axes, of, clips in zip(both, ("predicted", "same_clips"), ("other clips, as growth does", "these clips"),
                               strict=True):
        for layer in sorted({p.layer for p in predictions}):
            mine = [p for p in predictions if p.layer == layer]
            axes.scatter([getattr(p, of) for p in mine], [p.realised for p in mine], s=14, label=f"layer {layer}")
        axes.plot([low, 0], [low, 0], color="grey", lw=0.8)
        axes.axhline(0, color="grey", lw=0.4)
        axes.set(xlabel=f"change of the loss, predicted from {clips}", ylabel=f"realised, {JUDGED_CLIPS} clips")
    figure.suptitle("One split at a time, at the offset used, on clips that no direction was fitted to")
    both[0].legend(fontsize="small")
    with atomic_write(folder / "scatter.png") as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    run_command(main)
