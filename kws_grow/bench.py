"""`make bench-training`: clips a second of training a fixed net on made-up codes, augmentation included."""

import time
from pathlib import Path

import numpy as np
import torch

from datasets.console import Parser, commit, finish, run_command
from datasets.dataset import DEFAULT_KEYWORDS, SILENCE, UNKNOWN, Clips, Dataset
from datasets.parallel import cores
from export.shape import NetShape
from kws_grow.augment import Augmentation, CodeSource, generator_for
from kws_grow.config import Schedule
from kws_grow.network import DsCnn
from kws_grow.training import keep_freed_memory, make_optimizer, train_epoch

CLIPS_A_LABEL = 400


def main() -> None:
    """One epoch to warm up, then the best of three."""
    parser = Parser(prog="python -m kws_grow.bench", description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=cores())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    s, net = Schedule(), DsCnn(NetShape((arguments.width,) * 5)).to(arguments.device)
    source = CodeSource(noise_clips(), arguments.device, Augmentation())
    optimizer = make_optimizer(net, s.momentum, s.weight_decay)
    seconds = []
    for i in range(4):
        generator = generator_for(0, i, device=arguments.device)
        started = time.perf_counter()
        train_epoch(net, optimizer, source, s.batch, generator, lambda _: s.peak_lr, 0.0)
        seconds.append(time.perf_counter() - started)
    finish({"clips_per_s": round(len(source) // s.batch * s.batch / min(seconds[1:])), "width": arguments.width,
            "device": arguments.device, "threads": arguments.threads, "clips": len(source), "commit": commit()},
           Path("build/bench-training"), "Training speed")


def noise_clips() -> Dataset:
    """Random codes with the labels of the twelve-class task."""
    labels, rng = (SILENCE, UNKNOWN, *DEFAULT_KEYWORDS), np.random.default_rng(0)
    y = np.repeat(np.arange(1, len(labels)), CLIPS_A_LABEL)
    train = Clips(rng.integers(0, 256, (len(y), 98, 40)).astype(np.uint8), y, ("",) * len(y))
    noise = (rng.integers(0, 120, (6000, 40)).astype(np.uint8),)
    return Dataset("noise", labels, train, train, train, train, noise, None, "", (), Path("."))


if __name__ == "__main__":
    run_command(main)
