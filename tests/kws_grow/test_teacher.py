"""Teachers: their answers, what they may teach, and that the final schedule alone listens."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import fitted_net, made_up_dataset, small_net
from test_loop import CONFIG, SCHEDULE, TUNED, assert_same, run, task_of

from datasets.console import UserError
from export.net import save_net
from kws_grow.augment import mfcc, plain_codes
from kws_grow.deploy import folded_layers, with_ranges
from kws_grow.loop import advance, growth_of, seed_growth, state_of, trained_on
from kws_grow.ranges import minmax
from kws_grow.teacher import Teacher, digests_of, names_of, read_nets
from kws_grow.training import probabilities


def float_net(net):
    """As it would be published."""
    dataset = made_up_dataset()
    x = mfcc(plain_codes(dataset.train, "cpu")[0], net.n_coefficients)
    return with_ranges(folded_layers(net), x, dataset.labels, dataset.name, {"minmax": minmax})["minmax"]


def test_a_teacher_answers_with_the_mean_of_its_nets():
    nets = [small_net(seed=seed).float().eval() for seed in (0, 1)]
    x = 64 * torch.randn(9, 49, 10, generator=torch.Generator().manual_seed(3))
    answers = probabilities(Teacher([float_net(net) for net in nets], "cpu"), x)
    expected = [net(x).softmax(1).detach() for net in nets]
    torch.testing.assert_close(answers, (expected[0] + expected[1]) / 2, atol=1e-5, rtol=0)
    assert (expected[0] - expected[1]).abs().max() > 0.01


def test_the_final_schedule_alone_is_taught():
    """A teacher who says "one" whatever is said spoils it, and leaves growth as it was."""
    config = replace(CONFIG, schedule=replace(SCHEDULE, final_epochs=4))
    task = task_of(config)
    alone = run(config, task)
    misled = run(config, replace(task, teacher=lambda x: torch.tensor([0.0, 0.0, 50.0, 0.0]).expand(len(x), 4)))
    grew = [[row for row in growth.log if row.get("phase") != "final"] for growth in (alone, misled)]
    assert grew[0] == grew[1]
    losses = [growth.log[-1]["loss"] for growth in (alone, misled)]
    assert losses[1] < 0.1 < losses[0]
    assert any(not torch.equal(a, b) for a, b in zip(alone.net.parameters(), misled.net.parameters(), strict=True))


TAUGHT = replace(CONFIG, quantization=TUNED, schedule=replace(SCHEDULE, taught_epochs=3, taught_lr=0.02))


def says_one(x):
    """A teacher that hears the same word whatever is said."""
    return torch.tensor([0.0, 0.0, 50.0, 0.0]).expand(len(x), 4)


@pytest.fixture(scope="module")
def taught():
    """A run with teaching behind the final schedule, then fine-tuning, that was never stopped."""
    torch.set_num_threads(1)
    return run(TAUGHT, replace(task_of(TAUGHT), teacher=says_one))


def test_teaching_can_follow_the_final_schedule(taught):
    alone = run(CONFIG, task_of(CONFIG))
    until = [row for row in taught.log if row.get("phase") not in ("taught", "qat")]
    assert until == list(alone.log)
    losses = [row["loss"] for row in taught.log if row.get("phase") == "taught"]
    assert len(losses) == 3
    assert losses[-1] < 0.5 * losses[0]
    assert [row["phase"] for row in taught.log[-5:]] == ["taught"] * 3 + ["qat"] * 2


def test_teaching_stopped_anywhere_and_resumed_gives_the_same_bytes(taught):
    growth, task = seed_growth(TAUGHT, task_of(TAUGHT)), replace(task_of(TAUGHT), teacher=says_one)
    while growth.phase != "done":
        advance(growth, TAUGHT, task)
        growth = growth_of(state_of(growth), TAUGHT, task)
    assert_same(growth, taught)


def test_teaching_that_diverges_says_what_to_lower():
    config, task = TAUGHT, replace(task_of(TAUGHT), teacher=says_one)
    growth = seed_growth(config, task)
    while growth.phase != "taught":
        advance(growth, config, task)
    with pytest.raises(UserError, match=r"taught, epoch 1: training diverged .* TAUGHT_LR below 1e\+30"):
        advance(growth, replace(config, schedule=replace(config.schedule, taught_lr=1e30)), task)


def test_what_was_fine_tuned_is_taught_as_if_it_had_been_one_run(taught):
    untaught = TAUGHT.untaught()
    growth = growth_of(trained_on(state_of(run(untaught, task_of(untaught))), TAUGHT), TAUGHT, task_of(TAUGHT))
    assert growth.phase == "taught"
    task = replace(task_of(TAUGHT), teacher=says_one)
    while growth.phase != "done":
        advance(growth, TAUGHT, task)
    assert_same(growth, taught)
    assert growth_of(trained_on(state_of(taught), TAUGHT), TAUGHT, task).phase == "qat"


def test_what_cannot_teach_is_told(tmp_path):
    net, labels = fitted_net(), made_up_dataset().labels
    path = tmp_path / "models" / "old.safetensors"
    path.parent.mkdir()
    save_net(net, path)
    (found,) = read_nets([path], labels, 10)
    assert np.array_equal(found.layers[0].weight, net.layers[0].weight)
    with pytest.raises(UserError, match="old.safetensors: tells _silence_, _unknown_, one, two; allowed: .* three"):
        read_nets([path], (*labels, "three"), 10)
    with pytest.raises(UserError, match="old.safetensors: reads 10 coefficients; allowed: 20"):
        read_nets([path], labels, 20)


def test_teachers_are_known_by_name_and_content(tmp_path):
    paths = [tmp_path / "models" / "net.safetensors", tmp_path / "runs" / "mine" / "net.npz"]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes([i]))
    assert names_of(paths) == ("net", "mine")
    assert len(set(digests_of(paths))) == 2
    assert names_of(()) == digests_of(()) == ()
