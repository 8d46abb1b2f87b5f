"""`make publish`: a finished run becomes models/NAME.tflite, .safetensors and .md, its model card.

Every figure is read from the run's summary.json, simulated here, or priced by the present costs.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from datasets.console import Parser, UserError, atomic_write, commit, finish, run_command
from datasets.log_mel import find_images
from export.boards import board_names, load_board
from export.cost import Tariff, summary_of_price
from export.detector import Detector
from export.duty import DutyCycle
from export.graph import Graph
from export.metadata import Metadata, metadata_of, with_metadata
from export.net import SAFETENSORS, load_net, save_net
from export.runs import Run, resolve
from export.simulate import confusion_matrix, int8_predictions, read_codes, summarize
from export.tflite_reader import read_tflite
from kws_grow.markdown import markdown_table

MODELS = Path("models")
OFFICIAL = ("Speech Commands, P. Warden 2018 (arXiv 1804.03209), "
            "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/); splits by the official lists of speakers")
DATASETS = {"speech_commands_v0.01": OFFICIAL, "speech_commands_v0.02": OFFICIAL,
            "synthetic": "synthetic speech, made by espeak-ng: it shows that the chain works; no spotter for people"}
IMAGES = ("The recordings came as uint8 log-mel images that had been JPEG-compressed (an error of about 4.2 codes "
          "RMS), and of the words that are no keywords came a fifth of the full set (README.md of speech_commands): "
          "the accuracies below are on such images, and `_unknown_` is such words.")
LICENCE = ("The weights, and whatever is exported from them, carry no obligation: no notice is needed. The repository "
           "is under Apache-2.0 (`LICENSE`).")
TOLD = ("accuracy_float", "accuracy_int8", "method", "budget", "board", "seed", "kernels", "dataset", "list_sha256",
        "labels", "widths")  # of a run's summary
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNHEARD = ("Its firmware tells words by a stated threshold: `make stream MODEL=` picks one on dev and measures false "
           "accepts.")
INFERENCES_PER_S = Detector.of(("any",)).inferences_per_s


@dataclass(frozen=True)
class Card:
    """What a model card is made of.

    summary: the run's. simulated: of simulate(). prices: by board, as
    summaries name them, with core and cycles_source, or "left_out". seeds: a line about other seeds, empty without.
    detector: of what firmware hears words by.
    """

    name: str
    summary: dict
    simulated: dict
    prices: dict[str, dict]
    files: dict[str, bytes]
    command: str
    seeds: str = ""
    detector: str = UNHEARD


def main() -> None:
    parser = Parser(prog="python -m kws_grow.publish", description=__doc__)
    parser.add_argument("--run", help="a folder of runs/; default: the newest finished one")
    parser.add_argument("--name", required=True, type=name_of, help="of the files, like small")
    parser.add_argument("--data", type=Path, help="folder of clips; default: the run's")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the files; default: %(default)s")
    arguments = parser.parse_args()
    run = resolve(arguments.run)
    card = publish(run, arguments.name, arguments.out, simulate(run, arguments.data))
    finish({"model": str(arguments.out / f"{card.name}.tflite"), "card": str(arguments.out / f"{card.name}.md"),
            "run": run.name, **accuracies(card), "boards": card.prices, "commit": commit()},
           Path("build") / card.name / "publish", f"Published {run.name} as {card.name}")


def name_of(text: str) -> str:
    """NAME, or a UserError."""
    if not NAME.fullmatch(text):
        raise UserError(f"NAME={text[:80]}: allowed are letters, digits, dots, dashes and underscores, at most 64, the "
                        "first a letter or digit")
    return text


def simulate(run: Run, data: Path | None = None) -> dict:
    """What `make simulate` says of the run on its validation, and whether the data are the images (IMAGES). UserError
    where that is not what the run itself found, or where the run is of another version."""
    its, source = summary_of(run), data or run.data
    clips = read_codes(run, source, None)
    found = int8_predictions(run.tflite_path.read_bytes(), clips.codes)
    simulated = summarize(run, clips, confusion_matrix(clips.labels, found, len(run.labels)))
    for key in ("list_sha256", "accuracy_int8"):
        if simulated[key] != its[key]:
            raise UserError(f"{run.folder}: {key} is {its[key]} in its summary.json and {simulated[key]} on "
                            f"{clips.source}; allowed: the data that it was measured on (DATA)")
    return simulated | {"jpeg_images": bool(source and find_images(source))}


def summary_of(run: Run) -> dict:
    """UserError where it lacks what a card tells."""
    summary = json.loads((run.folder / "summary.json").read_text())
    if missing := [key for key in TOLD if key not in summary]:
        raise UserError(f"{run.folder}: its summary.json tells no {missing[0]}; it is of another version, grow it "
                        "again")
    return summary


def publish(run: Run, name: str, models: Path, simulated: dict) -> Card:
    """Write the three files. simulated: of simulate(run). UserError where the run is of another version."""
    summary = summary_of(run)
    path = models / f"{name}.tflite"
    with atomic_write(path) as temporary:
        temporary.write_bytes(_telling(run))
    save_net(load_net(run.net_path), path.with_suffix(SAFETENSORS))
    return write_card(models, name, summary, simulated, summary.get("command", ""))


def write_card(models: Path, name: str, summary: dict, simulated: dict, command: str, seeds: str = "",
               detector: str = UNHEARD) -> Card:
    """models/NAME.md of the weights that are there. command, seeds, detector: see Card."""
    path = models / f"{name}.tflite"
    files = {each.name: each.read_bytes() for each in (path, path.with_suffix(SAFETENSORS))}
    prices = prices_of(read_tflite(path), summary["kernels"])
    card = Card(name, summary, simulated, prices, files, command, seeds, detector)
    with atomic_write(path.with_suffix(".md")) as temporary:
        temporary.write_text(document(card))
    return card


def _telling(run: Run) -> bytes:
    """The run's .tflite; with its labels in it where it was written before they were."""
    content = run.tflite_path.read_bytes()
    graph = read_tflite(run.tflite_path)
    told = Metadata.of(run.labels, run.dataset, graph.input.shape[2])
    try:
        return content if metadata_of(graph) == told else with_metadata(content, told)
    except UserError:
        return with_metadata(content, told)


def prices_of(graph: Graph, kernels: str) -> dict[str, dict]:
    """By board; {"left_out": why} where its core was not calibrated."""
    return {name: _price(graph, name, kernels) for name in board_names()}


def _price(graph: Graph, name: str, kernels: str) -> dict:
    board = load_board(name)
    try:
        tariff = Tariff.of(board, kernels)
    except UserError as error:
        return {"core": board.core, "left_out": str(error)}
    price = summary_of_price(tariff.graph(graph))
    fits = price["flash_bytes"] <= board.flash_bytes and price["ram_bytes"] <= board.ram_bytes
    duty = DutyCycle(board, price["cycles_per_frame"], price["cycles"], INFERENCES_PER_S)
    return {**price, "core": board.core, "title": board.title, "fits": fits, "share": duty.share,
            "costs_hash": tariff.costs_hash, "cycles_source": tariff.costs.cycles_source,
            "pj_per_cycle_source": board.power.pj_per_cycle_source}


def accuracies(card: Card) -> dict:
    """As summaries name them: of int8 here, of float as trained."""
    keys = ("accuracy_float", "accuracy_float_dev", "accuracy_int8_dev")
    return {"accuracy_int8": card.simulated["accuracy_int8"], "accuracy_int8_95": card.simulated["accuracy_int8_95"],
            **{key: card.summary[key] for key in keys if key in card.summary}, "clips": card.simulated["clips"]}


def document(card: Card) -> str:
    """Markdown."""
    parts = (head(card), use(card), data(card), made_by(card), accuracy(card), costs(card), f"## Licence\n\n{LICENCE}")
    return "\n\n".join(parts) + "\n"


def head(card: Card) -> str:
    s = card.summary
    words = ", ".join(label for label in s["labels"] if not label.startswith("_"))
    blocks = f" and {sum(s['depths'])} residual blocks" if sum(s.get("depths", ())) else ""
    return (f"# {card.name}\n\nA keyword spotter for one second of 16 kHz speech, an int8 DS-CNN of "
            f"{', '.join(map(str, s['widths']))} channels{blocks}, grown by `{s['method']}` under "
            f"`BUDGET={s['budget']}`. It tells {words} from other words and silence. Written by kws-grow; every figure "
            "is read from the run, simulated bit for bit, or predicted by the measured costs of the code.")


def use(card: Card) -> str:
    rows = [[f"`{name}`", f"{len(content):,}", f"`{hashlib.sha256(content).hexdigest()[:16]}`"]
            for name, content in card.files.items()]
    return (f"## Use\n\n    make export-mcu MODEL=models/{card.name}.tflite BOARD={card.summary['board']}\n"
            f"    make simulate MODEL=models/{card.name}.tflite CLIPS=DIR\n\n"
            "Labels and feature settings are in the .tflite (metadata `kws-grow`, JSON); the float weights, batch norm "
            f"folded, are in the .safetensors. {card.detector}\n\n"
            + markdown_table(["file", "bytes", "SHA-256 begins"], rows))


def data(card: Card) -> str:
    name = card.summary["dataset"]
    told = DATASETS.get(name, "a folder of its maker's, whose terms are its maker's to know")
    images = f" {IMAGES}" if card.simulated["jpeg_images"] else ""
    return (f"## Data\n\n`{name}`: {told}.{images} Validation: {card.simulated['clips']:,} clips "
            f"(SHA-256 of the list begins `{card.simulated['list_sha256'][:16]}`); what a run chooses, it "
            "chooses on `dev`, 5 % of the training speakers. `SILENCE=diverse` and `ample`, and "
            "`UNKNOWN=ample`, were made after validation of Speech Commands had shown silence, then other words, as "
            "the weakest class of nets.")


def made_by(card: Card) -> str:
    s = card.summary
    keys = {"seed": "seed", "method": "method", "budget": "budget", "board": "board", "rounds": "rounds of growth",
            "epochs": "epochs", "stopped_by": "growth stopped by", "ranges": "int8 ranges", "device": "device",
            "commit": "commit", "config": "configuration", "wall_s": "seconds",
            "command": "which ran"}
    rows = [[told, f"`{s[key]}`"] for key, told in keys.items() if key in s and s[key] != card.command]
    command = f"    {card.command}\n\n" if card.command else ""
    return f"## Made by\n\n{command}{markdown_table(['', ''], rows)}"


def accuracy(card: Card) -> str:
    s, low, high = card.summary, *card.simulated["accuracy_int8_95"]
    rows = [["int8, as on the board", percent(s.get("accuracy_int8_dev")),
             f"**{percent(card.simulated['accuracy_int8'])}** ({percent(low)} to {percent(high)})"],
            ["float, as trained", percent(s.get("accuracy_float_dev")), percent(s["accuracy_float"])],
            ["float weights of the .safetensors", "", percent(card.simulated["accuracy_float"])]]
    words = [[label, f"{its['clips']:,}", percent(its["recall"]), " to ".join(map(percent, its["interval_95"]))]
             for label, its in card.simulated["recall"].items()]
    seeds = f"\n\n{card.seeds}" if card.seeds else ""
    return (f"## Accuracy\n\n{markdown_table(['', 'dev', 'validation (95 % interval)'], rows)}{seeds}\n\n"
            + markdown_table(["word", "clips", "recall, int8, validation", "95 % interval"], words))


def percent(share: float | None) -> str:
    """Empty for None."""
    return "" if share is None else f"{100 * share:.2f} %"


def costs(card: Card) -> str:
    """The table, and where figures are from that nobody measured on the board."""
    whole = next(iter(card.prices.values()))
    rows = [price_row(name, price) for name, price in card.prices.items()]
    sources = dict.fromkeys(f"- {name}, {what}: {price[key]}" for name, price in card.prices.items()
                            for what, key in (("cycles", "cycles_source"), ("pJ a cycle", "pj_per_cycle_source"))
                            if key in price)
    size = (f"{whole['operations'] / 1e6:.3f} M operations and {whole['memory_bytes'] / 1e3:.1f} kB (\"Hello Edge\") "
            if "operations" in whole else "")
    header = ["board", "core", "instructions", "cycles", "ms", "uJ", "flash, B", "RAM, B", "fits",
              f"core, {INFERENCES_PER_S:g} a second"]
    return (f"## Cost on each board\n\n{size}an inference, features not included; `{card.summary['kernels']}` kernels, "
            f"predicted by the costs measured of the code.\n\n{markdown_table(header, rows)}\n\n" + "\n".join(sources))


def price_row(name: str, price: dict) -> list[str]:
    if "left_out" in price:
        return [name, price["core"], *["not calibrated"] * 6, "", ""]
    return [name, price["core"], f"{price['instructions_per_inference']:,}", f"{price['cycles']:,}",
            f"{price['latency_ms']:.1f}", f"{price['energy_uj']:.0f}", f"{price['flash_bytes']:,}",
            f"{price['ram_bytes']:,}", "yes" if price["fits"] else "no",
            f"{100 * price['share']:.0f} %{'' if price['share'] <= 1 else ', does not keep up'}"]


if __name__ == "__main__":
    run_command(main)
