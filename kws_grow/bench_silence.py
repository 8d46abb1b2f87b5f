"""`make bench-silence`: what learning each SILENCE is worth on noise that training did not hear, neither dev's nor
validation's: a fixed net learns the first part of each noise recording, the rest is told for silence or not."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.console import Parser, atomic_write, commit, finish, run_command
from datasets.dataset import Dataset
from datasets.features import N_FINE_FRAMES, energy_of_codes, real_codes
from datasets.load import load
from export.shape import NetShape
from kws_grow.augment import SILENCES, CodeSource, generator_for, plain_codes
from kws_grow.config import Schedule
from kws_grow.grow import from_one, seeds_of
from kws_grow.markdown import markdown_table
from kws_grow.network import DsCnn
from kws_grow.training import (
    AveragedWeights,
    keep_freed_memory,
    make_optimizer,
    one_cycle,
    predictions,
    train_epoch,
)

OUT = Path("docs") / "results" / "silence"
HEARD, HELD = 0.70, 0.72  # of each recording of training: learnt up to, kept from, a gap of seconds between
SECONDS = 100  # of what is kept of each recording, amplitudes 0 to 1
WIDTHS, STRIDES = (40, 40, 64, 64, 64), (1, 2, 1, 1)


@dataclass(frozen=True)
class Heard:
    """recall: of silence, by recording of what was kept. words, silence: shares of dev's told right."""

    recall: tuple[float, ...]
    words: float
    silence: float


def main() -> None:
    parser = Parser(prog="python -m kws_grow.bench_silence", description=__doc__)
    parser.add_argument("--data", type=Path, help="as for grow-kws")
    parser.add_argument("--seeds", default="0", help="of the nets; default: %(default)s")
    parser.add_argument("--epochs", type=from_one, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    seeds = seeds_of(arguments.seeds) or parser.error("SEEDS: at least one")
    torch.set_num_threads(1)
    keep_freed_memory()
    dataset = load(arguments.data, None)
    learnt, kept = divided(dataset)
    found = {name: [heard(learnt, kept, name, seed, arguments.epochs) for seed in seeds] for name in SILENCES}
    write_table(found, arguments.out)
    finish({"silences": {name: means(each) for name, each in found.items()}, "seeds": seeds, "epochs": arguments.epochs,
            "recordings": len(kept), "dataset": dataset.name, "commit": commit()}, arguments.out, "Silence")


def divided(dataset: Dataset) -> tuple[Dataset, list[np.ndarray]]:
    """The data without the end of each noise recording, and those ends, codes [frames, 40] each."""
    def frame(noise: np.ndarray, share: float) -> int:
        return round(share * len(noise))
    return (replace(dataset, noise=tuple(noise[:frame(noise, HEARD)] for noise in dataset.noise)),
            [noise[frame(noise, HELD):] for noise in dataset.noise])


def seconds_of(noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Codes uint8 [SECONDS, 49, 40] all along a recording, as validation cuts its silences."""
    starts = np.linspace(0, len(noise) - N_FINE_FRAMES, SECONDS).astype(int)
    energy = energy_of_codes(np.stack([noise[start:start + N_FINE_FRAMES] for start in starts]))
    scaled = real_codes(energy * rng.uniform(0, 1, (SECONDS, 1, 1)) ** 2)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)[:, ::2].copy()


def heard(dataset: Dataset, kept: list[np.ndarray], silence: str, seed: int, epochs: int) -> Heard:
    """Of a net that learnt `silence`."""
    s, source = Schedule(), CodeSource(dataset, "cpu", SILENCES[silence], Schedule().min_epoch_clips)
    net = trained(source, len(dataset.labels), seed, epochs, s)
    rng = np.random.default_rng(seed)
    recall = tuple(share(predictions(net, torch.from_numpy(seconds_of(noise, rng))) == source.silence)
                   for noise in kept)
    codes, labels = plain_codes(dataset.dev, "cpu")
    right, silent = predictions(net, codes) == labels, labels == source.silence
    print(f"{silence}, seed {seed}: silence of noise kept aside {100 * np.mean(recall):.1f} %", flush=True)
    return Heard(recall, share(right[~silent]), share(right[silent]))


def trained(source: CodeSource, n_labels: int, seed: int, epochs: int, s: Schedule) -> DsCnn:
    """A fixed net by one cycle, its weights averaged."""
    torch.manual_seed(seed)
    net = DsCnn(NetShape(WIDTHS, n_labels=n_labels, strides=STRIDES))
    optimizer, average = make_optimizer(net, s.momentum, s.weight_decay), AveragedWeights(net, 0.995)
    for epoch in range(epochs):
        train_epoch(net, optimizer, source, s.batch, generator_for(seed, "epoch", epoch),
                    lambda share, epoch=epoch: one_cycle((epoch + share) / epochs, s.peak_lr), s.label_smoothing,
                    average)
    net.load_state_dict(average.state)
    return net


def share(right: Tensor) -> float:
    return float(right.float().mean())


def means(found: list[Heard]) -> dict:
    """Over seeds."""
    return {"recall_of_recordings": np.mean([each.recall for each in found], 0).round(4).tolist(),
            "recall": round(float(np.mean([each.recall for each in found])), 4),
            "words_dev": round(float(np.mean([each.words for each in found])), 4),
            "silence_dev": round(float(np.mean([each.silence for each in found])), 4)}


def write_table(found: dict[str, list[Heard]], folder: Path) -> None:
    """table.md."""
    rows = [_row(name, means(each)) for name, each in found.items()]
    recordings = [f"recording {i + 1}" for i in range(len(rows[0]) - 4)]
    head = ["`SILENCE`", *recordings, "all", "dev, without silence", "dev, silence"]
    with atomic_write(folder / "table.md") as temporary:
        temporary.write_text("# Silence told for silence, %\n\nWritten by `make bench-silence`: a fixed net learns the "
                             f"first {100 * HEARD:.0f} % of each training recording of noise; the last "
                             f"{100 * (1 - HELD):.0f} % are asked for.\n\n{markdown_table(head, rows)}\n")


def _row(name: str, its: dict) -> list[str]:
    shares = (*its["recall_of_recordings"], its["recall"], its["words_dev"], its["silence_dev"])
    return [name, *(f"{100 * each:.1f}" for each in shares)]


if __name__ == "__main__":
    run_command(main)
