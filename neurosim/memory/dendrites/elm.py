"""A trained Expressive Leaky Memory neuron (Spieler et al., ICLR 2024) as a windowed population: events select rows of
weights, and a small network writes leaky memories once a window. `learning.layers.elm.ELM` trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...base.rules import Rule, check_rules
from ...network.windowed import Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of

if TYPE_CHECKING:
    from typing import Protocol

    class Tensor(Protocol):
        """Methods of a torch tensor that are used here."""

        def detach(self) -> Tensor: ...
        def numpy(self) -> NDArray[Any]: ...

    class TrainedELM(Protocol):
        """Attributes of a `learning.layers.elm.ELM` that are used here."""

        dt: float

        def folded(self) -> Mapping[str, Tensor]: ...


@final
@dataclass(frozen=True, eq=False)
class ELMUnits(WindowModel):
    """The neuron of `learning.layers.elm.ELM` with its trained weights, one window being one step of `dt`.

        d = k_s d + sum of rows[i] over the events of input i       drive of the hidden layer by the branches
        h = relu(d + hidden_bias + (keep m) inner)
        m = keep m + gain 1.7159 tanh(2/3 (h outer + bias))
        y = readout m + offset

    The synapses leak alike, so their weights, the sums of the branches and the way into the hidden layer are one matrix
    `rows`. A unit stands for an output; the unit of the largest y spikes at the end of each window. Readings are y.

    Attributes:
        dt: s, the step it was trained with: the window of its population.
        decay: k_s, of the synapses in a step.
        rows: [inputs, hidden].
        hidden_bias: [hidden].
        keep, gain, bias: [memory].
        inner: [memory, hidden]; outer: [hidden, memory].
        readout: [outputs, memory]; offset: [outputs].

    Raises:
        NeurosimInputError: on construction, where shapes do not fit together or a value is not finite.
    """

    dt: Annotated[float, Rule("> 0 s")]
    decay: Annotated[float, Rule(">= 0 and < 1")]
    rows: NDArray[Any]
    hidden_bias: NDArray[Any]
    keep: NDArray[Any]
    gain: NDArray[Any]
    bias: NDArray[Any]
    inner: NDArray[Any]
    outer: NDArray[Any]
    readout: NDArray[Any]
    offset: NDArray[Any]

    def __post_init__(self) -> None:
        check_rules(self)
        for name in self._array_names():
            array = np.ascontiguousarray(getattr(self, name), np.float32)
            require(bool(np.isfinite(array).all()), f"ELMUnits.{name}", "must be finite", "NaN or infinity")
            object.__setattr__(self, name, array)
        require(
            self.rows.ndim == 2 and self.rows.size > 0, "ELMUnits.rows", "must be [inputs, hidden]", self.rows.shape
        )
        hidden = self.rows.shape[1]
        memory = self.keep.size
        outputs = self.offset.size
        shapes = {
            "hidden_bias": (hidden,),
            **dict.fromkeys(("keep", "gain", "bias"), (memory,)),
            "inner": (memory, hidden),
            "outer": (hidden, memory),
            "readout": (outputs, memory),
            "offset": (outputs,),
        }
        # No array may be empty: each has its first dimension > 0.
        for name, shape in shapes.items():
            got = getattr(self, name).shape
            require(got == shape and got[0] > 0, f"ELMUnits.{name}", f"must be {list(shape)}", list(got))

    @classmethod
    def of(cls, elm: TrainedELM) -> ELMUnits:
        """Return a trained `ELM` for a network; its outputs agree with `ELM.forward` to float32 rounding."""
        arrays = {name: tensor.detach().numpy() for name, tensor in elm.folded().items()}
        return cls(elm.dt, float(arrays.pop("decay")), **arrays)

    @classmethod
    def _array_names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls) if field.name not in ("dt", "decay"))

    @property
    def fixed_window(self) -> float:
        return self.dt

    @property
    def receptors(self) -> Mapping[str, int]:
        return {"input": len(self.rows)}

    @property
    def outputs(self) -> int:
        return len(self.offset)

    @property
    def readings(self) -> tuple[str, ...]:
        return tuple(f"y {i}" for i in range(self.outputs))

    def start(self) -> WindowState:
        return _ELMState(self)


@final
class _ELMState(WindowState):
    """An ELM in a network: `drive` [hidden], without the bias, and `memory` [memory]."""

    def __init__(self, model: ELMUnits) -> None:
        self.model = model
        hidden = model.rows.shape[1]
        memory = model.keep.size
        self.drive: NDArray[np.float32] = np.zeros(hidden, np.float32)
        self.memory: NDArray[np.float32] = np.zeros(memory, np.float32)
        self._scratch = np.zeros(hidden, np.float32), np.zeros(memory, np.float32)

    def begin(self) -> None:
        self.drive[:] = 0
        self.memory[:] = 0

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        from ...kernels.layers.elm.cpu import advance
        from ...kernels.layers.elm.reference import MemoryNetwork

        model = self.model
        units, counts = arrivals["input"]
        on = advance(
            self.drive,
            np.float32(model.decay),
            units,
            counts.astype(np.float32),
            model.rows,
            model.hidden_bias,
            MemoryNetwork(keep=model.keep, gain=model.gain, inner=model.inner, outer=model.outer, bias=model.bias),
            self.memory,
            self._scratch,
        )
        # y = readout m + offset, summed by numpy itself: how BLAS rounds may depend on its threads.
        y = (model.readout * self.memory).sum(axis=1) + model.offset
        # Weights read for dense products, and the outer rows of the `on` active hidden units.
        read = model.inner.size + on * model.keep.size + model.readout.size
        return Output(np.array([y.argmax()], np.int32), len(units) * self.drive.size + read, tuple(y.tolist()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"drive": self.drive.copy(), "memory": self.memory.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        limit = float(np.finfo(np.float32).max)
        restored = {
            name: array_of(arrays, name, like=getattr(self, name), low=-limit, high=limit)
            for name in ("drive", "memory")
        }
        for name, array in restored.items():
            getattr(self, name)[...] = array

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        """Count dense products with memory and readout, rows for events, and outer rows for active hidden units."""
        model = self.model
        matrices = (model.rows, model.inner, model.outer, model.readout)
        weights = sum(matrix.size for matrix in matrices)
        return LayerCounts(
            name=name,
            inputs=len(model.rows),
            weights=weights,
            nonzero_weights=sum(int(np.count_nonzero(matrix)) for matrix in matrices),
            weight_bits=32,
            weight_type="float",
            binary_input=False,
            state_bytes=self.drive.nbytes + self.memory.nbytes,
            parameter_bytes=sum(getattr(model, each).nbytes for each in model._array_names()),
            dense_weights=weights,
            **totals.counts(
                outputs=model.outputs,
                dense_operations=weights,
                membranes=model.keep.size,
            ),
        )
