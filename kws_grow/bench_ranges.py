"""`make bench-ranges`: float against int8 by every method of ranges, and fine-tuned, of a finished run's net."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from datasets.console import Parser, commit, finish, run_command
from datasets.dataset import Clips, Dataset
from datasets.load import load
from datasets.parallel import cores
from export.net import FloatNet, load_net
from export.simulate import float_predictions, int8_predictions
from kws_grow.augment import Augmentation, CodeSource, generator_for, mfcc
from kws_grow.config import Quantization, Schedule
from kws_grow.deploy import activations, with_ranges
from kws_grow.grow import QAT, candidate, convert, from_one, range_codes
from kws_grow.qat import QuantizedNet, make_tuner
from kws_grow.ranges import RANGES
from kws_grow.training import one_cycle, train_epoch

START = "mean-square"


def main() -> None:
    """The float net and every int8 one on dev and validation."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    net = load_net(arguments.net)
    dataset = load(arguments.data, tuple(label for label in net.labels if not label.startswith("_")))
    nets = candidates(net, dataset)
    nets[QAT] = fine_tuned(nets[START], dataset, replace(Quantization(), qat_epochs=arguments.qat_epochs))
    rows = measured(nets, arguments.net, dataset, arguments.out)
    finish(facts_of(arguments, dataset) | {"rows": rows}, arguments.out, "Float against int8")


def facts_of(arguments: Namespace, dataset: Dataset) -> dict:
    """What was measured, for the summary."""
    return {"net": str(arguments.net), "clips_dev": len(dataset.dev.labels), "clips": len(dataset.validation.labels),
            "dataset": dataset.name, "list_sha256": dataset.list_sha256, "qat_epochs": arguments.qat_epochs,
            "threads": arguments.threads, "commit": commit()}


def parse_arguments() -> Namespace:
    parser = Parser(prog="python -m kws_grow.bench_ranges", description=__doc__)
    parser.add_argument("--net", type=Path, default=Path("docs/results/small-energy-aware/net.npz"))
    parser.add_argument("--data", type=Path, help="folder of clips that the net learnt from")
    parser.add_argument("--qat-epochs", type=from_one, default=Quantization.qat_epochs)
    parser.add_argument("--threads", type=from_one, default=cores())
    parser.add_argument("--out", type=Path, default=Path("build/bench-ranges"))
    return parser.parse_args()


def candidates(net: FloatNet, dataset: Dataset) -> dict[str, FloatNet]:
    """The net by every method of ranges."""
    methods = {name: method for group in RANGES.values() for name, method in group.items()}
    x = mfcc(range_codes(dataset, 0), net.input_shape[1])
    return with_ranges(list(net.layers), x, net.labels, net.dataset, methods)


def fine_tuned(net: FloatNet, dataset: Dataset, q: Quantization) -> FloatNet:
    """As `make grow-kws QAT=1` does it, but for the numbers that augmentation draws."""
    tuned, s = QuantizedNet(net), Schedule()
    source, optimizer = CodeSource(dataset, "cpu", Augmentation(), s.min_epoch_clips), make_tuner(tuned)
    for epoch in range(q.qat_epochs):
        loss = train_epoch(tuned, optimizer, source, s.batch, generator_for(0, "epoch", epoch),
                           lambda share, epoch=epoch: one_cycle((epoch + share) / q.qat_epochs, q.qat_lr), 0.0,
                           teacher=lambda x: activations(list(net.layers), x)[-1])
        print(f"qat, epoch {epoch + 1}: loss {loss:.4f}", flush=True)
    return tuned.float_net()


def measured(nets: dict[str, FloatNet], float_net: Path, dataset: Dataset, folder: Path) -> dict[str, dict]:
    """A row for the float net and one for each of `nets` as .tflite, simulated bit for bit."""
    floats = found(partial(float_predictions, float_net), dataset)
    rows = {"float": row(floats, floats, dataset)}
    paths = {name: candidate(folder, name) for name in nets}
    convert({paths[name]: net for name, net in nets.items()})
    for name, path in paths.items():
        rows[name] = row(found(partial(int8_predictions, path.read_bytes()), dataset), floats, dataset)
        path.unlink()
        print(f"{name}: " + ", ".join(f"{key} {100 * share:.2f} %" for key, share in rows[name].items()), flush=True)
    return rows


Found = tuple[np.ndarray, np.ndarray]  # labels predicted for dev and validation, [n] each


def found(predict: Callable[[np.ndarray], np.ndarray], dataset: Dataset) -> Found:
    return tuple(predict(codes_of(clips)) for clips in (dataset.dev, dataset.validation))


def row(by_net: Found, by_float: Found, dataset: Dataset) -> dict:
    """accuracy is on validation, and so is same_as_float, the share of clips where both nets predict the same."""
    accuracy_dev, accuracy = (float((labels == clips.labels).mean())
                              for labels, clips in zip(by_net, (dataset.dev, dataset.validation), strict=True))
    return {"accuracy_dev": accuracy_dev, "accuracy": accuracy,
            "same_as_float": float((by_net[1] == by_float[1]).mean())}


def codes_of(clips: Clips) -> np.ndarray:
    """uint8 [n, 49, 40]"""
    return np.ascontiguousarray(clips.codes[:, ::2])


if __name__ == "__main__":
    run_command(main)
