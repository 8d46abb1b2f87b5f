"""Inputs: random ones of every level in the net's type; an .npy of another type, shape or kind is one line."""

import numpy as np
import pytest

from datasets.console import UserError
from export.stimuli import load_inputs, random_stimuli
from export.tflite_reader import read_tflite
from tests.export.models import Chain


def graph(unsigned: bool = False):
    chain = Chain((1, 6, 5, 2))
    return read_tflite((chain.unsigned(chain.at) if unsigned else chain).quantize().conv(2).content())


def test_random_stimuli_are_the_same_values_in_either_type():
    signed, unsigned = (random_stimuli(graph(kind), 40, 7) for kind in (False, True))
    assert (signed.dtype, unsigned.dtype, signed.shape) == (np.int8, np.uint8, (40, 6, 5, 2))
    np.testing.assert_array_equal(signed.astype(int) + 128, unsigned)
    assert len(np.unique(signed)) > 200
    assert (signed[0] == -128).all()
    assert (signed[-1] == 127).all()
    assert (random_stimuli(graph(), 40, 8) != signed).any()


@pytest.mark.parametrize("shape", [(4, 6, 5, 2), (4, 60)])
def test_rows_of_a_file(tmp_path, shape):
    rows = np.arange(240).astype(np.int8).reshape(shape)
    np.save(tmp_path / "x.npy", rows)
    np.testing.assert_array_equal(load_inputs(tmp_path / "x.npy", graph(), 3), rows.reshape(4, 6, 5, 2)[:3])


@pytest.mark.parametrize(("array", "message"), [
    (np.zeros((2, 60), np.uint8), "holds uint8; input tensor_0 takes int8"),
    (np.zeros((2, 60), np.float32), "holds float32; input tensor_0 takes int8"),
    (np.zeros((2, 5, 6, 2), np.int8), r"has shape \(2, 5, 6, 2\); input tensor_0 takes \(n, 6, 5, 2\)"),
    (np.zeros((0, 60), np.int8), "has no rows; allowed: at least one"),
    (np.int8(3), r"has shape \(\); input tensor_0 takes \(n, 6, 5, 2\)"),
    (np.array([None]), "not an .npy of numbers"),
])
def test_wrong_arrays(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=rf"INPUTS=\S*x.npy: {message}"):
        load_inputs(tmp_path / "x.npy", graph(), 10)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x40\x00{'descr'", b"text", b"PK\x03\x04zip",
                                     b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': '|i1', 'fortran_order': False, "
                                     b"'shape': (99999999999, 60)}".ljust(69) + b"\n"])
def test_what_is_no_npy(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"INPUTS=\S*x.npy: ") as caught:
        load_inputs(tmp_path / "x.npy", graph(), 10)
    assert "\n" not in str(caught.value)


def test_an_npz_and_a_folder(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises(UserError, match="x.npz: not an .npy of numbers"):
        load_inputs(tmp_path / "x.npz", graph(), 10)
    with pytest.raises(UserError, match="Is a directory"):
        load_inputs(tmp_path, graph(), 10)
