"""What a run is made of; whatever a user or a table can change of its bytes stands in GrowConfig."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

from kws_grow.augment import Augmentation
from kws_grow.methods.proposal import IndexSettings
from kws_grow.ranges import RANGES
from kws_grow.splitting import TOGETHER

NAME_BYTES = 100  # of a run's folder, before seed and digest; file systems allow 255
UNQUANTIZED = {"quantization": None}


@dataclass(frozen=True)
class Schedule:
    """Epochs and learning rates. min_epoch_clips: see augment.CodeSource.

    round_factor: a round may make the net dearer by this, in what the run spends.
    peak_lr: of the final one-cycle; growing_lr: constant until then, re-warmed over half an epoch after a split.
    average_decay: of the exponential average of weights a step, over the final schedule and what follows.
    taught_epochs: of another one-cycle behind the final schedule, in which teachers are asked instead of the labels, to
    taught_lr. 0: none; teachers are asked in the final schedule then.
    """

    seed_epochs: int = 6
    round_epochs: int = 3
    final_epochs: int = 90
    round_factor: float = 1.4
    batch: int = 256
    index_batch: int = 256
    growing_lr: float = 0.1
    peak_lr: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    average_decay: float = 0.999
    min_epoch_clips: int = 8192
    taught_epochs: int = 0
    taught_lr: float = 0.05


@dataclass(frozen=True)
class Quantization:
    """How the trained net becomes int8; growth does not depend on it.

    ranges: entries of ranges.RANGES that compete on dev.
    qat: whether to fine-tune with int8's rounding, from mean-square ranges.
    qat_epochs, qat_lr: of its one-cycle; the learning rate is that of the ranges' logarithms (kws_grow.qat).
    """

    ranges: tuple[str, ...] = tuple(RANGES)
    qat: bool = False
    qat_epochs: int = 4
    qat_lr: float = 5e-3


@dataclass(frozen=True)
class Reference:
    """The finished run that a comparator is compared with. run: its name. epochs: in all."""

    run: str
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    strides: tuple[int, ...]
    epochs: int


@dataclass(frozen=True)
class GrowConfig:
    """A whole run.

    dataset_sha256: of labels, codes and noise, so that a run never resumes on other data.
    costs_hash: of export.cost.Tariff. board_bytes: flash and RAM of the board, which are limits.
    spend: what rounds pay with, a quantity of export.cost.Cost. seed_*: of the net that growth starts from, see
    export.shape.NetShape. index: of the method's own settings.
    teachers: names of nets whose answers are learnt instead of the labels (Schedule, kws_grow.teacher);
    teachers_sha256: of their files.
    reference: its price in what the budget limits is the budget, its epochs are the epochs.
    """

    dataset: str
    dataset_sha256: str
    labels: tuple[str, ...]
    board: str
    board_bytes: tuple[int, int]
    kernels: str
    costs_hash: str
    budget: str
    method: str
    seed: int
    device: str
    threads: int
    spend: str = "energy_uj"
    n_coefficients: int = 20
    seed_widths: tuple[int, ...] = (16, 16, 16, 16, 16)
    seed_depths: tuple[int, ...] = ()
    seed_strides: tuple[int, ...] = ()
    teachers: tuple[str, ...] = ()
    teachers_sha256: tuple[str, ...] = ()
    reference: Reference | None = None
    schedule: Schedule = field(default_factory=Schedule)
    index: object = field(default_factory=IndexSettings)
    augmentation: Augmentation = field(default_factory=Augmentation)
    quantization: Quantization = field(default_factory=Quantization)

    def digest(self) -> str:
        """Eight hex digits over every field."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    def grows_like(self, other: str) -> bool:
        """Whether a run of the configuration `other`, JSON of to_json, grows the same float net, or the one that this
        run's teachers start from."""
        try:
            theirs = completed(json.loads(other)) | UNQUANTIZED
        except (ValueError, TypeError, AttributeError):
            return False
        return any(theirs == json.loads(config.to_json()) | UNQUANTIZED for config in (self, self.untaught()))

    def untaught(self) -> "GrowConfig":
        """This, as it is until the teachers come; itself where they teach in the final schedule."""
        if not self.schedule.taught_epochs:
            return self
        schedule = replace(self.schedule, **TAUGHT_AT_REST)
        return replace(self, teachers=(), teachers_sha256=(), schedule=schedule)

    def run_name(self) -> str:
        """The default RUN: says what it is, and differs when anything does."""
        told = f"{self.dataset}-{self.method}-{' '.join(self.budget.split())}"
        words = "".join(c if c.isalnum() else "-" for c in told).encode()[:NAME_BYTES].decode(errors="ignore")
        spent = "" if self.spend == GrowConfig.spend else f"-{self.spend}"
        return f"{words}{spent}-s{self.seed}-{self.digest()}"


TAUGHT_AT_REST = {name: getattr(Schedule, name) for name in ("taught_epochs", "taught_lr")}
# What configurations say nothing of that were written before there was such a thing: they were trained without it.
AT_REST = {"augmentation": json.loads(json.dumps(asdict(Augmentation()))), "teachers": [], "teachers_sha256": []}


def completed(config: dict) -> dict:
    """A config.json with what was not there yet when it was written."""
    index = config.get("index", {})
    return AT_REST | config | {"augmentation": AT_REST["augmentation"] | config.get("augmentation", {}),
                               "schedule": TAUGHT_AT_REST | config.get("schedule", {}),
                               "index": {"gains": TOGETHER} | index if "fresh" in index else index}
