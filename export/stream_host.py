"""firmware/stream with one network, compiled for this machine and called by ctypes: the same C, the same events."""

import ctypes
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.console import UserError
from datasets.features import FRAME_LENGTH, HOP_LENGTH, N_FRAMES, SAMPLE_RATE, MfccQuantizer
from export.c_writer import write_c
from export.detector import Detector, check_graph
from export.feature_tables import write_feature_tables
from export.graph import Graph
from export.host import FIRMWARE, KERNEL_FOLDERS, WARNINGS, kernel_sources
from export.op_kernel import KernelOf, portable
from export.runs import input_quantizer
from export.toolchain import host_compiler, run_tool

FOLDERS = tuple(FIRMWARE / name for name in ("features", "host", "stream"))
SOURCES = tuple(FIRMWARE / f"{name}.c" for name in ("features/kws_features", "host/kws_stream_host",
                                                    "host/kws_dot_s8_host", "stream/kws", "stream/kws_decide"))
REPLACED = "kws_dot_s8.c"  # by host/kws_dot_s8_host.c
OPTIMIZATION = ("-O3", "-march=native")  # for hours of audio
EVENT = np.dtype([("time_ms", "<u4"), ("label", "<u2"), ("score", "<u2")])  # kws_event
QUEUE_EVENTS = 8


class _Config(ctypes.Structure):
    """kws_config."""

    _fields_ = [("words", ctypes.c_void_p), ("labels", ctypes.c_uint16), ("frames_per_inference", ctypes.c_uint16),
                ("average_inferences", ctypes.c_uint16), ("refractory_frames", ctypes.c_uint16)]


class _Mfcc(ctypes.Structure):
    """kws_mfcc."""

    _fields_ = [("table", ctypes.c_void_p), ("n_coefficients", ctypes.c_int32), ("shift", ctypes.c_int32),
                ("zero_point", ctypes.c_int32)]


@dataclass(frozen=True)
class Heard:
    """What a stream told. scores: int8 [inferences, labels], of each. events: EVENT [n], in order."""

    scores: np.ndarray
    events: np.ndarray


@dataclass(frozen=True)
class Counters:
    """Of one stream, modulo 2^32."""

    frames: int
    inferences: int
    failures: int
    lost_events: int


def inference_ms(rows: np.ndarray | int, frames_per_inference: int) -> np.ndarray | int:
    """When inference number `rows`, from 0, had heard its last sample, in ms since the stream began."""
    return (FRAME_LENGTH + HOP_LENGTH * (N_FRAMES - 1 + rows * frames_per_inference)) * 1000 // SAMPLE_RATE


@contextmanager
def stream_library(graph: Graph, kernel_of: KernelOf = portable):
    """The StreamLibrary of a net that check_graph takes. UserError where no C compiler works."""
    check_graph(graph)
    with tempfile.TemporaryDirectory(prefix="kws-stream-") as folder:
        write_c(graph, Path(folder), kernel_of=kernel_of)
        path = compile_stream(Path(folder), Path(folder) / "stream.so", ("-shared", "-fPIC", *OPTIMIZATION))
        yield StreamLibrary(path, input_quantizer(graph))


def compile_stream(folder: Path, out: Path, options: tuple[str, ...], more: tuple[Path, ...] = ()) -> Path:
    """firmware/stream with the network.[ch] of `folder`, and the sources `more`, into `out`."""
    write_feature_tables(folder)
    kernels = [path for path in kernel_sources() if path.name != REPLACED]
    sources = [folder / "network.c", folder / "kws_feature_tables.c", *SOURCES, *more, *kernels]
    includes = [f"-I{path}" for path in (folder, *FOLDERS, *KERNEL_FOLDERS)]
    run_tool([host_compiler(), *WARNINGS, *options, *includes, *sources, "-o", out], "the stream for this machine")
    return out


class StreamLibrary:
    """One net's stream. One Stream at a time can be open."""

    def __init__(self, path: Path, quantizer: MfccQuantizer):
        self.c = ctypes.CDLL(str(path))
        for name, kind in (("kws_host_open", ctypes.c_void_p), ("kws_host_poll", ctypes.c_size_t),
                           ("kws_host_decide", ctypes.c_size_t)):
            getattr(self.c, name).restype = kind
        self.table = np.ascontiguousarray(quantizer.table, np.int32)
        self.mfcc = _Mfcc(self.table.ctypes.data, len(self.table), quantizer.shift, quantizer.zero_point)

    def open(self, detector: Detector, rows: int = 0, count_from: int | None = None) -> "Stream":
        """An empty stream that records the scores of its first `rows` inferences. count_from: what its counters
        begin with. UserError where the C refuses the detector."""
        return Stream(self, detector, rows, count_from)

    def hear(self, detector: Detector, samples: np.ndarray, piece: int = SAMPLE_RATE) -> Heard:
        """All of a stream, int16 [n], fed `piece` samples at a time."""
        with self.open(detector, len(samples) // HOP_LENGTH) as stream:
            events = [stream.feed(samples[at:at + piece]) for at in range(0, len(samples), piece)]
            return Heard(stream.recorded(), np.concatenate([np.zeros(0, EVENT), *events]))

    def decide(self, detector: Detector, scores: np.ndarray) -> np.ndarray:
        """The events, EVENT [n], that a stream with these scores, int8 [inferences, labels], tells."""
        config, words = _config(detector)
        history = np.zeros((detector.average_inferences, len(words)), np.int8)
        scores = np.ascontiguousarray(scores, np.int8)
        events = np.zeros(len(scores), EVENT)
        told = self.c.kws_host_decide(ctypes.byref(config), _pointer(history), _pointer(scores),
                                      ctypes.c_size_t(len(scores)), _pointer(events), ctypes.c_size_t(len(events)))
        return events[:told]


class Stream:
    """An open stream; use it in a `with`."""

    def __init__(self, library: StreamLibrary, detector: Detector, rows: int, count_from: int | None):
        self.c = library.c
        self.config, self.words = _config(detector)
        self.scores = np.zeros((rows, len(self.words)), np.int8)
        self.began = count_from or 0
        status = ctypes.c_int()
        handle = self.c.kws_host_open(ctypes.byref(self.config), ctypes.byref(library.mfcc), _pointer(self.scores),
                                      ctypes.c_size_t(rows), ctypes.byref(status))
        if not handle:
            raise UserError(f"the stream refuses its detector: error {status.value} of firmware/stream/kws_decide.h")
        self.handle = ctypes.c_void_p(handle)
        if count_from is not None:
            self.c.kws_host_count_from(self.handle, ctypes.c_uint32(count_from))

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_) -> None:
        self.c.kws_host_close(self.handle)

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """int16 [n], any n; returns the events that then wait, EVENT [n]. UserError where the network refuses."""
        samples = np.ascontiguousarray(samples, np.int16)
        status = self.c.kws_host_feed(self.handle, _pointer(samples), ctypes.c_size_t(len(samples)))
        if status:
            raise UserError(f"the stream fails: error {status} of firmware/stream/kws_decide.h")
        events = np.zeros(QUEUE_EVENTS, EVENT)
        return events[:self.c.kws_host_poll(self.handle, _pointer(events), ctypes.c_size_t(len(events)))]

    def counters(self) -> Counters:
        """As they stand."""
        counters = np.zeros(4, np.uint32)
        self.c.kws_host_counters(self.handle, _pointer(counters))
        return Counters(*counters.tolist())

    def recorded(self) -> np.ndarray:
        """int8 [inferences, labels], the scores so far, as far as there was room."""
        return self.scores[:(self.counters().inferences - self.began) % 2**32]


def _config(detector: Detector) -> tuple[_Config, np.ndarray]:
    """kws_config and the words it points to, uint16 [labels, 2], to be kept as long."""
    words = np.array([(detector.threshold, count) for count in detector.min_counts], np.uint16)
    return _Config(words.ctypes.data, len(words), detector.frames_per_inference, detector.average_inferences,
                   detector.refractory_frames), words


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
