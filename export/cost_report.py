"""What a net costs on a board, layer by layer, before anything is flashed; and how long a battery lasts."""

from pathlib import Path

from datasets.console import atomic_write, commit, finish, run_command
from export.boards import Board, load_board
from export.cost import Cost, Layer, Price, Tariff, summary_of_price
from export.duty import Battery, DutyCycle, parse_battery, parse_rate
from export.graph import Graph
from export.kernels import DEFAULT, NAMES, known_kernels
from export.runs import net_parser, resolve
from export.tflite_reader import read_tflite

BAR = 24  # characters of the dearest layer's


def main() -> None:
    parser = net_parser("export.cost_report", __doc__)
    parser.add_argument("--board", default="nano33ble")
    parser.add_argument("--kernels", type=known_kernels, default=DEFAULT, help=", ".join(NAMES))
    parser.add_argument("--rate", type=parse_rate, default="2", help="inferences a second; default: 2")
    parser.add_argument("--battery", type=parse_battery, default="cr2032",
                        help="cr2032, ..., or like 220mAh@3V; default: cr2032")
    parser.add_argument("--out", type=Path, help="for the results; default: build/RUN/BOARD/cost")
    arguments = parser.parse_args()
    run, board = resolve(arguments.run, arguments.model), load_board(arguments.board)
    tariff = Tariff.of(board, arguments.kernels)
    graph = read_tflite(run.tflite_path)
    price, folder = tariff.graph(graph), arguments.out or Path("build") / run.name / board.name / "cost"
    duty = duty_of(price, board, arguments.rate)
    print(layer_table(price))
    print(source_lines(tariff, duty))
    print(memory_lines(price.whole, board))
    if duty:
        print(duty.sentence(arguments.battery))
    plot(price, board, folder / "cost.png")
    finish(summarize(tariff, price, graph) | duty_summary(duty, arguments.battery)
           | {"run": run.name, "chart": str(folder / "cost.png"), "commit": commit()}, folder,
           f"Cost of {run.name} on {board.title}")


def layer_table(price: Price) -> str:
    """A line a layer, with a bar of its cycles; then firmware, whose arena is the layers' own, and all of it."""
    most = max((layer.cost.cycles for layer in price.layers), default=0)
    head = (f"{'predicted, by layer':<22}{'shape':<25}{'MACs':>10}{'instructions':>14}{'cycles':>12}{'ms':>9}{'uJ':>9}"
            f"{'flash B':>9}{'arena B':>9}")
    lines = [_line(layer.name, _shapes(layer), layer.cost) + f"  {'█' * round(BAR * layer.cost.cycles / most)}"
             for layer in price.layers]
    return "\n".join([head, *lines, _line_without_arena("firmware, kernels", "", price.firmware),
                      _line("all", "", price.whole)])


def _line(name: str, shapes: str, cost: Cost) -> str:
    return f"{_line_without_arena(name, shapes, cost)}{cost.arena_bytes:>9,}"


def _line_without_arena(name: str, shapes: str, cost: Cost) -> str:
    return (f"{name:<22}{shapes:<25}{cost.macs:>10,}{cost.instructions:>14,.0f}{cost.cycles:>12,.0f}"
            f"{cost.latency_ms:>9.2f}{cost.energy_uj:>9.1f}{cost.flash_bytes:>9,}")


def _shapes(layer: Layer) -> str:
    return " -> ".join("x".join(map(str, sizes)) for sizes in (layer.shape.inputs, layer.shape.outputs))


def source_lines(tariff: Tariff, duty: DutyCycle | None) -> str:
    """Where the figures come from that nobody measured on the board: a line each; those of listening where there is a
    duty cycle."""
    power = tariff.board.power
    sources = {"cycles": tariff.costs.cycles_source, "pJ a cycle": power.pj_per_cycle_source}
    if duty:
        sources |= {"asleep": power.sleep_uw_source, "capture": power.capture_uw_source}
    return "\n".join(f"{figure}: {source}" for figure, source in sources.items())


def memory_lines(whole: Cost, board: Board) -> str:
    """Predicted bytes of the image, against what the board has."""
    rows = (("flash", whole.flash_bytes, board.flash_bytes), ("RAM", whole.ram_bytes, board.ram_bytes))
    return "\n".join(f"{name:<6}{used:>9,} of {there:,} B ({100 * used / there:.1f} %)"
                     + ("" if used <= there else ": does not fit") for name, used, there in rows)


def duty_of(price: Price, board: Board, inferences_per_s: float) -> DutyCycle | None:
    """None where the net does not take our features."""
    if price.frame is None:
        return None
    return DutyCycle(board, price.frame.cycles, price.whole.cycles, inferences_per_s)


def duty_summary(duty: DutyCycle | None, battery: Battery) -> dict:
    """What is unknown is left out."""
    if duty is None:
        return {}
    power_uw, days = duty.average_power_uw, duty.battery_days(battery)
    power = {} if power_uw is None else {"average_power_uw": round(power_uw, 1)}
    lasting = {} if days is None else {"battery": str(battery), "battery_days": round(days, 2)}
    return {"inferences_per_s": duty.inferences_per_s, "core_share": round(duty.share, 5), **power, **lasting}


def summarize(tariff: Tariff, price: Price, graph: Graph) -> dict:
    layers = [{"name": layer.name, "kind": layer.kind, "macs": layer.cost.macs,
               "instructions": round(layer.cost.instructions), "cycles": round(layer.cost.cycles),
               "latency_ms": round(layer.cost.latency_ms, 4), "energy_uj": round(layer.cost.energy_uj, 2),
               "flash_bytes": layer.cost.flash_bytes, "arena_bytes": layer.cost.arena_bytes} for layer in price.layers]
    return {**summary_of_price(price), "layers": layers, "board": tariff.board.name, "core": tariff.board.core,
            "kernels": tariff.costs.kernels, "costs_hash": tariff.costs_hash,
            "cycles_source": tariff.costs.cycles_source, "pj_per_cycle_source": tariff.board.power.pj_per_cycle_source,
            "model_sha256": graph.sha256}


def plot(price: Price, board: Board, path: Path) -> None:
    """Bars a layer: cycles, and bytes of flash."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    names = [layer.name for layer in price.layers]
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(10, 0.3 * len(names) + 1.5), layout="constrained")
    left.barh(names, [layer.cost.latency_ms for layer in price.layers])
    left.set(xlabel="ms", title=f"{price.whole.latency_ms:.1f} ms, {price.whole.energy_uj:.0f} uJ on {board.name}")
    right.barh(names, [layer.cost.flash_bytes / 1e3 for layer in price.layers], color="C1")
    right.set(xlabel="kB of flash", title=f"{price.whole.flash_bytes / 1e3:.1f} kB, RAM "
                                          f"{price.whole.ram_bytes / 1e3:.1f} kB")
    left.invert_yaxis()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)


if __name__ == "__main__":
    run_command(main)
