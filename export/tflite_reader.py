"""An int8 .tflite, ours or not, to a Graph: the file, then the rules of each operator (export.operators)."""

from pathlib import Path

from datasets.console import UserError
from export.graph import Graph, Op
from export.operators import OPERATORS
from export.operators.operator import Call, Operator, check
from export.tflite_file import RawOp, TfliteFile, parse_tflite, read_options

SHAPE_OPS = ("SHAPE", "STRIDED_SLICE", "PACK")


def read_tflite(source: Path | bytes) -> Graph:
    """The Graph of a .tflite file or of its bytes. UserError names the op, the tensor and the rule where it holds
    something that is not supported, and says so where it is damaged."""
    name, content = _content(source)
    try:
        file = parse_tflite(content)
        ops = tuple(_op(op, file) for op in without_shape_arithmetic(file.ops))
        graph = Graph(file.tensors, ops, file.inputs, file.outputs, file.sha256, file.metadata)
        check_graph(graph)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    return graph


def _content(source: Path | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes | bytearray):
        return "model", bytes(source)
    try:
        return str(source), Path(source).read_bytes()
    except OSError as error:
        raise UserError(f"{source}: {error.strerror}; MODEL is an int8 .tflite") from error


def without_shape_arithmetic(ops: tuple[RawOp, ...]) -> tuple[RawOp, ...]:
    """The ops without those of SHAPE_OPS that only tell a RESHAPE its shape: it stands in the output tensor anyway.
    Keras writes them for a Flatten or Reshape of a net whose batch is left open."""
    shapes = {op.inputs[1] for op in ops if op.kind == "RESHAPE" and len(op.inputs) > 1}
    kept = []
    for op in reversed(ops):
        if op.kind in SHAPE_OPS and shapes.issuperset(op.outputs):
            shapes.update(op.inputs)
        else:
            kept.append(op)
    return tuple(reversed(kept))


def _op(raw: RawOp, file: TfliteFile) -> Op:
    if raw.kind not in OPERATORS:
        raise UserError(f"op {raw.index} {raw.kind}: not supported; allowed: {', '.join(OPERATORS)}")
    call = _call(raw, OPERATORS[raw.kind], file)
    check(call, OPERATORS[raw.kind].rules)
    return OPERATORS[raw.kind].read(call)


def _call(raw: RawOp, operator: Operator, file: TfliteFile) -> Call:
    least, most = operator.inputs
    if not least <= len(raw.inputs) <= most or len(raw.outputs) != 1 or raw.outputs[0] < 0:
        raise UserError(f"{raw.where}: has {len(raw.inputs)} inputs and {len(raw.outputs)} outputs; allowed: "
                        f"{least if least == most else f'{least} or {most}'} and 1")
    tensors = tuple(None if i < 0 else file.tensors[i] for i in raw.inputs)
    return Call(raw, read_options(raw, operator.options), tensors, operator.activations, file.tensors[raw.outputs[0]])


def check_graph(graph: Graph) -> None:
    """One input, one output, each tensor written once and before it is read."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1 or not graph.ops or min(*graph.inputs, *graph.outputs) < 0:
        raise UserError(f"{len(graph.inputs)} inputs, {len(graph.outputs)} outputs, {len(graph.ops)} ops; "
                        "allowed: one input, one output, at least one op")
    known = {graph.inputs[0]}
    for op in graph.ops:
        for i in op.inputs:
            if i >= 0 and graph.tensors[i].data is None and i not in known:
                raise UserError(f"{op.kind}: tensor {graph.tensors[i].name}: is read before it is written")
        if op.outputs[0] in known:
            raise UserError(f"{op.kind}: tensor {graph.result(op).name}: is written twice")
        known.update(op.outputs)
    if graph.outputs[0] not in known - {graph.inputs[0]}:
        raise UserError(f"tensor {graph.output.name}: the output is never written")
