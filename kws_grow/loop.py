"""The grow loop: train a seed; index, select, split, train on, until no split fits; then a final schedule and,
where asked for, quantization-aware fine-tuning."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import inf, isfinite

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
from kws_grow.edits import LayerEdit, carried, grown, kept, unchanged
from kws_grow.methods import METHODS
from kws_grow.methods.proposal import Proposal
from kws_grow.network import DsCnn
from kws_grow.pruning import best_that_fit
from kws_grow.qat import QuantizedNet, make_tuner
from kws_grow.ranges import Method, mean_square
from kws_grow.selection import WIDTH_STEP, Option, Selection, select, select_in_turn
from kws_grow.splitting import Batch, batch_loss
from kws_grow.teacher import Teacher
from kws_grow.training import AveragedWeights, accuracy, is_finite, make_optimizer, one_cycle, train_epoch

PRUNED_AFTER = 1 / 3  # of all epochs
JUDGE_BATCHES = 8  # of index_batch training clips each, drawn anew


@dataclass(frozen=True)
class Task:
    """What stays the same over a run: the data on the device, the limits, what nets cost on the board.

    range_codes: uint8 [n, 49, 40], training clips that activation ranges are read off. teacher: of the final schedule,
    or of what follows it.
    """

    source: CodeSource
    dev: tuple[Tensor, Tensor]
    range_codes: Tensor
    limits: Limits
    tariff: Tariff
    teacher: Teacher | None = None


@dataclass
class Growth:
    """A run between two epochs; everything in it is in the checkpoint.

    phase: "grow" (seed and rounds), "final", "taught", "qat" or "done". rounds: splits so far. epoch: of the round or
    phase.
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


def start_shape(config: GrowConfig, task: Task) -> NetShape:
    """Of the net that training starts with. UserError where a growing method's own exceeds the budget."""
    seed = NetShape(config.seed_widths, config.n_coefficients, len(config.labels), config.seed_depths,
                    config.seed_strides)
    method = METHODS[config.method]
    if method.start is None:
        _check_fits(seed, "the seed net", config, task)
        return seed
    shape = method.start(seed, reference_shape(config), task.limits, task.tariff, config.index)
    if not method.scores:  # what is pruned starts above the budget
        _check_fits(shape, f"the net of METHOD={config.method}", config, task)
    return shape


def _check_fits(shape: NetShape, what: str, config: GrowConfig, task: Task) -> None:
    price = task.tariff.shape(shape).whole
    if broken := task.limits.broken_by(price):
        facts = ", ".join(f"{name} {getattr(price, name):.6g} > {getattr(task.limits, name):.6g}" for name in broken)
        raise UserError(f"BUDGET={config.budget!r} on {config.board}: even {what} exceeds it ({facts}); "
                        f"allowed: at least the price of widths {','.join(map(str, shape.widths))}")


def reference_shape(config: GrowConfig) -> NetShape | None:
    """Of the run that a comparator is compared with."""
    r = config.reference
    return r and NetShape(r.widths, config.n_coefficients, len(config.labels), r.depths, r.strides)


def seed_growth(config: GrowConfig, task: Task) -> Growth:
    """A fresh net of the start's shape."""
    shape, method = start_shape(config, task), METHODS[config.method]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        net = DsCnn(shape).to(task.source.device)
    growth = Growth(net, make_optimizer(net, config.schedule.momentum, config.schedule.weight_decay), None)
    if not (method.propose or method.scores):
        _end_growth(growth, f"nothing grows with {config.method}")
    return growth


def advance(growth: Growth, config: GrowConfig, task: Task) -> str:
    """Do the next epoch, or the next split; returns a line that says what was done."""
    if growth.phase == "grow":
        due = _due(growth, config)
        return _grow_epoch(growth, config, task) if growth.epoch < due else _grow_round(growth, config, task)
    return {"final": _final_epoch, "taught": _taught_epoch, "qat": _qat_epoch}[growth.phase](growth, config, task)


def _due(growth: Growth, config: GrowConfig) -> int:
    """Epochs until the next round."""
    s = config.schedule
    if METHODS[config.method].scores:
        return round(PRUNED_AFTER * (config.reference.epochs if config.reference else s.final_epochs))
    return s.round_epochs if growth.rounds else s.seed_epochs


def _final_epochs(growth: Growth, config: GrowConfig) -> int:
    """Of the final schedule. What the reference had in all, less those before; so too where a net was pruned."""
    if config.reference is None and not METHODS[config.method].scores:
        return config.schedule.final_epochs
    epochs = config.reference.epochs if config.reference else config.schedule.final_epochs
    return max(1, epochs - (growth.epochs - growth.epoch))


def _grow_epoch(growth: Growth, config: GrowConfig, task: Task) -> str:
    peak, penalty = config.schedule.growing_lr, METHODS[config.method].penalty

    def rewarmed(share: float) -> float:
        return peak * min(1.0, 0.1 + 1.8 * share) if growth.epoch == 0 else peak
    return _train(growth, config, task, rewarmed, f"round {growth.rounds}",
                  penalty and (lambda: penalty(growth.net, config.index)))


def _final_epoch(growth: Growth, config: GrowConfig, task: Task) -> str:
    s, epochs = config.schedule, _final_epochs(growth, config)
    if growth.average is None:
        growth.average = AveragedWeights(growth.net, s.average_decay)

    def scheduled(share: float) -> float:
        return one_cycle((growth.epoch + share) / epochs, s.peak_lr)
    line = _train(growth, config, task, scheduled, "final")
    if growth.epoch == epochs:
        growth.phase, growth.epoch = phase_after("final", config), 0
    return line


def phase_after(phase: str, config: GrowConfig) -> str:
    """What follows one that ended, by the configuration."""
    asked = {"final": True, "taught": config.schedule.taught_epochs, "qat": config.quantization.qat, "done": True}
    phases = [name for name in asked if asked[name]]
    return phases[phases.index(phase) + 1]


def _taught_epoch(growth: Growth, config: GrowConfig, task: Task) -> str:
    s = config.schedule
    if growth.epoch == 0:
        growth.optimizer = make_optimizer(growth.net, s.momentum, s.weight_decay)

    def scheduled(share: float) -> float:
        return one_cycle((growth.epoch + share) / s.taught_epochs, s.taught_lr)
    line = _train(growth, config, task, scheduled, "taught")
    if growth.epoch == s.taught_epochs:
        growth.phase, growth.epoch = phase_after("taught", config), 0
    return line


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


def _train(growth: Growth, config: GrowConfig, task: Task, lr_at, name: str, penalty=None) -> str:
    s = config.schedule
    generator = generator_for(config.seed, "epoch", growth.epochs, device=task.source.device)
    if growth.tuned is None:
        teacher = task.teacher if growth.phase == ("taught" if s.taught_epochs else "final") else None
        loss = train_epoch(growth.net, growth.optimizer, task.source, s.batch, generator, lr_at,
                           s.label_smoothing if teacher is None else 0.0, growth.average, teacher, penalty)
    else:
        loss = train_epoch(growth.tuned, growth.optimizer, task.source, s.batch, generator, lr_at, 0.0,
                           teacher=final_net(growth).eval())
    if not (isfinite(loss) and is_finite(growth.net if growth.tuned is None else growth.tuned)):
        raise UserError(f"{name}, epoch {growth.epoch + 1}: training diverged (loss {loss:g}); the checkpoint "
                        f"keeps the net of the last good epoch, {growth.epochs} in all; allowed: "
                        + _gentler(growth, config))
    growth.epoch += 1
    growth.epochs += 1
    share = accuracy(final_net(growth) if growth.tuned is None else growth.tuned, *task.dev)
    growth.log += ({"epoch": growth.epochs, "phase": name, "loss": loss, "dev_accuracy": share,
                    "widths": growth.net.shape.widths, "depths": growth.net.shape.depths},)
    return f"{name}, epoch {growth.epoch}: loss {loss:.3f}, dev {100 * share:.1f} %, widths {growth.net.shape.widths}"


def _gentler(growth: Growth, config: GrowConfig) -> str:
    """What to try where training diverged."""
    s = config.schedule
    if growth.phase == "qat":
        return "QAT=0"
    if growth.phase == "taught":
        return f"TAUGHT_LR below {s.taught_lr:g}"
    return f"GROWING_LR below {s.growing_lr:g}" if growth.phase == "grow" else f"PEAK_LR below {s.peak_lr:g}"


def final_net(growth: Growth) -> DsCnn:
    """The float net as it would be deployed now: averaged weights once there are any."""
    if growth.average is None:
        return growth.net
    net = DsCnn(growth.net.shape).to(growth.net.classifier.weight.device)
    net.load_state_dict(growth.average.state)
    return net


def _grow_round(growth: Growth, config: GrowConfig, task: Task) -> str:
    """Propose edits, select under the round's and the board's limits, edit; or turn to the final schedule."""
    net, shape, method = growth.net, growth.net.shape, METHODS[config.method]
    growth.epoch = 0
    if method.scores:
        return _prune(growth, config, task)
    if broken := broken_by_any_split(shape, range(len(shape.widths)), task.limits, task.tariff):
        return _end_growth(growth, f"{', '.join(broken)} ({task.limits})")
    stream = generator_for(config.seed, "index", growth.rounds, device=task.source.device)
    found = method.propose(net, lambda: index_batches(task.source, config, net, stream),
                           generator_for(config.seed, "directions", growth.rounds, device=task.source.device),
                           config.index)
    selection = select_round(shape, found, task.limits, config.schedule.round_factor, task.tariff, config.spend)
    if not any(selection.chosen):
        return _end_growth(growth, why_none(shape, found.options, task.limits, task.tariff))
    growth.log += (_edited(growth, config, task, selection, found),)
    return format_round(growth.log[-1])


def _prune(growth: Growth, config: GrowConfig, task: Task) -> str:
    """Keep the paths that score best and fit."""
    scores = [s.cpu().double().numpy() for s in METHODS[config.method].scores(growth.net)]
    stay = best_that_fit(growth.net.shape, scores, task.limits, task.tariff)
    device = task.source.device
    _edit(growth, [kept(growth.net, i, torch.from_numpy(index).to(device)) for i, index in enumerate(stay)], config,
          task)
    return _end_growth(growth, f"pruned to {growth.net.shape.widths}")


def index_batches(source: CodeSource, config: GrowConfig, net: DsCnn, generator: torch.Generator) -> Iterator[Batch]:
    """Endless batches for indexing."""
    return batches_of(source, config.schedule.index_batch, net, generator)


def batches_of(source: CodeSource, batch: int, net: DsCnn, generator: torch.Generator) -> Iterator[Batch]:
    """Endless batches of augmented training clips: MFCC and labels."""
    while True:
        for codes, labels in source.batches(batch, generator):
            yield mfcc(codes, net.n_coefficients), labels


def _end_growth(growth: Growth, why: str) -> str:
    growth.phase, growth.stopped_by = "final", why
    return f"growth ends after {growth.rounds} rounds: {why}"


def select_round(shape: NetShape, found: Proposal, limits: Limits, factor: float, tariff: Tariff,
                 spend: str) -> Selection:
    """The best edit that makes the net dearer by at most `factor` in `spend`; more only where none is that small."""
    before, options = getattr(tariff.shape(shape).whole, spend), found.options
    if found.order is not None:
        return select_in_turn(shape, options, found.order, limits, Limits(**{spend: before * factor}), tariff)
    for most in (before * factor, before * factor**2, inf):
        selection = select(shape, options, limits.tightened(Limits(**{spend: most})), tariff, spend)
        if any(selection.chosen):
            break
    return selection


def why_none(shape: NetShape, options: tuple[tuple[Option, ...], ...], limits: Limits, tariff: Tariff) -> str:
    """Why nothing was chosen: the limits that forbid all that would gain, or that nothing would."""
    gaining = [i for i, of_layer in enumerate(options) if len(of_layer) > 1]
    broken = broken_by_any_split(shape, gaining, limits, tariff)
    return f"{', '.join(broken)} ({limits})" if broken else f"no split gains anything ({limits})"


def broken_by_any_split(shape: NetShape, layers: Iterable[int], limits: Limits, tariff: Tariff) -> tuple[str, ...]:
    """Names of the limits that forbid every split of these layers; () where at least one of them can grow."""
    broken = [limits.broken_by(tariff.shape(_widened(shape, i, WIDTH_STEP)).whole) for i in layers]
    return tuple(sorted(set().union(*broken))) if all(broken) else ()


def _widened(shape: NetShape, path: int, added: int) -> NetShape:
    return replace(shape, widths=tuple(c + added * (i == path) for i, c in enumerate(shape.widths)))


def _edited(growth: Growth, config: GrowConfig, task: Task, selection: Selection, found: Proposal) -> dict:
    """Edit the net; returns the round's row: what each layer was predicted to gain, what it cost, what the loss did."""
    net, edits, judge = growth.net, found.edits(selection.chosen), _judge_batches(growth, config, task)
    before, loss = net.shape, batch_loss(net, judge)
    gains = [options[k].gain if found.order is None else None
             for options, k in zip(found.options, selection.chosen, strict=True)]
    layers = [_layer_row(net, i, edits, gain, judge, loss, task.tariff) for i, gain in enumerate(gains)]
    _edit(growth, edits, config, task)
    growth.rounds += 1
    shape = growth.net.shape
    return {"round": growth.rounds, "widths": shape.widths, "depths": shape.depths, "layers": layers,
            "predicted_gain": selection.gain if found.order is None else None, "loss_before": loss,
            "realised_change": batch_loss(growth.net, judge) - loss, **_dearer(task.tariff, before, shape),
            "operations": task.tariff.shape(shape).whole.operations}


def _dearer(tariff: Tariff, before: NetShape, after: NetShape) -> dict:
    old, new = tariff.shape(before).whole, tariff.shape(after).whole
    return {"price_energy_uj": new.energy_uj - old.energy_uj, "price_operations": new.operations - old.operations}


def _layer_row(net: DsCnn, layer: int, edits: list[LayerEdit], gain: float | None, judge: list[Batch], loss: float,
               tariff: Tariff) -> dict:
    """What the edit of one layer would do and cost while the other layers stay."""
    alone = grown(net, [edit if i == layer else unchanged(net, i) for i, edit in enumerate(edits)])
    before, after = net.shape, alone.shape
    changed = after != before
    return {"layer": layer, "before": before.widths[layer], "after": after.widths[layer],
            "deeper": after.depths[layer] - before.depths[layer], "predicted_gain": gain,
            "realised_change": batch_loss(alone, judge) - loss if changed else 0.0, **_dearer(tariff, before, after)}


def _edit(growth: Growth, edits: list[LayerEdit], config: GrowConfig, task: Task) -> None:
    """Momentum goes along. Every tensor is laid out as a resumed run would, for a kernel may round differently."""
    net = grown(growth.net, edits)
    optimizer = make_optimizer(net, config.schedule.momentum, config.schedule.weight_decay)
    carried(growth.optimizer, optimizer, growth.net, net, edits)
    growth.net, growth.optimizer = net, optimizer
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
    head = (f"round {row['round']}: widths {tuple(row['widths'])}, blocks {tuple(row['depths'])}, "
            f"{row['operations'] / 1e6:.2f} M operations")
    lines = [f"  layer {x['layer']}: {x['before']:3d} -> {x['after']:3d}{', a block' * x['deeper']}, "
             f"predicted {predicted(x)}, "
             f"realised {x['realised_change']:+.4f}, price {x['price_energy_uj']:+.1f} uJ, "
             f"{x['price_operations']:+d} operations" for x in row["layers"]]
    total = f"  together: predicted {predicted(row)}, realised {row['realised_change']:+.4f}"
    return "\n".join([head, *lines, total])


def state_of(growth: Growth) -> dict:
    """Everything of a growth that a checkpoint holds; plain containers and tensors."""
    plain = {name: getattr(growth, name) for name in ("phase", "rounds", "epoch", "epochs", "stopped_by")}
    average = growth.average and {"state": growth.average.state, "updates": growth.average.updates}
    tuned = None if growth.tuned is None else growth.tuned.state_dict()
    net = {**vars(growth.net.shape), "net": growth.net.state_dict()}
    return {**plain, **net, "average": average, "tuned": tuned, "optimizer": growth.optimizer.state_dict(),
            "log": list(growth.log)}


def growth_of(state: dict, config: GrowConfig, task: Task) -> Growth:
    """The inverse of state_of, and of what trained_on made of one."""
    growth = _grown_of(state, config, task)
    if state["tuned"]:
        growth.tuned = _untuned(growth, config, task)
        growth.tuned.load_state_dict(state["tuned"])
        growth.optimizer = make_tuner(growth.tuned)
    if state["optimizer"]:
        growth.optimizer.load_state_dict(state["optimizer"])
    return growth


def trained_on(state: dict, config: GrowConfig) -> dict:
    """The state of a growth that is done, as it was before any fine-tuning, for a run of another configuration that
    goes on there. No optimizer: each phase behind the final one begins with its own."""
    log = [row for row in state["log"] if row.get("phase") != "qat"]
    taught = any(row.get("phase") == "taught" for row in log)
    return state | {"phase": phase_after("taught" if taught else "final", config), "epoch": 0, "tuned": None,
                    "epochs": state["epochs"] - (len(state["log"]) - len(log)), "optimizer": None, "log": log}


def _grown_of(state: dict, config: GrowConfig, task: Task) -> Growth:
    """All of it but what is tuned, and a fresh optimizer."""
    s = config.schedule
    shape = NetShape(tuple(state["widths"]), config.n_coefficients, len(config.labels), tuple(state["depths"]),
                     tuple(state["strides"]))
    net = DsCnn(shape).to(task.source.device)
    net.load_state_dict(state["net"])
    average = None
    if state["average"]:
        average = AveragedWeights(net, s.average_decay)
        average.state, average.updates = state["average"]["state"], state["average"]["updates"]
    plain = {name: state[name] for name in ("phase", "rounds", "epoch", "epochs", "stopped_by")}
    return Growth(net, make_optimizer(net, s.momentum, s.weight_decay), average, **plain, log=tuple(state["log"]))
