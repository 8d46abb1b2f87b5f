"""The detector on long audio: false accepts an hour, false rejects and latency over the threshold; picks on dev the
threshold, and how many inferences are averaged and in a row."""

import time
from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from datasets.console import UserError, atomic_write, commit, finish, progress, run_command
from datasets.features import SAMPLE_RATE
from datasets.load import read_data
from export.detector import RULES, SCORE_ONE, Detector, check_graph, save_detector
from export.runs import Run, net_parser, resolve, whole_number
from export.simulate import wilson, with_labels
from export.stream_audio import SYNTHETIC, LongAudio, describe, long_audio
from export.stream_host import EVENT, Heard, StreamLibrary, stream_library
from export.stream_score import Outcome, Rate, curve_of, false_accepts, judge, pick
from export.tflite_reader import read_tflite

SPLITS = ("dev", "validation")
DEFAULT_FA_PER_HOUR = 1.0
FA_PER_HOUR = (0.1, 100.0)
DEFAULT_MINUTES, MINUTES = 60, (1, 600)
THRESHOLDS = range(SCORE_ONE // 4, SCORE_ONE + 1, 128)  # below a quarter, another label may be as likely
CURVE_STEP = 8  # of THRESHOLDS, in summary.json


@dataclass(frozen=True)
class Trial:
    """A stream that was heard. cpu_s: processor time of kws_feed. curve: of a detector, by rising threshold."""

    audio: LongAudio
    heard: Heard
    cpu_s: float
    curve: list[Outcome] = field(default_factory=list)


def main() -> None:
    """Hear dev, pick the detector, report validation; keep it for `make export-mcu`."""
    arguments = _arguments()
    start_s = time.monotonic()
    run = with_labels(resolve(arguments.run, arguments.model), arguments.labels)
    graph = read_tflite(run.tflite_path)
    check_graph(graph)
    folder = arguments.out or Path("build") / run.name / "stream"
    material = read_data(arguments.data or run.data, tuple(label for label in run.labels if label[0] != "_"))
    detectors = [Detector.of(run.labels, average, in_a_row) for average, in_a_row in RULES]
    with stream_library(graph) as library:
        heard = {split: hear(library, detectors[0], long_audio(material, run.labels, split, 60 * arguments.minutes))
                 for split in SPLITS}
        detector, reached = choose(library, detectors, heard["dev"], arguments.fa_per_hour)
        trials = {split: judged(library, detector, trial) for split, trial in heard.items()}
        check(library, detector, trials["validation"])
        outcomes = {split: judge_at(library, detector, trial) for split, trial in trials.items()}
    kept = save_detector(detector, run, graph)
    draw(trials, detector.threshold, folder / "curve.png")
    if not reached:
        print(f"no threshold has {arguments.fa_per_hour:g} false accepts an hour or fewer on dev; the highest is taken")
    finish({**summarize(run, detector, trials, outcomes, arguments.fa_per_hour, reached), "dataset": material.name,
            "run_dataset": run.dataset, "model_sha256": graph.sha256, "detector": str(kept),
            "wall_s": round(time.monotonic() - start_s, 1), "commit": commit()}, folder, f"{run.name} as a stream")


def _arguments() -> Namespace:
    parser = net_parser("export.stream", __doc__)
    parser.add_argument("--data", type=Path, help="folder of clips, beside them their noise; default: the run's")
    parser.add_argument("--labels", help="of a --model's scores, in order, separated by commas")
    parser.add_argument("--fa-per-hour", type=fa_per_hour, default=DEFAULT_FA_PER_HOUR,
                        help=f"false accepts an hour that dev is to have; default: {DEFAULT_FA_PER_HOUR:g}")
    parser.add_argument("--minutes", type=lambda text: whole_number("MINUTES", text, *MINUTES),
                        default=DEFAULT_MINUTES, help=f"without keywords, a split; default: {DEFAULT_MINUTES}")
    parser.add_argument("--out", type=Path, help="where summary.json and curve.png go; default: build/RUN/stream")
    return parser.parse_args()


def fa_per_hour(text: str) -> float:
    """FA_PER_HOUR. UserError for anything else than a number in its range."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not FA_PER_HOUR[0] <= value <= FA_PER_HOUR[1]:
        raise UserError(f"FA_PER_HOUR={text[:40]}: allowed are numbers from {FA_PER_HOUR[0]:g} to {FA_PER_HOUR[1]:g}")
    return value


def hear(library: StreamLibrary, detector: Detector, audio: LongAudio) -> Trial:
    """All of `audio` through host C. Skipped clips are told."""
    print(describe(audio), flush=True)
    if audio.skipped:
        print(f"skipped {len(audio.skipped)} clips, the first: {audio.skipped[0]}")
    return Trial(audio, *feed(library, detector, audio))


def choose(library: StreamLibrary, detectors: list[Detector], dev: Trial, per_hour: float) -> tuple[Detector, bool]:
    """Each with the threshold that dev gives it; the one that misses the fewest words, the first of equal ones, and
    whether it has at most per_hour false accepts an hour, which comes first."""
    curves = [judged(library, detector, dev).curve for detector in detectors]
    picked = [(detector, *pick(curve, dev.audio, per_hour)) for detector, curve in zip(detectors, curves, strict=True)]
    detector, outcome, reached = min(picked, key=lambda each: (not each[2], each[1].rejects))
    return replace(detector, threshold=outcome.threshold), reached


def judged(library: StreamLibrary, detector: Detector, trial: Trial) -> Trial:
    """With the decisions of `detector` at every threshold."""
    return replace(trial, curve=curve_of(
        trial.audio, lambda threshold: library.decide(replace(detector, threshold=threshold), trial.heard.scores),
        THRESHOLDS))


def feed(library: StreamLibrary, detector: Detector, audio: LongAudio) -> tuple[Heard, float]:
    """kws_feed, a second at a time, and its processor time."""
    starts = range(0, len(audio.samples), SAMPLE_RATE)
    with library.open(detector, len(starts) * SAMPLE_RATE) as stream:
        start_s, events = time.process_time(), []
        for at in progress(starts, f"hearing {audio.split}", unit="s"):
            events.append(stream.feed(audio.samples[at:at + SAMPLE_RATE]))
        cpu_s = time.process_time() - start_s
        return Heard(stream.recorded().copy(), np.concatenate([np.zeros(0, EVENT), *events])), cpu_s


def check(library: StreamLibrary, detector: Detector, trial: Trial) -> None:
    """The decisions of the curve are the stream's own: a minute of it is heard again, with the detector picked."""
    samples = trial.audio.samples[:60 * SAMPLE_RATE]
    again = library.hear(detector, samples)
    if again.events.tobytes() != library.decide(detector, trial.heard.scores[:len(again.scores)]).tobytes():
        raise RuntimeError("decisions from recorded scores differ from the stream's own")


def judge_at(library: StreamLibrary, detector: Detector, trial: Trial) -> Outcome:
    """At the detector's threshold."""
    return judge(trial.audio, library.decide(detector, trial.heard.scores), detector.threshold)


def summarize(run: Run, detector: Detector, trials: dict[str, Trial], outcomes: dict[str, Outcome], wanted: float,
              reached: bool) -> dict:
    """What summary.json says: validation's figures first, then both streams in full."""
    audio, outcome = trials["validation"].audio, outcomes["validation"]
    rate = false_accepts(audio, outcome)
    low, high = rate.interval
    return {
        "run": run.name, "labels": list(run.labels),
        "fa_per_hour_wanted": wanted, "reached_on_dev": reached,
        "threshold": detector.threshold, "threshold_share": round(detector.threshold / SCORE_ONE, 4),
        "false_accepts": rate.count, "minutes": round(rate.minutes, 2),
        "false_accepts_per_hour": round(rate.per_hour, 3),
        "false_accepts_per_hour_95": f"{low:.2f} to {high:.2f}",
        "false_rejects": outcome.rejects, "keywords": outcome.keywords,
        "false_reject_rate": round(outcome.reject_rate, 4),
        "wrong_words": outcome.wrong_words,
        "detection_latency_ms": _quantile(outcome, 0.5), "detection_latency_ms_p95": _quantile(outcome, 0.95),
        "host_s_per_hour": round(_host_s_per_hour(trials), 2),
        "frames_per_inference": detector.frames_per_inference, "average_inferences": detector.average_inferences,
        "refractory_frames": detector.refractory_frames, "min_count": max(detector.min_counts),
        **{split: stream_summary(trials[split], outcomes[split]) for split in SPLITS},
    }


def _quantile(outcome: Outcome, share: float) -> float | None:
    return round(float(np.quantile(outcome.latency_ms, share)), 1) if outcome.found else None


def _host_s_per_hour(trials: dict[str, Trial]) -> float:
    """Processor time of one core for an hour of audio."""
    return sum(each.cpu_s for each in trials.values()) / sum(each.audio.minutes for each in trials.values()) * 60


def stream_summary(trial: Trial, outcome: Outcome) -> dict:
    """Of one split: what was heard, and what came of it."""
    audio = trial.audio
    kinds = {each.kind: {**Rate(outcome.accepts[each.kind], each.minutes).as_json(), "clips": each.clips,
                         "synthetic": each.kind in SYNTHETIC}
             for each in audio.stretches if each.kind in outcome.accepts}
    return {
        "minutes": round(audio.minutes, 2), "inferences": len(trial.heard.scores),
        "false_accepts": false_accepts(audio, outcome).as_json(), "false_accepts_in": kinds,
        "keywords": outcome.keywords, "false_rejects": outcome.rejects,
        "false_reject_rate": round(outcome.reject_rate, 4),
        "false_reject_rate_95": [round(end, 4) for end in wilson(outcome.rejects, outcome.keywords)],
        "wrong_words": outcome.wrong_words, "repeats": outcome.repeats,
        "detection_latency_ms": {f"p{round(100 * share)}": _quantile(outcome, share) for share in (0.05, 0.5, 0.95)},
        "skipped_clips": list(audio.skipped), "host_s": round(trial.cpu_s, 2),
        "curve": [{"threshold": each.threshold, "false_accepts": each.false_accepts, "false_rejects": each.rejects}
                  for each in trial.curve[::CURVE_STEP]],
    }


def draw(trials: dict[str, Trial], threshold: int, path: Path) -> None:
    """False rejects and false accepts an hour over the threshold, of both streams."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    rejects, accepts = figure.subplots(2, 1, sharex=True)
    for split, trial in trials.items():
        x = [outcome.threshold / SCORE_ONE for outcome in trial.curve]
        rejects.plot(x, [100 * outcome.reject_rate for outcome in trial.curve], label=split)
        accepts.plot(x, [false_accepts(trial.audio, outcome).per_hour for outcome in trial.curve], label=split)
    for axes, name in ((rejects, "false rejects, %"), (accepts, "false accepts an hour")):
        axes.axvline(threshold / SCORE_ONE, color="grey", linestyle=":", label="picked on dev")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    accepts.set_yscale("symlog", linthresh=1)
    accepts.set_ylim(bottom=0)
    accepts.set_xlabel("threshold of the averaged score")
    rejects.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)


if __name__ == "__main__":
    run_command(main)
