"""The nets that `make results` grows: one recipe each, in one table."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from datasets.console import UserError
from datasets.dataset import DEFAULT_KEYWORDS, SILENCE, UNKNOWN
from export.kernels import DEFAULT
from export.net import SAFETENSORS
from kws_grow.augment import USUAL, augmentation_of
from kws_grow.config import GrowConfig, Quantization, Schedule
from kws_grow.grow import RATE_OPTIONS, SCHEDULE_OPTIONS
from kws_grow.methods import settings_of
from kws_grow.publish import MODELS
from kws_grow.splitting import ALONE, TOGETHER

DATASET, LABELS = "speech_commands_v0.02", (SILENCE, UNKNOWN, *DEFAULT_KEYWORDS)
OF_A_RUN = {"seed", "device", "threads", "dataset_sha256", "board_bytes", "costs_hash",
            "teachers_sha256"}  # of a configuration
MISSING = object()


def teacher_file(name: str) -> Path:
    """Float weights of a net that others learn from."""
    return MODELS / "teachers" / f"{name}{SAFETENSORS}"


@dataclass(frozen=True)
class Recipe:
    """How a net is grown. seeds: that are run where none are named. What is not here is grow-kws's default.

    threads: of the CPU, 1 where several run side by side. teachers: of the table below. qat_epochs: only of a
    recipe with qat.
    """

    name: str
    budget: str
    seeds: tuple[int, ...]
    board: str = "nano33ble"
    method: str = "energy-aware"
    index: str = ""
    seed_widths: tuple[int, ...] = GrowConfig.seed_widths
    seed_depths: tuple[int, ...] = ()
    seed_strides: tuple[int, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    silence: str = USUAL["silence"]
    noise: str = USUAL["noise"]
    voice: str = USUAL["voice"]
    unknown: str = USUAL["unknown"]
    teachers: tuple[str, ...] = ()
    qat: bool = True
    qat_epochs: int = Quantization.qat_epochs
    threads: int = 1

    @cached_property
    def digest(self) -> str:
        """Six hex digits over all but the seeds."""
        return hashlib.sha256(json.dumps(asdict(replace(self, seeds=())), sort_keys=True).encode()).hexdigest()[:6]

    @property
    def options(self) -> list[str]:
        """Of kws_grow.grow; seed, run, data and device are the caller's."""
        lists = {name: getattr(self, name) for name in ("seed_widths", "seed_depths", "seed_strides")}
        options = {"budget": self.budget, "board": self.board, "method": self.method, "threads": self.threads,
                   **{name: ",".join(map(str, values)) for name, values in lists.items() if values},
                   **{name: getattr(self.schedule, name) for name in (*SCHEDULE_OPTIONS, *RATE_OPTIONS)},
                   "silence": self.silence, "noise": self.noise, "voice": self.voice,
                   "unknown": self.unknown, "qat": int(self.qat), "qat_epochs": self.qat_epochs}
        if self.index:
            options["index"] = self.index
        if self.teachers:
            options["teacher"] = " ".join(str(teacher_file(name)) for name in self.teachers)
        return [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]

    @cached_property
    def config(self) -> GrowConfig:
        """Of its run, but for what OF_A_RUN says."""
        return GrowConfig(
            DATASET, "", LABELS, self.board, (), DEFAULT, "", self.budget, self.method, 0, "", self.threads,
            seed_widths=self.seed_widths, seed_depths=self.seed_depths, seed_strides=self.seed_strides,
            schedule=self.schedule, index=settings_of(self.method, self.index), teachers=self.teachers,
            augmentation=augmentation_of(self.silence, self.noise, self.voice, self.unknown),
            quantization=Quantization(qat=self.qat, qat_epochs=self.qat_epochs))

    def differs(self, config: dict) -> str:
        """Names of what a run's config.json has otherwise than this recipe and grow-kws's present defaults; empty for
        a run by this recipe."""
        wanted, found = flat(json.loads(self.config.to_json())), flat(config)
        return ", ".join(name for name, value in wanted.items()
                         if name not in OF_A_RUN and found.get(name, MISSING) != value)


def flat(settings: dict, prefix: str = "") -> dict:
    """{"schedule": {"batch": 256}} -> {"schedule.batch": 256}."""
    pairs = [flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
             for name, value in settings.items()]
    return {name: value for each in pairs for name, value in each.items()}


ELDER = {"silence": "diverse", "voice": "plain", "unknown": "even"}  # what there was before these were varied and ample
ELDER_INDEX = f"steps=56 fresh=12 gains={TOGETHER}"  # how gains were measured when these were grown
LARGE_INDEX = f"gains={ALONE}"                       # and this one
# small, medium, large: within the budgets of "Hello Edge", large as far as one core trains it in two hours or so.
# nano33ble: what the board computes in a tenth of a second.
RECIPES = {recipe.name: recipe for recipe in (
    Recipe("small", "small", (0, 1, 2), index=ELDER_INDEX, seed_depths=(1, 1, 2, 2, 0), seed_strides=(1, 2, 1, 1),
           schedule=Schedule(4, 2, 45, 1.7, batch=128, growing_lr=0.05, peak_lr=0.1), qat_epochs=1),
    Recipe("medium", "medium", (0, 1, 2), seed_depths=(1, 1, 2, 2, 0), seed_strides=(1, 2, 1, 1), qat_epochs=1,
           schedule=Schedule(4, 2, 40, 1.7, batch=128, growing_lr=0.05, peak_lr=0.1)),
    Recipe("large", "large ops<=40M", (0,), index=LARGE_INDEX, seed_depths=(1, 1, 2, 2, 0), seed_strides=(1, 2, 1, 1),
           schedule=Schedule(4, 2, 28, 2.0, batch=128, growing_lr=0.05, peak_lr=0.1, taught_epochs=32, taught_lr=0.1),
           teachers=("medium-first", "medium-second"), qat_epochs=1),
    Recipe("nano33ble", "ms<=100", (0,), seed_depths=(1, 1, 2, 2, 0), seed_strides=(1, 2, 1, 1), qat_epochs=1,
           schedule=Schedule(4, 2, 45, 1.7, batch=128, growing_lr=0.05, peak_lr=0.1)),
)}
# What an ingredient of a recipe is worth: the recipe without it, or otherwise. Never published. The elder ones are what
# the recipes were before voices were varied, silences and unknown words ample, and batches small.
ABLATED = {"medium-less": "medium", "large-briefly": "large", "large-untaught": "large", "nano33ble-elder": "nano33ble",
           "small-unstrided": "small", "small-plain": "small",
           "small-half": "small", "small-silence": "small", "small-voice": "small", "small-unknown": "small",
           "small-elder": "small", "medium-elder": "medium-less", "medium-unknown": "medium-less",
           "large-elder": "large-untaught", "nano33ble-taught": "nano33ble-elder"}  # of which recipe
MEDIUM_LESS = replace(RECIPES["medium"], name="medium-less", budget="medium ops<=14M", index=ELDER_INDEX,
                      schedule=replace(RECIPES["medium"].schedule, final_epochs=32))
LARGE_UNTAUGHT = replace(RECIPES["large"], name="large-untaught", teachers=(),
                         schedule=replace(RECIPES["large"].schedule, taught_epochs=0, taught_lr=Schedule.taught_lr))
NANO33BLE_ELDER = replace(RECIPES["nano33ble"], name="nano33ble-elder", index=ELDER_INDEX,
                          schedule=Schedule(4, 2, 40, 1.7), **ELDER)
ABLATIONS = {recipe.name: recipe for recipe in (
    MEDIUM_LESS, LARGE_UNTAUGHT, NANO33BLE_ELDER,
    replace(LARGE_UNTAUGHT, name="large-briefly", teachers=("large-alone", "medium-alone"),
            schedule=replace(LARGE_UNTAUGHT.schedule, taught_epochs=16)),
    replace(RECIPES["small"], name="small-unstrided", seeds=(0,), seed_strides=()),
    replace(RECIPES["small"], name="small-plain", seeds=(0,), seed_depths=()),
    replace(RECIPES["small"], name="small-half", seeds=(0,), schedule=replace(RECIPES["small"].schedule,
                                                                              final_epochs=22)),
    replace(RECIPES["small"], name="small-silence", seeds=(0,), silence="diverse"),
    replace(RECIPES["small"], name="small-voice", seeds=(0,), voice="plain"),
    replace(RECIPES["small"], name="small-unknown", seeds=(0,), unknown="even"),
    replace(MEDIUM_LESS, name="medium-unknown", seeds=(0,), unknown="even"),
    replace(RECIPES["small"], name="small-elder", seeds=(0,), schedule=Schedule(4, 2, 45, 1.7), qat_epochs=2, **ELDER),
    replace(MEDIUM_LESS, name="medium-elder", seeds=(0,), schedule=Schedule(4, 2, 34, 1.7), **ELDER),
    replace(LARGE_UNTAUGHT, name="large-elder", budget="large ops<=30M", index=ELDER_INDEX,
            schedule=Schedule(4, 2, 24, 2.0), noise="mild", teachers=("medium-labels",), qat=False,
            qat_epochs=Quantization.qat_epochs, **ELDER),
    replace(NANO33BLE_ELDER, name="nano33ble-taught", noise="mild", teachers=("medium-labels",),
            schedule=replace(NANO33BLE_ELDER.schedule, final_epochs=30)),
)}
# Recipe and seed of nets whose float weights are kept for others to learn from.
TEACHERS = {"medium-labels": ("medium-elder", 0), "medium-alone": ("medium-less", 0),
            "large-alone": ("large-untaught", 0), "medium-first": ("medium", 0), "medium-second": ("medium", 1)}


def recipe_of(name: str) -> Recipe:
    """Of a net or an ablation that there is."""
    return (RECIPES | ABLATIONS)[name]


def known_recipes(text: str) -> tuple[Recipe, ...]:
    """"small large" -> their recipes. UserError for names that the tables lack."""
    known, names = RECIPES | ABLATIONS, tuple(dict.fromkeys(text.split()))
    if unknown := [name for name in names if name not in known] or [text] * (not names):
        raise UserError(f"NAMES={text!r}: no such net: {unknown[0]!r}; allowed: {', '.join(known)}")
    return tuple(map(recipe_of, names))
