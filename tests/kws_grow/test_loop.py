"""The loop on made-up clips: it learns, grows within its limits, and goes on after a stop as if there had been none."""

from copy import deepcopy
from dataclasses import replace
from itertools import combinations, islice, product, repeat

import numpy as np
import pytest
import torch
from helpers import made_up_clips, made_up_dataset, small_net, tariff
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from datasets import features
from datasets.console import UserError
from export.budget import LIMIT_NAMES, Limits
from export.shape import NetShape
from kws_grow.augment import NOISES, Augmentation, CodeSource, augmentation_of, mfcc, plain_codes
from kws_grow.bench_index import agreement, judged
from kws_grow.checkpoint import NAME, PREVIOUS, load_checkpoint, save_checkpoint
from kws_grow.config import GrowConfig, Quantization, Reference, Schedule
from kws_grow.edits import grown, unchanged
from kws_grow.grow import make_task, no_dearer
from kws_grow.loop import (
    Task,
    advance,
    final_net,
    growth_of,
    index_batches,
    quantized_nets,
    reference_shape,
    seed_growth,
    state_of,
    trained_on,
    why_none,
)
from kws_grow.methods import METHODS, settings_of
from kws_grow.methods.firefly import FireflySettings, candidates, fit, gate_gains
from kws_grow.methods.proposal import IndexSettings, OffsetSettings
from kws_grow.methods.signed import best_ways, copied, path_gains, ways
from kws_grow.network import DsCnn
from kws_grow.ranges import mean_square
from kws_grow.selection import split_options
from kws_grow.splitting import Probe, batch_loss, offsets_of, predicted_changes, random_directions, rayleigh_pass
from kws_grow.training import is_finite

SCHEDULE = Schedule(seed_epochs=1, round_epochs=1, final_epochs=2, batch=32, index_batch=32, min_epoch_clips=256)
TUNED = Quantization(qat=True, qat_epochs=2)
LABELS = ("_silence_", "_unknown_", "one", "two")
CONFIG = GrowConfig("made-up", "", LABELS, "nano33ble", (), "portable", "", "small", "energy-aware", 0, "cpu", 1,
                    seed_widths=(8, 8, 8), schedule=SCHEDULE, index=IndexSettings(steps=4, fresh=2))


QUICK = {"splitting": "batches=1 fresh=2", "energy-aware": "steps=4 fresh=2", "signed": "steps=4 fresh=2", "width": "",
         "firefly": "steps=4 fresh=2 channels=4", "random": "", "scratch": "", "prune-bn": "times=2",
         "prune-l1": "times=2"}
GROWING = [name for name, method in METHODS.items() if method.propose]
REFERENCE = Reference("grown", (12, 8, 20), (0, 0, 0), (1, 1), 6)


def config_of(method: str, **fields) -> GrowConfig:
    """CONFIG by another method, with settings that take little time."""
    return replace(CONFIG, method=method, index=settings_of(method, QUICK[method]), **fields)


def task_of(config: GrowConfig, operations: float = 6e5) -> Task:
    dataset = made_up_dataset()
    source = CodeSource(dataset, "cpu", config.augmentation, config.schedule.min_epoch_clips)
    dev = plain_codes(dataset.dev, "cpu")
    return Task(source, dev, plain_codes(dataset.train, "cpu")[0], Limits(operations=operations), tariff())


def run(config: GrowConfig, task: Task, stop_after: int = 10**6):
    growth = seed_growth(config, task)
    while growth.phase != "done" and stop_after:
        advance(growth, config, task)
        stop_after -= 1
    return growth


@pytest.mark.parametrize("method", GROWING)
def test_grows_learns_and_stays_within_its_limits(method):
    config = config_of(method)
    task = task_of(config)
    growth = run(config, task)
    rounds = [row for row in growth.log if "round" in row]
    assert growth.rounds == len(rounds) >= 1
    assert growth.net.shape.widths != CONFIG.seed_widths
    assert all(width % 4 == 0 for width in growth.net.shape.widths)
    assert not task.limits.broken_by(task.tariff.shape(growth.net.shape).whole)
    assert growth.stopped_by.startswith("operations (") or "gains" in growth.stopped_by
    assert [row["epoch"] for row in growth.log if "epoch" in row] == list(range(1, growth.epochs + 1))
    assert growth.log[-1]["dev_accuracy"] > 0.6
    for row in rounds:
        if method != "random":
            assert sum(x["predicted_gain"] for x in row["layers"]) == pytest.approx(row["predicted_gain"])
        assert tuple(x["after"] for x in row["layers"]) == tuple(row["widths"])


@pytest.mark.parametrize("method", [name for name in METHODS if name not in GROWING])
def test_comparators_take_the_references_price_and_epochs(method):
    config = config_of(method, reference=REFERENCE)
    task = replace(task_of(config), limits=no_dearer(Limits(operations=1e9), reference_shape(config), tariff(), ""))
    growth = run(config, task)
    price = task.tariff.shape(growth.net.shape).whole.operations
    assert growth.epochs == REFERENCE.epochs
    assert 0.9 * task.limits.operations < price <= task.limits.operations
    assert growth.log[-1]["dev_accuracy"] > 0.6
    assert (growth.net.shape.widths == REFERENCE.widths) == (method == "scratch")


def test_random_growth_takes_the_references_epochs_too():
    config = config_of("random", reference=REFERENCE)
    assert run(config, task_of(config)).epochs == REFERENCE.epochs


def test_pruning_keeps_the_best_of_a_wider_net():
    config = config_of("prune-l1", reference=REFERENCE)
    task = task_of(config)
    growth = seed_growth(config, task)
    while growth.phase == "grow":
        before = growth.net
        advance(growth, config, task)
    assert max(before.shape.widths) > max(growth.net.shape.widths)
    lengths, kept = (net.paths[0].mix.weight.detach().abs().flatten(1).sum(1) for net in (before, growth.net))
    torch.testing.assert_close(kept.sort().values, lengths.sort().values[-len(kept):])


def test_slimming_shrinks_the_scales_of_norms():
    """The penalty acts: without it the scales stay where they are."""
    sums = []
    for text in ("times=2 penalty=1e-9", "times=2 penalty=0.05"):
        config = replace(config_of("prune-bn", reference=REFERENCE), index=settings_of("prune-bn", text))
        net = run(config, task_of(config), 2).net
        sums.append(sum(float(norm.weight.detach().abs().sum()) for path in net.paths for norm in path.norms()))
    assert sums[1] < 0.8 * sums[0]


def test_scratch_needs_a_reference():
    with pytest.raises(UserError, match="name it by REFERENCE=RUN"):
        seed_growth(config_of("scratch"), task_of(CONFIG))


def test_methods_choose_differently():
    first = [run(config_of(method), task_of(CONFIG), 2).net for method in ("energy-aware", "random", "signed")]
    for a, b in combinations([net.state_dict() for net in first], 2):
        assert any(a[name].shape != b[name].shape or not torch.equal(a[name], b[name]) for name in a)


def test_firefly_proposes_blocks_that_lower_the_loss():
    net, batch = trained_on_clips()
    found = METHODS["firefly"].propose(net, lambda: repeat(batch), torch.Generator().manual_seed(0),
                                       FireflySettings(steps=30, fresh=8, channels=4))
    chosen = tuple(next((i for i, o in enumerate(options) if o.depth and o.width == 8), 0) for options in found.options)
    assert any(chosen)
    new = grown(net, found.edits(chosen))
    assert new.shape.depths == tuple(int(k > 0) for k in chosen)
    assert batch_loss(new, [batch]) < batch_loss(net, [batch])


def test_diverged_training_keeps_the_last_good_net():
    config = replace(CONFIG, schedule=replace(SCHEDULE, seed_epochs=2))
    task = task_of(config)
    growth = seed_growth(config, task)
    advance(growth, config, task)
    saved = deepcopy(state_of(growth))  # as in a file
    wild = replace(config, schedule=replace(config.schedule, growing_lr=1e30))
    with pytest.raises(UserError, match=r"round 0, epoch 2: training diverged .* GROWING_LR below 1e\+30") as error:
        advance(growth, wild, task)
    assert "\n" not in str(error.value)
    assert "1 in all" in str(error.value)
    again = growth_of(saved, config, task)
    advance(again, config, task)
    assert (again.epochs, growth.epochs) == (2, 1)


def test_weights_that_are_no_numbers_are_divergence_too():
    """The loss is taken before the last step: it may be fine where the weights no longer are."""
    net = small_net()
    assert is_finite(net)
    net.paths[1].norm.running_var[2] = torch.inf
    assert not is_finite(net)


@pytest.mark.parametrize(("method", "text", "told"), [
    ("random", "steps=3", "METHOD=random has no option 'steps'; allowed: eps"),
    ("width", "eps=1", "METHOD=width has no option 'eps'; allowed: none"),
    ("energy-aware", "eps=-1", "eps=-1: allowed are numbers above 0 and below 10"),
    ("energy-aware", "steps=2.5", "steps=2.5: allowed are whole numbers above 0"),
    ("signed", "weight=1", "weight=1: allowed are numbers above 1"),
    ("energy-aware", "steps", "steps=: allowed are whole numbers above 0"),
    ("energy-aware", "eps=1 eps=2", "names eps twice"), ("prune-l1", "times=1000", "above 1 and below 8"),
    ("firefly", "channels=500000", "below 1000"),
    ("splitting", "gains=mine", "gains=mine: allowed: cautious, alone, together")])
def test_options_that_a_method_does_not_have(method, text, told):
    with pytest.raises(UserError) as error:
        settings_of(method, text)
    assert told in str(error.value)


def test_predictions_come_true_one_split_at_a_time():
    """In float64, at the offset used, with the real activation, on clips that nothing was fitted to."""
    net = run(replace(CONFIG, schedule=replace(SCHEDULE, final_epochs=4)), task_of(CONFIG)).net
    index = IndexSettings(steps=60, fresh=40)
    batches = index_batches(task_of(CONFIG).source, CONFIG, net, torch.Generator().manual_seed(5))
    v = rayleigh_pass(net, batches, random_directions(net, torch.Generator().manual_seed(6)), Probe(index.eps),
                      steps=index.steps)
    changes = predicted_changes(net, list(islice(batches, index.fresh)), v, Probe(index.eps))
    others = CodeSource(replace(made_up_dataset(), train=made_up_clips(160, 7)), "cpu", CONFIG.augmentation, 1280)
    judge = list(islice(index_batches(others, CONFIG, net, torch.Generator().manual_seed(7)), 40))
    splits = judged(net, v, changes, index, judge)
    for told in (agreement(splits), agreement(splits, "same_clips")):
        assert told["signs"] >= 0.95
        assert 0.7 < told["slope"] < 1.3


def trained_on_clips():
    """(net, its clips as one batch), float64."""
    config = replace(CONFIG, schedule=replace(SCHEDULE, seed_epochs=3))
    net = DsCnn(NetShape((8, 8, 8), 20, 4)).double()
    net.load_state_dict(run(config, task_of(config), 3).net.state_dict())
    codes, labels = plain_codes(made_up_dataset().train, "cpu")
    return net, (mfcc(codes, 20).double(), labels)


def test_signed_gains_are_what_the_copies_do(monkeypatch):
    """Each way, one path at a time, at a small offset, with a smooth activation: gains in the papers' table."""
    monkeypatch.setattr(F, "relu", F.softplus)
    net, batch = trained_on_clips()
    probe, g = Probe(1e-2, F.softplus), torch.Generator().manual_seed(0)
    ends = [rayleigh_pass(net, repeat(batch), random_directions(net, g), probe, steps=40, largest=each)
            for each in (False, True)]
    low, high = (predicted_changes(net, [batch] * 3, v, probe) for v in ends)
    low_offsets, high_offsets = (offsets_of(net, v, probe.eps) for v in ends)
    gains = path_gains(-low[1].numpy(), high[1].numpy(), ways(3.0))
    before = batch_loss(net, [batch])
    for way, copies in list(enumerate(ways(3.0)))[1:]:
        chosen = [copies if path == 2 else ways(3.0)[0] for path in range(8)]
        edits = [unchanged(net, 0), copied(net, 1, chosen, low_offsets[1], high_offsets[1]), unchanged(net, 2)]
        realised = batch_loss(grown(net, edits), [batch]) - before
        assert realised == pytest.approx(-gains[2, way], rel=0.1, abs=1e-9), copies


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6), st.floats(1.1, 5.0))
def test_best_ways_are_brute_forces(paths, seed, c):
    rng, table = np.random.default_rng(seed), ways(c)
    gains = path_gains(rng.normal(0, 1, paths), rng.normal(0, 1, paths), table)
    found = best_ways(gains, table)
    added = np.array([len(way.moves) - 1 for way in table])
    for most, (total, chosen) in found.items():
        sets = [s for s in product(range(len(table)), repeat=paths) if added[list(s)].sum() == most
                and all(w == 0 or gains[p, w] > 0 for p, w in enumerate(s))]
        assert total == pytest.approx(max(sum(gains[p, w] for p, w in enumerate(s)) for s in sets))
        assert added[chosen].sum() == most
        assert sum(gains[p, w] for p, w in enumerate(chosen)) == pytest.approx(total)


def test_gates_gain_what_opening_them_does():
    """All together: the integral of all slopes is the change of the loss."""
    net, batch = trained_on_clips()
    new = candidates(net, 4, torch.Generator().manual_seed(0))
    edits = fit(net, new, repeat(batch), FireflySettings(steps=15))
    channels, blocks = gate_gains(net, edits, [batch] * 24)
    realised = batch_loss(grown(net, edits), [batch]) - batch_loss(net, [batch])
    assert realised < 0
    assert sum(map(float, (each.sum() for each in channels))) + sum(blocks) == pytest.approx(-realised, rel=0.02)


def test_slimming_compares_short_and_long_paths():
    """Equal scales everywhere are equal scores, in the last layer too."""
    net = small_net((4, 4, 4), depths=(1, 0, 0))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.weight, 0.3)
    for each in METHODS["prune-bn"].scores(net):
        torch.testing.assert_close(each, torch.full((4,), 0.3, dtype=torch.float64))


def test_scratch_stays_within_the_budget_too():
    config = config_of("scratch", reference=replace(REFERENCE, widths=(64, 64, 64)))
    with pytest.raises(UserError, match="even the net of METHOD=scratch exceeds it"):
        seed_growth(config, task_of(config))
    small = config_of("scratch", reference=replace(REFERENCE, widths=(4, 4, 4)))
    assert seed_growth(small, task_of(small, 2e5)).net.shape.widths == (4, 4, 4)  # smaller than the seed


@pytest.mark.parametrize(("method", "depths"), [("signed", ()), ("firefly", (0, 1, 0)), ("prune-bn", ()),
                                                ("width", ())])
def test_every_kind_of_method_is_resumed_to_the_same_bytes(method, depths):
    torch.set_num_threads(1)
    config = config_of(method, reference=REFERENCE, seed_depths=depths)
    whole, growth = run(config, task_of(config)), seed_growth(config, task_of(config))
    while growth.phase != "done":
        advance(growth, config, task_of(config))
        growth = growth_of(state_of(growth), config, task_of(config))
    assert growth.log == whole.log
    for name, value in final_net(growth).state_dict().items():
        assert torch.equal(value, final_net(whole).state_dict()[name]), name


def assert_same(growth, other):
    """The same log and the same bytes, fine-tuned ones too."""
    assert growth.log == other.log
    assert growth.epochs == other.epochs
    for name, value in (final_net(growth).state_dict() | growth.tuned.state_dict()).items():
        assert torch.equal(value, (final_net(other).state_dict() | other.tuned.state_dict())[name]), name


@pytest.fixture(scope="module")
def straight():
    """A run with fine-tuning that was never stopped."""
    torch.set_num_threads(1)
    config = replace(CONFIG, quantization=TUNED)
    return config, run(config, task_of(config))


def test_stopped_anywhere_and_resumed_gives_the_same_bytes(tmp_path, straight):
    config, whole = straight
    growth = seed_growth(config, task_of(config))
    while growth.phase != "done":  # a new process, so to speak, after every step
        task = task_of(config)
        advance(growth, config, task)
        save_checkpoint(tmp_path, state_of(growth))
        growth = growth_of(load_checkpoint(tmp_path, torch.device("cpu")), config, task)
    assert_same(growth, whole)


def test_a_finished_run_is_fine_tuned_as_if_it_had_been_one_run(straight):
    config, whole = straight
    plain = run(CONFIG, task_of(CONFIG))
    assert plain.tuned is None
    growth = growth_of(trained_on(state_of(plain), config), config, task_of(config))
    assert growth.phase == "qat"
    while growth.phase != "done":
        advance(growth, config, task_of(config))
    assert_same(growth, whole)
    assert growth_of(trained_on(state_of(plain), CONFIG), CONFIG, task_of(CONFIG)).phase == "done"
    assert growth_of(state_of(plain), config, task_of(config)).phase == "done"


def test_fine_tuning_is_a_phase_that_changes_the_net(straight):
    config, whole = straight
    assert [row["phase"] for row in whole.log if "epoch" in row][-4:] == ["final", "final", "qat", "qat"]
    start = quantized_nets(whole, config, task_of(config), {"": mean_square})[""]
    learnt = whole.tuned.float_net()
    assert learnt.input_range != start.input_range
    for a, b in zip(learnt.layers[:-1], start.layers[:-1], strict=True):
        assert a.output_range != b.output_range
        assert a.weight is None or not np.allclose(a.weight, b.weight, rtol=1e-5)


def test_indexed_splits_lower_the_loss_more_than_random_ones():
    """Were the Rayleigh pass noise, its directions would lower the loss no more than random ones do."""
    indices = {"energy-aware": IndexSettings(steps=60, fresh=4), "random": OffsetSettings()}
    changes = {method: run(replace(CONFIG, method=method, index=index), task_of(CONFIG), 2).log[-1]
               for method, index in indices.items()}
    predicted, realised = (changes["energy-aware"][name] for name in ("predicted_gain", "realised_change"))
    assert predicted > 0
    assert realised < 0
    assert realised < 2 * changes["random"]["realised_change"]


def test_another_seed_gives_another_net():
    a, b = (run(replace(CONFIG, seed=seed), task_of(CONFIG), 1).net.state_dict() for seed in (0, 1))
    assert not torch.equal(a["classifier.weight"], b["classifier.weight"])


@pytest.mark.parametrize(("limit", "most"), [("latency_ms", 1.1), ("energy_uj", 1.1), ("ram_bytes", 1.02),
                                             ("flash_bytes", 1.02), ("cycles", 1.1)])
def test_whatever_limit_stops_growth_is_named(limit, most):
    task = task_of(CONFIG)
    seed = task.tariff.shape(seed_growth(CONFIG, task).net.shape).whole
    task = replace(task, limits=Limits(**{limit: most * getattr(seed, limit)}))
    growth = seed_growth(CONFIG, task)
    while growth.phase == "grow":
        advance(growth, CONFIG, task)
    assert growth.stopped_by.startswith(f"{limit} ({limit}<=")
    assert not task.limits.broken_by(task.tariff.shape(growth.net.shape).whole)


def test_the_boards_memory_bounds_whatever_the_budget():
    """Less RAM than the seed takes: the task's own limits refuse it."""
    nano = tariff().board
    small = replace(nano, regions=tuple(replace(region, length=8192) if region.kind == "ram" else region
                                        for region in nano.regions))
    task = make_task(CONFIG, made_up_dataset(), Limits(operations=6e5), replace(tariff(), board=small))
    assert (task.limits.ram_bytes, task.limits.operations) == (8192, 6e5)
    with pytest.raises(UserError, match=r"even the seed net exceeds it \(ram_bytes .* > 8192\)"):
        seed_growth(CONFIG, task)


def test_why_nothing_splits():
    """Only layers whose splits would gain are asked for the limit that forbids them."""
    shape, price = NetShape((8, 8, 8), 20, 4), tariff().shape(NetShape((8, 8, 8), 20, 4)).whole
    last, first = (tuple(np.full(8, float(i == layer)) for i in range(3)) for layer in (2, 0))
    limits = Limits(macs=price.macs + 4 * 8 * 125 + 4 * 4)  # four more in the last layer fit, and no others
    options = {name: tuple(split_options(g, 8, 0) for g in gains)
               for name, gains in {"first": first, "last": last, "none": tuple(-g for g in first)}.items()}
    assert why_none(shape, options["first"], limits, tariff()).startswith("macs (macs<=")
    assert why_none(shape, options["last"], limits, tariff()).startswith("no split gains anything (macs<=")
    assert why_none(shape, options["none"], Limits(macs=1), tariff()).startswith("no split gains")


def test_a_runs_name_is_short_whatever_its_budget():
    budget = "ms<=100" + 300 * " " + " ".join(f"{name}<=1000000000000" for name in LIMIT_NAMES)
    name = replace(CONFIG, budget=budget, dataset="ä" * 200).run_name()
    assert len(name.encode()) < 130
    assert name != replace(CONFIG, budget="ms<=100", dataset="ä" * 200).run_name()


def test_budget_below_the_seed_is_refused():
    with pytest.raises(UserError, match=r"even the seed net exceeds it \(operations .* > 1000\)"):
        seed_growth(CONFIG, task_of(CONFIG, 1000))


def flipped(content: bytes) -> bytes:
    """One bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + bytes(500), flipped])
def test_damaged_checkpoint_is_one_line_that_says_what_to_do(tmp_path, damage):
    save_checkpoint(tmp_path, {"x": torch.ones(3)})
    save_checkpoint(tmp_path, {"x": torch.zeros(3)})
    path = tmp_path / NAME
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=PREVIOUS) as error:
        load_checkpoint(tmp_path, torch.device("cpu"))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    (tmp_path / PREVIOUS).replace(path)
    assert load_checkpoint(tmp_path, torch.device("cpu"))["x"].sum() == 3


def test_epoch_has_silence_unknown_and_enough_clips():
    source = task_of(CONFIG).source
    clips = source.epoch(torch.Generator().manual_seed(0))
    assert len(clips) == len(source) >= 256
    labels = torch.where(clips < 0, 0, source.labels[clips.clamp(min=0)]).bincount()
    assert labels.tolist() == [120] * 4  # two passes of 60 clips a label
    more = replace(CONFIG.augmentation, silence_clips=1.5, unknown_clips=0.5)
    ample = CodeSource(made_up_dataset(), "cpu", more)
    assert len(ample) == len(clips := ample.epoch(torch.Generator().manual_seed(0)))
    assert torch.where(clips < 0, 0, ample.labels[clips.clamp(min=0)]).bincount().tolist() == [90, 30, 60, 60]
    assert len(set(clips[ample.labels[clips.clamp(min=0)] == 1].tolist()) - {-1}) == 30  # none twice


@pytest.mark.parametrize("field", ["silence_mixed", "silence_shaped", "silence_struck"])
def test_silences_alone_are_made_diverse(field):
    dataset = made_up_dataset()
    clips = torch.tensor([0, -1, 70, -1, -1, 3])
    plain, diverse = (CodeSource(dataset, "cpu", replace(Augmentation(0, 0.0, 0.0, time_masks=0), **{field: share}))
                      .augmented(clips, torch.Generator().manual_seed(1)) for share in (0.0, 1.0))
    assert plain[1].tolist() == diverse[1].tolist()
    changed = (plain[0] - diverse[0]).abs().mean((1, 2))
    assert (changed[clips >= 0] < 1e-3).all()
    assert (changed[clips < 0] > 1).all()


def test_strokes_are_sudden_and_die_away():
    """One stroke of a known decay, against its formula."""
    a = Augmentation(silence_strokes=1, silence_shape_db=0.0, silence_stroke_db=(10.0, 10.0),
                     silence_decay_frames=(2.0, 2.0))
    strokes = CodeSource(made_up_dataset(), "cpu", a)._strokes(50, torch.Generator().manual_seed(2))
    assert len({int((each[:, 0] > 0).nonzero()[0]) for each in strokes}) > 20
    for each in strokes:
        start = int((each[:, 0] > 0).nonzero()[0])
        expected = 10 * torch.exp(-torch.arange(49 - start) / 2.0)
        torch.testing.assert_close(each[start:], expected[:, None].expand(-1, 40), atol=0, rtol=1e-4)


def test_tempo_is_a_rate_about_the_middle():
    """Codes that count frames tell where each row was taken."""
    source = CodeSource(made_up_dataset(), "cpu", Augmentation(shift_fine_frames=0, tempo=0.1))
    source.codes[:] = torch.arange(source.codes.shape[1], dtype=torch.uint8)[None, :, None]
    rows = source._rows(torch.zeros(200, dtype=torch.long), torch.Generator().manual_seed(3))[:, :, 0].float()
    rows -= source.pad
    assert (rows[:, 24] == 48).all()
    rates = (rows[:, -1] - rows[:, 0]) / 96
    assert 0.89 <= rates.min() < 0.92
    assert 1.08 < rates.max() <= 1.11
    straight = 48 + rates[:, None] * 2 * (torch.arange(49) - 24)
    assert (rows - straight).abs().max() <= 1


def test_formants_move_a_tone_to_where_its_frequency_is(monkeypatch):
    """A tone in band 20 is heard where a rate times that band's frequency is its own."""
    source = CodeSource(made_up_dataset(), "cpu", Augmentation(formants=0.1))
    rates = torch.tensor([[0.9], [0.95], [1.0], [1.1]])
    monkeypatch.setattr(CodeSource, "_rate", lambda *_: rates)
    energy = torch.zeros(4, 49, 40)
    energy[:, :, 20] = 5.0
    moved = source._moved(energy, torch.Generator())
    hz = features.band_edges_hz()[1:-1]
    for each, rate in zip(moved, rates[:, 0].tolist(), strict=True):
        assert int(each[0].argmax()) == int(np.abs(hz * rate - hz[20]).argmin())
        assert float(each.amax()) <= 5.0
    torch.testing.assert_close(moved[2], energy[2], atol=1e-3, rtol=0)
    flat = torch.full((4, 49, 40), 2.0)
    torch.testing.assert_close(source._moved(flat, torch.Generator()), flat)


@pytest.mark.parametrize("field", ["tempo", "formants", "colour_db"])
def test_voices_are_of_words_alone(field):
    """Of noise that is the same everywhere, silences are that noise."""
    still = Augmentation(0, 0.0, noise_db=(0.0, 0.0), time_masks=0)
    source = CodeSource(made_up_dataset(), "cpu", replace(still, **{field: ACTING[field]}))
    source.noise[:] = 60 + torch.arange(40, dtype=torch.uint8)
    codes, _ = source.augmented(torch.full((8,), -1), torch.Generator().manual_seed(1))
    torch.testing.assert_close(codes, (60.0 + torch.arange(40)).expand(8, 49, 40), atol=0.01, rtol=0)


def test_mild_noise_is_ten_decibels_below_loud():
    """In power that comes on top of the words; by the same draws otherwise."""
    dataset, clips = made_up_dataset(), torch.arange(60)
    added = {}
    for noise in NOISES:
        learnt = augmentation_of("plain", noise, "plain", "even")
        still = replace(learnt, loudness_db=0.0, noise_share=1.0, time_masks=0)
        source = CodeSource(dataset, "cpu", still)
        source.energy[:] = torch.arange(256).float()
        source.codes[:] = 0  # words that are nothing
        codes, _ = source.augmented(clips, torch.Generator().manual_seed(4))
        added[noise] = torch.exp((codes + features.CODE_OFFSET) * 2 / features.CODE_GAIN) - features.ENERGY_FLOOR
    assert NOISES["loud"] == Augmentation().noise_db
    ratio = added["mild"].sum((1, 2)) / added["loud"].sum((1, 2))
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.1), atol=0.005, rtol=0)


def test_augmentation_at_rest_changes_nothing():
    dataset = made_up_dataset()
    still = Augmentation(shift_fine_frames=0, loudness_db=0.0, noise_share=0.0, time_masks=0, mel_masks=0)
    source = CodeSource(dataset, "cpu", still)
    codes, labels = source.augmented(torch.tensor([0, 70]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(codes, torch.from_numpy(dataset.train.codes[[0, 70], ::2]).float(), atol=1e-3, rtol=0)
    assert labels.tolist() == dataset.train.labels[[0, 70]].tolist()


ACTING = {"shift_fine_frames": 3, "tempo": 0.1, "formants": 0.1, "colour_db": 3.0, "loudness_db": 3.0,
          "noise_share": 1.0, "time_masks": 3, "mel_masks": 3}


@pytest.mark.parametrize("field", ACTING)
def test_every_augmentation_acts(field):
    dataset = made_up_dataset()
    still = Augmentation(0, 0.0, 0.0, (0.0, 6.0), time_masks=0, mel_masks=0)
    moved = replace(still, **{field: ACTING[field]})
    clips = torch.arange(40)
    plain, changed = (CodeSource(dataset, "cpu", a).augmented(clips, torch.Generator().manual_seed(1))[0]
                      for a in (still, moved))
    assert float((plain - changed).abs().mean()) > 0.1
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 255
