"""What a .tflite of ours tells of itself: labels, features, training data, as JSON in TFLite's own metadata.

The entry is named ENTRY and holds {"version": 1, "labels": [..], "dataset": "..", "features": {..}}. Kernels never see
it: tensors and ops stay the bytes they were.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial

import ai_edge_litert.schema_py_generated as schema
import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

from datasets import features
from datasets.console import UserError
from export.graph import Graph

ENTRY = "kws-grow"
VERSION = 1
MAX_NAME = 100   # characters of a label and of the dataset's name
MAX_BYTES, MAX_ENTRIES = 1 << 16, 64  # that are looked at
ALIGNMENT = 16   # of a .tflite's constants, schema.fbs
_VERSION_SLOT, _BUFFERS_SLOT, _METADATA_SLOT, _SLOTS = 0, 4, 6, 10  # fields of schema.fbs's Model


@dataclass(frozen=True)
class FeatureSettings:
    """What turns samples into the net's input (datasets.features); the numbers of ours are the defaults."""

    n_coefficients: int
    sample_rate_hz: int = features.SAMPLE_RATE
    frame_samples: int = features.FRAME_LENGTH
    hop_samples: int = features.HOP_LENGTH
    fft_samples: int = features.FFT_LENGTH
    mel_bands: int = features.N_MELS
    mel_high_hz: float = features.MEL_HIGH_HZ
    code_gain: float = features.CODE_GAIN
    code_offset: float = features.CODE_OFFSET
    energy_gain: float = features.ENERGY_GAIN
    energy_floor: float = features.ENERGY_FLOOR


@dataclass(frozen=True)
class Metadata:
    """labels: of the scores, in order. dataset: the training data's name, "synthetic" where it is. features: by the
    names of FeatureSettings."""

    labels: tuple[str, ...]
    dataset: str
    features: dict

    @classmethod
    def of(cls, labels: tuple[str, ...], dataset: str, n_coefficients: int) -> "Metadata":
        """Of a net that takes our features."""
        return cls(tuple(labels), dataset, asdict(FeatureSettings(n_coefficients)))

    def to_json(self) -> bytes:
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True).encode()


def metadata_of(graph: Graph) -> Metadata | None:
    """None where the file has none. UserError where it is damaged, or of another net."""
    return None if graph.metadata is None else parse_metadata(graph.metadata, graph.output.elements)


def parse_metadata(content: bytes, n_labels: int) -> Metadata:
    """The inverse of to_json. UserError where it is not that, or has not so many labels."""
    try:
        facts = json.loads(content)
        version, found = facts["version"], Metadata(tuple(facts["labels"]), facts["dataset"], facts["features"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"its metadata {ENTRY!r} is damaged ({type(error).__name__})") from error
    fault = _fault(version, found, n_labels)
    if fault:
        raise UserError(f"its metadata {ENTRY!r}: {fault}")
    return found


def _fault(version: object, found: Metadata, n_labels: int) -> str:
    """Empty where there is none."""
    names = (*found.labels, found.dataset)
    if version != VERSION:
        return f"version {str(version)[:MAX_NAME]!r}; allowed: {VERSION}"
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable() for name in names):
        return f"a name is not printable text of 1 to {MAX_NAME} characters"
    if len(set(found.labels)) != n_labels or len(found.labels) != n_labels:
        return f"{len(found.labels)} labels, {len(set(found.labels))} of them different; allowed: {n_labels}, as scores"
    return "" if isinstance(found.features, dict) else "its features are no table"


def other_features(graph: Graph) -> str:
    """How the features that the net says it wants differ from ours; empty where they do not, or it does not say."""
    try:
        found = metadata_of(graph)
    except UserError:
        return ""
    ours = {} if found is None else asdict(FeatureSettings(graph.input.shape[2]))
    return "; ".join(f"{name} {str(found.features.get(name))[:MAX_NAME]}, ours {value}" for name, value in ours.items()
                     if found.features.get(name) != value)


def read_entry(model: schema.Model) -> bytes | None:
    """The content of ENTRY; None where there is none. Longer ones than MAX_BYTES come cut, and parse no more."""
    for i in range(min(model.MetadataLength(), MAX_ENTRIES)):
        entry = model.Metadata(i)
        if entry.Name() == ENTRY.encode() and entry.Buffer() < model.BuffersLength():
            buffer = model.Buffers(entry.Buffer())
            return bytes(buffer.DataAsNumpy()[:MAX_BYTES]) if buffer.DataLength() else b""
    return None


def with_metadata(tflite: bytes, metadata: Metadata) -> bytes:
    """The .tflite with the entry, in place of one that it may have.

    A new root is written before the old content, whose bytes stay as they are: packing anew would lose the alignment
    of the constants, which flatbuffers' Python does not keep.
    """
    builder = flatbuffers.Builder(0)
    builder.Bytes = bytearray(tflite) + bytes(-len(tflite) % ALIGNMENT)
    builder.minalign, size = ALIGNMENT, len(builder.Bytes)
    model = schema.Model.GetRootAs(bytes(builder.Bytes), 0)
    buffers = [size - model.Buffers(i)._tab.Pos for i in range(model.BuffersLength())]
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    others = [size - entry._tab.Pos for entry in entries if entry.Name() != ENTRY.encode()]
    content, entry = _entry(builder, metadata.to_json(), len(buffers))
    vectors = {_BUFFERS_SLOT: _vector(builder, [*buffers, content]), _METADATA_SLOT: _vector(builder, [*others, entry])}
    builder.Finish(_root(builder, model._tab, size, vectors), b"TFL3")
    return bytes(builder.Output())


def _entry(builder: flatbuffers.Builder, content: bytes, number: int) -> tuple[int, int]:
    """Offsets of the new buffer and of the entry that names it."""
    data, name = builder.CreateByteVector(content), builder.CreateString(ENTRY)
    schema.BufferStart(builder)
    schema.BufferAddData(builder, data)
    buffer = schema.BufferEnd(builder)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, name)
    schema.MetadataAddBuffer(builder, number)
    return buffer, schema.MetadataEnd(builder)


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _root(builder: flatbuffers.Builder, old: Table, size: int, vectors: dict[int, int]) -> int:
    """A Model like the old one with these vectors; every field of it but the version is an offset."""
    fields = {slot: at for slot in range(_SLOTS) if (at := old.Offset(4 + 2 * slot))}
    targets = {slot: size - old.Indirect(old.Pos + at) for slot, at in fields.items() if slot != _VERSION_SLOT}
    builder.StartObject(_SLOTS)
    for slot, target in (targets | vectors).items():
        builder.PrependUOffsetTRelativeSlot(slot, target, 0)
    read = partial(old.Get, number_types.Uint32Flags)
    builder.PrependUint32Slot(_VERSION_SLOT, read(old.Pos + fields[_VERSION_SLOT]), 0)
    return builder.EndObject()
