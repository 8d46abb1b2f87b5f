"""The grow loop: train a seed; index, select, split, train on, until no split fits; then a final schedule and,
where asked for, quantization-aware fine-tuning."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import inf

import numpy as np
import torch
from torch import Tensor

from datasets.console import UserError
from export.budget import Limits
from export.cost import Tariff
from export.net import FloatNet
from export.shape import NetShape
from kws_grow.augment import CodeSource, generator_for, mfcc
from kws_grow.config import GrowConfig
from kws_grow.deploy import folded_layers, with_ranges
from kws_grow.methods import METHODS
from kws_grow.network import DsCnn
from kws_grow.qat import QuantizedNet, make_tuner
from kws_grow.ranges import Method, mean_square
from kws_grow.selection import WIDTH_STEP, Option, Selection, select, split_options
from kws_grow.splitting import Batch, Curvature, at_rest, only, paired_loss, split
from kws_grow.training import AveragedWeights, accuracy, make_optimizer, one_cycle, train_epoch

JUDGE_BATCHES = 8  # of index_batch clips each: 4,096 training clips, not used to fit directions


@dataclass(frozen=True)
class Task:
    """What stays the same over a run: the data on the device, the limits, what nets cost on the board.

    range_codes: uint8 [n, 49, 40], training clips that activation ranges are read off.
    """

    source: CodeSource
    dev: tuple[Tensor, Tensor]
    range_codes: Tensor
    limits: Limits
    tariff: Tariff


@dataclass
class Growth:
    """A run between two epochs; everything in it is in the checkpoint.

    phase: "grow" (seed and rounds), "final", "qat" or "done". rounds: splits so far. epoch: of the round or phase.
    epochs: trained in all. log: one dict an epoch and one a round, in order.
    tuned: the averaged net while it is fine-tuned and afterwards; then the optimizer is its own.
    """

    net: DsCnn
    optimizer: torch.optim.Optimizer
    average: AveragedWeights | None
    tuned: QuantizedNet | None = None
    phase: str = "grow"
    rounds: int = 0
    epoch: int = 0
    epochs: int = 0
    stopped_by: str = ""
    log: tuple[dict, ...] = ()


def check_seed(config: GrowConfig, task: Task) -> NetShape:
    """The seed's shape. UserError where even that exceeds the budget."""
    shape = NetShape(config.seed_widths, config.n_coefficients, len(config.labels))
    price = task.tariff.shape(shape).whole
    if broken := task.limits.broken_by(price):
        facts = ", ".join(f"{name} {getattr(price, name):.6g} > {getattr(task.limits, name):.6g}" for name in broken)
        raise UserError(f"BUDGET={config.budget!r} on {config.board}: even the seed net exceeds it ({facts}); "
                        f"allowed: at least the price of SEED_WIDTHS, {','.join(map(str, shape.widths))}")
    return shape


def seed_growth(config: GrowConfig, task: Task) -> Growth:
    """A fresh net of seed_widths. UserError where even that exceeds the budget."""
    shape = check_seed(config, task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = DsCnn(shape).to(task.source.device)
    return Growth(net, make_optimizer(net, config.schedule.momentum, config.schedule.weight_decay), None)


def advance(growth: Growth, config: GrowConfig, task: Task) -> str:
    """Do the next epoch, or the next split; returns a line that says what was done."""
    if growth.phase == "grow":
        due = config.schedule.round_epochs if growth.rounds else config.schedule.seed_epochs
        return _grow_epoch(growth, config, task) if growth.epoch < due else _grow_round(growth, config, task)
    return (_final_epoch if growth.phase == "final" else _qat_epoch)(growth, config, task)


def _grow_epoch(growth: Growth, config: GrowConfig, task: Task) -> str:
    peak = config.schedule.growing_lr

    def rewarmed(share: float) -> float:
        return peak * min(1.0, 0.1 + 1.8 * share) if growth.epoch == 0 else peak
    return _train(growth, config, task, rewarmed, f"round {growth.rounds}")


def _final_epoch(growth: Growth, config: GrowConfig, task: Task) -> str:
    s = config.schedule
    if growth.average is None:
        growth.average = AveragedWeights(growth.net, s.average_decay)

    def scheduled(share: float) -> float:
        return one_cycle((growth.epoch + share) / s.final_epochs, s.peak_lr)
    line = _train(growth, config, task, scheduled, "final")
    if growth.epoch == s.final_epochs:
        _end_final(growth, config)
    return line


def _end_final(growth: Growth, config: GrowConfig) -> None:
    growth.phase, growth.epoch = ("qat" if config.quantization.qat else "done"), 0


def _qat_epoch(growth: Growth, config: GrowConfig, task: Task) -> str:
    q = config.quantization
    if growth.tuned is None:
        growth.tuned = _untuned(growth, config, task)
        growth.optimizer = make_tuner(growth.tuned)

    def scheduled(share: float) -> float:
        return one_cycle((growth.epoch + share) / q.qat_epochs, q.qat_lr)
    line = _train(growth, config, task, scheduled, "qat")
    if growth.epoch == q.qat_epochs:
        growth.phase = "done"
    return line


def _untuned(growth: Growth, config: GrowConfig, task: Task) -> QuantizedNet:
    """Where fine-tuning starts: the averaged net with mean-square ranges."""
    net = quantized_nets(growth, config, task, {"start": mean_square})["start"]
    return QuantizedNet(net).to(task.source.device)


def quantized_nets(growth: Growth, config: GrowConfig, task: Task, methods: dict[str, Method]) -> dict[str, FloatNet]:
    """The float net that would be deployed now, with ranges by each of the methods."""
    x = mfcc(task.range_codes, config.n_coefficients)
    return with_ranges(folded_layers(final_net(growth)), x, config.labels, config.dataset, methods)


def _train(growth: Growth, config: GrowConfig, task: Task, lr_at, name: str) -> str:
    s = config.schedule
    generator = generator_for(config.seed, "epoch", growth.epochs, device=task.source.device)
    if growth.tuned is None:
        loss = train_epoch(growth.net, growth.optimizer, task.source, s.batch, generator, lr_at, s.label_smoothing,
                           growth.average)
    else:
        loss = train_epoch(growth.tuned, growth.optimizer, task.source, s.batch, generator, lr_at, 0.0,
                           teacher=final_net(growth).eval())
    growth.epoch += 1
    growth.epochs += 1
    share = accuracy(final_net(growth) if growth.tuned is None else growth.tuned, *task.dev)
    growth.log += ({"epoch": growth.epochs, "phase": name, "loss": loss, "dev_accuracy": share,
                    "widths": growth.net.shape.widths},)
    return f"{name}, epoch {growth.epoch}: loss {loss:.3f}, dev {100 * share:.1f} %, widths {growth.net.shape.widths}"


def final_net(growth: Growth) -> DsCnn:
    """The float net as it would be deployed now: averaged weights once there are any."""
    if growth.average is None:
        return growth.net
    net = DsCnn(growth.net.shape).to(growth.net.classifier.weight.device)
    net.load_state_dict(growth.average.state)
    return net


def _grow_round(growth: Growth, config: GrowConfig, task: Task) -> str:
    """Index every path, select under the round's and the board's limits, split; or turn to the final schedule."""
    net, shape = growth.net, growth.net.shape
    growth.epoch = 0
    if broken := broken_by_any_split(shape, range(len(shape.widths)), task.limits, task.tariff):
        return _end_growth(growth, f"{', '.join(broken)} ({task.limits})")
    stream = generator_for(config.seed, "index", growth.rounds, device=task.source.device)
    found = METHODS[config.method](net, lambda: index_batches(task.source, config, net, stream),
                                   generator_for(config.seed, "directions", growth.rounds, device=task.source.device),
                                   config.index)
    gains = tuple(g.cpu().double().numpy() for g in found.gains)
    options = tuple(map(split_options, gains, shape.widths, shape.depths))
    selection = select_round(shape, options, task.limits, config.schedule.round_factor, task.tariff, config.spend)
    if not any(selection.chosen):
        return _end_growth(growth, why_none(shape, gains, task.limits, task.tariff))
    row = _split(growth, config, task, selection.gain, _best(gains, selection), found)
    _rebuild(growth, config, task)
    growth.rounds += 1
    growth.log += ({"round": growth.rounds, **row},)
    return format_round(growth.log[-1])


def index_batches(source: CodeSource, config: GrowConfig, net: DsCnn, generator: torch.Generator) -> Iterator[Batch]:
    """Endless batches for indexing: MFCC and labels."""
    while True:
        for codes, labels in source.batches(config.schedule.index_batch, generator):
            yield mfcc(codes, net.n_coefficients), labels


def _end_growth(growth: Growth, why: str) -> str:
    growth.phase, growth.stopped_by = "final", why
    return f"growth ends after {growth.rounds} rounds: {why}"


def select_round(shape: NetShape, options: tuple[tuple[Option, ...], ...], limits: Limits, factor: float,
                 tariff: Tariff, spend: str) -> Selection:
    """The best split that makes the net dearer by at most `factor` in `spend`; more only where none is that small."""
    before = getattr(tariff.shape(shape).whole, spend)
    for most in (before * factor, before * factor**2, inf):
        selection = select(shape, options, limits.tightened(Limits(**{spend: most})), tariff, spend)
        if any(selection.chosen):
            break
    return selection


def why_none(shape: NetShape, gains: tuple[np.ndarray, ...], limits: Limits, tariff: Tariff) -> str:
    """Why no split was chosen: the limits that forbid all that would gain, or that none would."""
    gaining = [i for i, of_paths in enumerate(gains) if (of_paths > 0).sum() >= WIDTH_STEP]
    broken = broken_by_any_split(shape, gaining, limits, tariff)
    return f"{', '.join(broken)} ({limits})" if broken else f"no split gains anything ({limits})"


def broken_by_any_split(shape: NetShape, layers: Iterable[int], limits: Limits, tariff: Tariff) -> tuple[str, ...]:
    """Names of the limits that forbid every split of these layers; () where at least one of them can grow."""
    broken = [limits.broken_by(tariff.shape(_widened(shape, i, WIDTH_STEP)).whole) for i in layers]
    return tuple(sorted(set().union(*broken))) if all(broken) else ()


def _widened(shape: NetShape, path: int, added: int) -> NetShape:
    return replace(shape, widths=tuple(c + added * (i == path) for i, c in enumerate(shape.widths)))


def _best(gains: tuple[np.ndarray, ...], selection: Selection) -> list[np.ndarray]:
    """Of each layer, the indices of the paths that the chosen option splits."""
    return [np.argsort(-g, kind="stable")[:k * WIDTH_STEP] for g, k in zip(gains, selection.chosen, strict=True)]


def _split(growth: Growth, config: GrowConfig, task: Task, gain: float, paths: list[np.ndarray],
           found: Curvature) -> dict:
    """Split, and return the round's row: what each layer was predicted to gain, what it cost, what the loss did."""
    net, before = growth.net, task.tariff.shape(growth.net.shape).whole
    judge = _judge_batches(growth, config, task)
    chosen = [torch.from_numpy(index).to(task.source.device) for index in paths]
    loss = paired_loss(net, judge, at_rest(net))
    layers = [_layer_row(net, i, index, found, judge, loss, task.tariff) for i, index in enumerate(chosen)]
    split(net, chosen, found.offsets, growth.optimizer)
    after = task.tariff.shape(net.shape).whole
    return {"widths": net.shape.widths, "layers": layers, "predicted_gain": gain if found.predicts else None,
            "loss_before": loss, "realised_change": paired_loss(net, judge, at_rest(net)) - loss,
            "price_energy_uj": after.energy_uj - before.energy_uj,
            "price_operations": after.operations - before.operations, "operations": after.operations}


def _layer_row(net: DsCnn, layer: int, index: Tensor, found: Curvature, judge: list[Batch], loss: float,
               tariff: Tariff) -> dict:
    """What the split of these paths of one layer would do and cost while the other layers stay."""
    before, after = (tariff.shape(shape).whole for shape in (net.shape, _widened(net.shape, layer, len(index))))
    width = net.shape.widths[layer]
    return {"layer": layer, "before": width, "after": width + len(index),
            "predicted_gain": float(found.gains[layer][index].sum()) if found.predicts else None,
            "realised_change": paired_loss(net, judge, only(found.offsets, layer, index)) - loss,
            "price_energy_uj": after.energy_uj - before.energy_uj,
            "price_operations": after.operations - before.operations}


def _rebuild(growth: Growth, config: GrowConfig, task: Task) -> None:
    """Lay every tensor out as a resumed run would, for a kernel may round differently by memory layout."""
    fresh = growth_of(state_of(growth), config, task)
    growth.net, growth.optimizer = fresh.net, fresh.optimizer


def _judge_batches(growth: Growth, config: GrowConfig, task: Task) -> list[Batch]:
    generator = generator_for(config.seed, "judge", growth.rounds, device=task.source.device)
    return list(islice(index_batches(task.source, config, growth.net, generator), JUDGE_BATCHES))


def predicted(row: dict) -> str:
    """The change of the loss that a row of the log predicts; "none" where its method predicts nothing."""
    return "none" if row["predicted_gain"] is None else f"{-row['predicted_gain']:+.4f}"


def format_round(row: dict) -> str:
    """A round of the log as a small table."""
    head = f"round {row['round']}: widths {tuple(row['widths'])}, {row['operations'] / 1e6:.2f} M operations"
    lines = [f"  layer {x['layer']}: {x['before']:3d} -> {x['after']:3d}, predicted {predicted(x)}, "
             f"realised {x['realised_change']:+.4f}, price {x['price_energy_uj']:+.1f} uJ, "
             f"{x['price_operations']:+d} operations" for x in row["layers"]]
    total = f"  together: predicted {predicted(row)}, realised {row['realised_change']:+.4f}"
    return "\n".join([head, *lines, total])


def state_of(growth: Growth) -> dict:
    """Everything of a growth that a checkpoint holds; plain containers and tensors."""
    plain = {name: getattr(growth, name) for name in ("phase", "rounds", "epoch", "epochs", "stopped_by")}
    average = growth.average and {"state": growth.average.state, "updates": growth.average.updates}
    tuned = None if growth.tuned is None else growth.tuned.state_dict()
    return {**plain, "widths": growth.net.shape.widths, "net": growth.net.state_dict(), "average": average,
            "tuned": tuned, "optimizer": growth.optimizer.state_dict(), "log": list(growth.log)}


def growth_of(state: dict, config: GrowConfig, task: Task) -> Growth:
    """The inverse of state_of; a growth that is done without the fine-tuning that `config` asks for goes on with it."""
    growth = _grown_of(state, config, task)
    if state["tuned"]:
        growth.tuned = _untuned(growth, config, task)
        growth.tuned.load_state_dict(state["tuned"])
        growth.optimizer = make_tuner(growth.tuned)
    growth.optimizer.load_state_dict(state["optimizer"])
    if growth.phase == "done" and growth.tuned is None:
        _end_final(growth, config)
    return growth


def _grown_of(state: dict, config: GrowConfig, task: Task) -> Growth:
    """All of it but what is tuned, and a fresh optimizer."""
    s = config.schedule
    net = DsCnn(NetShape(tuple(state["widths"]), config.n_coefficients, len(config.labels))).to(task.source.device)
    net.load_state_dict(state["net"])
    average = None
    if state["average"]:
        average = AveragedWeights(net, s.average_decay)
        average.state, average.updates = state["average"]["state"], state["average"]["updates"]
    plain = {name: state[name] for name in ("phase", "rounds", "epoch", "epochs", "stopped_by")}
    return Growth(net, make_optimizer(net, s.momentum, s.weight_decay), average, **plain, log=tuple(state["log"]))
