"""What `make results` writes of nets that are there: pictures, model cards, and one HTML file that holds it all."""

import base64
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from datasets.console import atomic_write, commit
from export.simulate import draw_confusion
from kws_grow import architecture
from kws_grow.markdown import inline, table, to_html
from kws_grow.publish import IMAGES, percent, write_card
from kws_grow.published import PUBLISHED, OurNet, PublishedNet, plot
from kws_grow.report import plot_growth

PICTURES = {"growth.png": "growth: accuracy on dev and channels over epochs",
            "architecture.png": "the architecture round by round",
            "confusion.png": "confusion matrix of the int8 net on validation"}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c2330 }
h1, h2, h3 { line-height: 1.2 }
h2 { margin-top: 3rem; border-bottom: 2px solid #d8dee9; padding-bottom: .3rem }
table { border-collapse: collapse; font-size: .88rem }
td, th { padding: .3rem .6rem; border-bottom: 1px solid #d8dee9; text-align: left; white-space: nowrap }
th { background: #f3f5f9 }
.wide { overflow-x: auto }
img { max-width: 100%; background: #fff }
figure { margin: 1rem 0 }
figcaption { color: #667; font-size: .88rem }
code, pre { background: #f3f5f9; border-radius: 4px; padding: .1em .3em }
pre { padding: .6rem; overflow-x: auto }
.missing { background: #fff3cd; border-left: 4px solid #e0a800; padding: .5rem .8rem }
details { margin: .6rem 0 }
summary { cursor: pointer; font-weight: 600 }
nav a { margin-right: 1rem }
"""


@dataclass(frozen=True)
class Net:
    """A net of make results.

    summary: of results.summary_of, empty where no seed is there. facts: by deployment.FACTS, empty
    where the chosen seed was not published. log: of its growth. accuracies: int8, on validation, of each seed.
    absent: a line for each thing that is missing.
    """

    name: str
    board: str
    summary: dict
    facts: dict[str, dict]
    log: tuple[dict, ...]
    accuracies: tuple[float, ...]
    absent: tuple[str, ...]


def draw_net(net: Net, folder: Path, models: Path) -> None:
    """Pictures and summary.json in `folder`, the card in `models`; what can no longer be drawn is taken away."""
    for name in PICTURES:
        (folder / name).unlink(missing_ok=True)
    if net.log:
        plot_growth(folder, net.log)
        architecture.draw(architecture.stages_of(net.log), net.summary["strides"], folder / "architecture.png")
    if net.facts:
        simulated = net.facts["simulate"]
        draw_confusion(np.array(simulated["confusion"]), tuple(simulated["labels"]), folder / "confusion.png")
        write_card(models, net.name, net.summary, simulated, command(net), seeds_line(net),
                   detector_line(net))
    with atomic_write(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps({**net.summary, "missing": list(net.absent)}, indent=2) + "\n")


def command(net: Net) -> str:
    """That grew the chosen seed; it does so again once its row is deleted."""
    return f'make results NAMES={net.name} SEEDS={net.summary["seed"]}'


def detector_line(net: Net) -> str:
    """By what the firmware hears words, as measured on long audio."""
    s = net.facts["stream"]
    babble = sum(each["minutes"] for each in s["validation"]["false_accepts_in"].values() if each["synthetic"])
    picked = "picked on dev for" if s["reached_on_dev"] else "the highest, as none on dev has"
    return (f"Firmware made of it takes the threshold of `{net.name}.detector.json`, {picked} "
            f"{s['fa_per_hour_wanted']:g} false accept an hour: on validation {s['false_accepts']} in "
            f"{s['minutes']:.0f} minutes without keywords, {babble:.0f} of them synthetic babble "
            f"({s['false_accepts_per_hour_95']} an hour, 95 %), and {percent(s['false_reject_rate'])} of "
            f"{s['keywords']:,} keywords missed (docs/stream.md).")


def seeds_line(net: Net) -> str:
    """What other seeds came to."""
    dev, validation = (spread(net.summary["over_seeds"][key]) for key in ("accuracy_int8_dev", "accuracy_int8"))
    seeds = net.summary["seeds"]
    if len(seeds) == 1:
        return f"One seed, {seeds[0]}."
    return (f"Seeds {', '.join(map(str, seeds))}, int8: {validation} on validation, {dev} on dev (mean and standard "
            f"deviation). This is seed {net.summary['seed']}, the best on dev.")


def spread(found: dict) -> str:
    """"95.10 ± 0.20 %"."""
    deviation = "" if found["deviation"] is None else f" ± {100 * found['deviation']:.2f}"
    return f"{100 * found['mean']:.2f}{deviation} %"


def write_index(nets: list[Net], failed: dict[str, str], out: Path, models: Path) -> None:
    """out/pareto.png and out/index.html, which needs no other file."""
    ours = [OurNet(net.name, net.summary["operations"], net.summary["accuracy_int8"], net.accuracies)
            for net in nets if net.summary]
    plot(ours, out / "pareto.png")
    others = [folder for folder in sorted(out.iterdir()) if folder.is_dir() and folder.name not in
              {net.name for net in nets}]
    parts = [*opening(nets, failed, out), *(section(net, out / net.name, models) for net in nets),
             "<h2>Other results kept in the repository</h2>", *(other(folder) for folder in others)]
    with atomic_write(out / "index.html") as temporary:
        temporary.write_text(page("kws-grow: results", "\n".join(filter(None, parts))))


def page(title: str, body: str) -> str:
    return (f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            f"<title>{escape(title)}</title><style>{STYLE}</style>\n{body}\n</html>\n")


def opening(nets: list[Net], failed: dict[str, str], out: Path) -> list[str]:
    """The table of nets, what is missing, the plot, the published points."""
    jpeg = any(net.facts.get("simulate", {}).get("jpeg_images") for net in nets)
    absent = [f"{net.name}: {line}" for net in nets for line in net.absent]
    absent += [f"{name} failed: {why}" for name, why in failed.items()]
    return ["<h1>kws-grow: results</h1>", f"<p>Written by <code>make results</code> at commit {escape(commit())}.</p>",
            "<nav>" + " ".join(f"<a href='#{net.name}'>{net.name}</a>" for net in nets) + "</nav>",
            table([HEAD, *(table_row(net) for net in nets)]), missing(absent), f"<p>{inline(IMAGES)}</p>" * jpeg,
            picture(out / "pareto.png", "accuracy against operations; ours on validation, others' on the test split"),
            "<details><summary>The published points</summary>"
            + table([["net", "arithmetic", "operations, M", "accuracy", "source"], *map(published_row, PUBLISHED)])
            + "</details>"]


HEAD = ["net", "budget", "int8, validation", "95 % interval", "over seeds", "float", "operations", "channels", "board",
        "ms", "uJ", "flash, B (linked)", "RAM, B (linked)", "equal rows"]


def table_row(net: Net) -> list[str]:
    """HTML cells; dashes where nothing is there."""
    s, facts = net.summary, net.facts
    if not s:
        return [net.name, *["missing"] * (len(HEAD) - 1)]
    low, high = facts["simulate"]["accuracy_int8_95"] if facts else (None, None)
    sizes = [f"{s[key]:,}" + (f" ({facts['export'][key]:,})" if facts else "") for key in ("flash_bytes", "ram_bytes")]
    rows = verified(facts["verify"]) if facts else "not published"
    over = f"{spread(s['over_seeds']['accuracy_int8'])}, n = {len(s['seeds'])}"
    return [f"<a href='#{net.name}'>{net.name}</a>", f"<code>{escape(s['budget'])}</code>",
            f"<b>{percent(s['accuracy_int8'])}</b>", f"{percent(low)} to {percent(high)}" if facts else "", over,
            percent(s["accuracy_float"]), f"{s['operations'] / 1e6:.3f} M", ", ".join(map(str, s["widths"])), net.board,
            f"{s['latency_ms']:.1f}", f"{s['energy_uj']:.0f}", *sizes, rows]


def verified(found: dict) -> str:
    """"200 of 200, 6 cores"; what could not be asked, too."""
    left_out = f", without {', '.join(map(str, found['left_out']))}" if found["left_out"] else ""
    return f"{found['equal_rows']} of {found['rows']}, {len(found['boards'])} cores" + escape(left_out)


def published_row(net: PublishedNet) -> list[str]:
    """HTML cells."""
    operations = "{:.1f} to {:.1f}" if net.operations[0] != net.operations[1] else "{:.1f}"
    accuracy = "{} to {}" if net.accuracy[0] != net.accuracy[1] else "{}"
    return [net.name, net.arithmetic, "at most " * net.at_most + operations.format(*(x / 1e6 for x in net.operations)),
            accuracy.format(*map(percent, net.accuracy)), escape(net.source)]


def section(net: Net, folder: Path, models: Path) -> str:
    """Of one net: its card and pictures, or what is missing."""
    card = models / f"{net.name}.md"
    told = to_html(card.read_text().split("\n", 1)[1], 2) if net.facts else ""
    pictures = [picture(folder / name, caption) for name, caption in PICTURES.items()] if net.summary else []
    return "\n".join([f"<h2 id='{net.name}'>{net.name}</h2>", missing(net.absent), *pictures, told])


def missing(lines) -> str:
    """Empty where nothing is."""
    return "".join(f"<p class=missing>missing: {escape(line)}</p>" for line in lines)


def picture(path: Path, caption: str) -> str:
    """The picture itself, not a link; a line where it is not there."""
    if not path.is_file():
        return f"<p class=missing>missing: {escape(caption)}</p>"
    content = base64.b64encode(path.read_bytes()).decode()
    return (f"<figure><img alt='{escape(caption)}' src='data:image/png;base64,{content}'>"
            f"<figcaption>{escape(caption)}</figcaption></figure>")


def other(folder: Path) -> str:
    """Tables and pictures of another folder of docs/results; empty where it has none."""
    texts = [to_html(path.read_text(), 3) for path in sorted(folder.glob("*.md"))]
    pictures = [picture(path, f"{folder.name}/{path.name}") for path in sorted(folder.glob("*.png"))]
    if not (texts or pictures):
        return ""
    return "\n".join([f"<details><summary>{escape(folder.name)}</summary>", *texts, *pictures, "</details>"])
