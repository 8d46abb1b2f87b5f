"""The table of operators: one module each. docs/operators.md is written from it (python -m export.operators)."""

from export.operators.add import ADD
from export.operators.average_pool_2d import AVERAGE_POOL_2D
from export.operators.conv_2d import CONV_2D
from export.operators.depthwise_conv_2d import DEPTHWISE_CONV_2D
from export.operators.fully_connected import FULLY_CONNECTED
from export.operators.max_pool_2d import MAX_POOL_2D
from export.operators.mean import MEAN
from export.operators.operator import Operator
from export.operators.pad import PAD
from export.operators.quantize import QUANTIZE
from export.operators.relu import RELU, RELU6
from export.operators.reshape import RESHAPE
from export.operators.softmax import SOFTMAX

OPERATORS: dict[str, Operator] = {operator.kind: operator for operator in (
    CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, AVERAGE_POOL_2D, MAX_POOL_2D, MEAN, ADD, PAD, RELU, RELU6, RESHAPE,
    SOFTMAX, QUANTIZE)}
