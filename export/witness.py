"""The independent witnesses: TFLite Micro itself, and ONNX Runtime on the model that export.onnx_writer writes."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime

from datasets.console import UserError, progress
from datasets.parallel import cores

BATCH = 256
ARENA_BYTES = (4 << 20, 64 << 20, 512 << 20)  # the first that is enough is taken


def tflm_runtime():
    """tflite_micro.runtime. UserError where there is no such package: it comes for few platforms."""
    try:
        from tflite_micro import runtime
    except ImportError as error:
        raise UserError(f"TFLite Micro is not there ({error}); pip install tflite-micro, where PyPI has it for this "
                        "platform") from error
    return runtime


def tflm_scores(tflite: bytes, inputs: np.ndarray) -> np.ndarray:
    """[n, outputs] by TFLite Micro (PyPI tflite-micro), of the model's output type; inputs [n, ...], its input's type
    and shape behind n. UserError where the package is missing or cannot take the model."""
    interpreter = _tflm_interpreter(bytes(tflite))
    details, output = interpreter.get_input_details(0), interpreter.get_output_details(0)
    shape = tuple(details["shape"])
    scores = []
    for clip in progress(np.asarray(inputs, details["dtype"]), "TFLite Micro", unit="clip"):
        interpreter.set_input(clip.reshape(shape), 0)
        interpreter.invoke()
        scores.append(interpreter.get_output(0).ravel())
    return np.array(scores, output["dtype"])


def _tflm_interpreter(tflite: bytes):
    runtime = tflm_runtime()
    for arena_bytes in ARENA_BYTES:
        try:
            return runtime.Interpreter.from_bytes(tflite, arena_size=arena_bytes)
        except RuntimeError as error:
            reason = error
    raise UserError(f"TFLite Micro cannot take this model ({reason}); its arena has at most {ARENA_BYTES[-1]} bytes")


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A CPU session; silent but for errors."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = cores()
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_scores(model: onnx.ModelProto, inputs: np.ndarray) -> np.ndarray:
    """[n, outputs] of a model written by export.onnx_writer; inputs [n, ...] in its input's type and size."""
    run = session(model)
    shape = run.get_inputs()[0].shape[1:]
    batches = progress(_batches(inputs), "ONNX Runtime", total=-(-len(inputs) // BATCH), unit="batch")
    scores = [run.run(None, {"input": batch.reshape(-1, *shape)})[0] for batch in batches]
    return np.concatenate(scores).reshape(len(inputs), -1)


def _batches(inputs: np.ndarray) -> Iterator[np.ndarray]:
    return (inputs[start:start + BATCH] for start in range(0, len(inputs), BATCH))
