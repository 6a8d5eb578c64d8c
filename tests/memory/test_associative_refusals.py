"""Associative memories after a file, and files, settings and amounts that they refuse by name."""

import warnings

import numpy as np
import pytest
from helpers.patterns import overfull, signs

from neurosim.base import CapacityWarning, NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.memory import DenseHebbian, FastWeights, Hopfield, PairMemory
from neurosim.memory.associative.dense import dense_bit_error
from neurosim.memory.associative.modern import ModernHopfield
from neurosim.memory.associative.pairs import expected_error, keys
from neurosim.memory.associative.tail import tail_run


def test_what_is_too_much_is_said_with_the_recall_to_expect():
    with pytest.warns(CapacityWarning) as said:
        Hopfield.store(signs(0, 20, 100))
        DenseHebbian.store(signs(0, 400, 100), 3)
        FastWeights().memory(8, 1).write(keys("random", 9, 8), np.ones((9, 1)))
    texts = [str(warning.message) for warning in said]
    assert texts == [
        "Hopfield: 20 patterns are more than the 14 that 100 units recall (alpha_c = 0.1379); expected recall: an "
        "overlap of 0 in a large network, where no pattern is a stable state",
        "DenseHebbian: 400 patterns are more than the 362 that 100 units of order 3 recall without error; expected "
        "recall: 0.19% of the bits wrong after one update",
        "PairMemory: 9 pairs are more than the 8 independent keys of this width; expected recall: a mean squared error "
        "of 1 of the values' square with random keys of unit length",
    ]
    assert {warning.filename for warning in said} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Hopfield.store(signs(0, 13, 100))
        DenseHebbian.store(signs(0, 300, 100), 3)
        FastWeights().memory(8, 1).write(keys("random", 8, 8), np.ones((8, 1)))


@overfull
def test_memories_survive_the_file(tmp_path):
    path = tmp_path / "memory.safetensors"
    hopfield = Hopfield.store(signs(0, 3, 20))
    hopfield.save(path)
    assert np.array_equal(Hopfield.load(path).couplings, hopfield.couplings) and Hopfield.load(path).stored == 3
    dense = DenseHebbian.store(signs(0, 3, 20), 4)
    dense.save(path)
    assert np.array_equal(DenseHebbian.load(path).vectors, dense.vectors) and DenseHebbian.load(path).order == 4
    rng = np.random.default_rng(0)
    k = rng.normal(size=(20, 6))
    v = rng.normal(size=(20, 4))
    empty = FastWeights(True, 0.1, 0.5, 0.01).memory(6, 4)
    empty.write(k[:7], v[:7]).save(path)
    after = PairMemory.load(path).write(k[7:], v[7:])
    whole = empty.write(k, v)
    assert np.array_equal(after.weights, whole.weights) and after.stored == 20 and after.rule == empty.rule


@overfull
def test_files_that_hold_no_such_memory_are_refused(tmp_path):
    path = tmp_path / "memory.safetensors"
    Hopfield.store(signs(0, 3, 20)).save(path)
    whole = path.read_bytes()
    with pytest.raises(NeurosimFormatError, match=r"must hold a DenseHebbian \(got Hopfield\); load it"):
        DenseHebbian.load(path)
    path.write_bytes(whole[:-5])
    with pytest.raises(NeurosimFormatError, match="is not a complete neurosim Hopfield file"):
        Hopfield.load(path)
    path.write_bytes(whole[:-9] + b"\x01" + whole[-8:])
    with pytest.raises(NeurosimFormatError, match="do not match its digest"):
        Hopfield.load(path)
    path.write_bytes(whole.replace(b'\\"version\\": 1', b'\\"version\\": 9'))
    with pytest.raises(NeurosimFormatError, match=r"format up to 1 is known \(got 9\); upgrade neurosim"):
        Hopfield.load(path)
    with pytest.raises(NeurosimMissingError, match=r"no such file; give a Hopfield that neurosim saved"):
        Hopfield.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Hopfield.store([[1, 2]]), "patterns: must hold only -1, 0 and 1 (got 2.0)"),
        (lambda: Hopfield.store([1, -1]), "patterns: must be an array [K, N] (got (2,))"),
        (lambda: Hopfield.store([[1] * 9]).add([[1]]), "Hopfield.add: needs patterns of 9 units (got 1)"),
        (lambda: Hopfield.store([[1] * 9]).recall([1]), "recall.cue: must be an array [9] (got (1,))"),
        (lambda: Hopfield.store([[1] * 9]).recall([0] * 9), "recall.cue: must hold only -1 and 1 (got 0.0)"),
        (lambda: Hopfield.store([[1] * 9]).recall([1] * 9, sweeps=0), "recall.sweeps: must be >= 1 (got 0)"),
        (lambda: Hopfield(np.eye(2)), "Hopfield.couplings: must have a zero diagonal (got nonzero entries)"),
        (
            lambda: Hopfield(200),
            "Hopfield.couplings: must be an array [N, N]; Hopfield.store makes it from patterns (got 200)",
        ),
        (
            lambda: DenseHebbian([[1, -1]], 2),
            "DenseHebbian.vectors: must be an array [K, N]; DenseHebbian.store makes it from patterns (got [[1, -1]])",
        ),
        (
            lambda: ModernHopfield(np.zeros(3)),
            "ModernHopfield.patterns: must be an array [K, N]; ModernHopfield.store makes it from patterns (got (3,))",
        ),
        (lambda: DenseHebbian.store([[1, -1]], 1), "DenseHebbian.order: must be >= 2 and <= 1000 (got 1)"),
        # A power takes as many products as its order: a file with 2^53 would never answer.
        (
            lambda: DenseHebbian(np.ones((1, 4)), 2**53),
            "DenseHebbian.order: must be >= 2 and <= 1000 (got 9007199254740992)",
        ),
        (lambda: DenseHebbian.supervised([[1]], [0, 1], 2), "DenseHebbian.supervised: needs 1 labels (got (2,))"),
        (lambda: dense_bit_error(10, 2, 1, quality=0), "dense_bit_error.quality: must be in 0..1, 0 excluded (got 0)"),
        (
            lambda: FastWeights(learning_rate=float("inf")),
            "FastWeights.learning_rate: must be > 0 and finite (got inf)",
        ),
        (lambda: FastWeights(momentum=1.0), "FastWeights.momentum: must be in 0..1, 1 excluded (got 1.0)"),
        (lambda: FastWeights().memory(2, 1).write([[1]], [[1]]), "PairMemory: needs keys [n, 2] (got (1, 1))"),
        (
            lambda: FastWeights().memory(1, 1).write([[1]], [[1, 2]]),
            "PairMemory.write: needs values [1, 1] for these keys (got (1, 2))",
        ),
        (
            lambda: expected_error(FastWeights(True, momentum=0.5), 3, 3),
            "expected_error: has no formula for the delta rule with momentum (got 0.5)",
        ),
        (lambda: keys("odd", 3, 3), "keys: unknown name 'odd'; choose from orthogonal, random"),
        (lambda: tail_run("muon", 0), "tail_run.ratio: must be in 0..1, 0 excluded (got 0)"),
        (
            lambda: tail_run("mun", 1),
            "tail_run.optimizer: unknown name 'mun'; did you mean 'muon'? choose from adam, gradient, muon, muon-ns, "
            "sign",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value) == message
