"""The Expressive Leaky Memory neuron (Spieler et al., ICLR 2024), plain and with branches; needs torch."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...kernels.layers.elm import autograd as kernel
from ...kernels.layers.elm.reference import HEIGHT, SLOPE, MemoryNetwork
from .counts import count_linear

State = tuple[Tensor, Tensor]
"""b [B, branches], sums of the synapses of each branch, and m [B, memory]."""


@final
class ELM(nn.Module):
    """One neuron with leaky memories that a small network writes.

        s = k_s s + relu(w) x                              each synapse; k_s = exp(-dt / tau_syn)
        b = sum of s over the synapses of each branch      without branches, each synapse is its own: b = s
        delta = 1.7159 tanh(2/3 MLP([b, k_m m]))           one hidden layer of 2 memory relu units
        m = k_m m + lambda (1 - k_m) delta                 k_m = exp(-dt / tau_mem)
        y = W_y m + offset

    where
        inputs, outputs: numbers of inputs and outputs.
        memory: d_m, the number of memories.
        branches, synapses_per_branch: the form with branches (the paper has 45 of 100 for 1,278 inputs): each branch
            sums a window of neighbouring inputs. Windows are spread evenly, and overlap if there are more synapses than
            inputs. None: the form without branches.
        windows: [branches, synapses] the input of each synapse, in place of `branches` and `synapses_per_branch`; see
            `interlocked_windows`.
        valid: [branches, synapses] false for synapses that do not exist; None: all exist.
        dt: step, s.
        tau_syn: synaptic time constant, s.
        tau_min, tau_max: bounds of tau_mem, s; it starts log-spaced between them.
        train_tau: train tau_mem; a sigmoid keeps it within its bounds.
        gain: lambda.
        weight: first w of each synapse.
        seed: key of the first weights.

    All synapses leak alike. So one product for all steps computes the sums of the branches and their input to the
    hidden layer, and only its result leaks; `kernels.layers.elm` runs the rest. `reference` computes the equations step
    by step.

    Raises:
        NeurosimInputError: on construction, naming the argument and its rule.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        memory: int = 100,
        *,
        branches: int | None = None,
        synapses_per_branch: int | None = None,
        dt: float = 1e-3,
        tau_syn: float = 5e-3,
        tau_min: float = 1e-3,
        tau_max: float = 0.5,
        train_tau: bool = False,
        gain: float = 5.0,
        weight: float = 0.5,
        seed: int = 0,
        windows: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> None:
        super().__init__()
        _check_counts({"inputs": inputs, "outputs": outputs, "memory": memory})
        _check_values({"dt": dt, "tau_syn": tau_syn, "tau_min": tau_min, "gain": gain}, tau_max, weight)
        self.inputs = inputs
        self.gain = gain
        self.dt = dt
        self.tau_min = tau_min
        self.tau_max = tau_max
        self.decay = math.exp(-dt / tau_syn)
        self.windows: Tensor
        self.valid: Tensor | None
        self.branched = windows is not None or branches is not None
        if windows is None:
            require(valid is None, "ELM.valid", "must come with windows", "valid alone")
            windows = _windows(inputs, branches, synapses_per_branch)
        else:
            alone = branches is None and synapses_per_branch is None
            require(alone, "ELM.windows", "must come without branches and synapses_per_branch", "both")
            _check_windows(windows, valid, inputs)
        self.register_buffer("windows", windows, persistent=False)
        self.register_buffer("valid", valid, persistent=False)
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.full(windows.shape, float(weight)))
        self.hidden = _linear(len(windows) + memory, 2 * memory, generator)
        self.proposal = _linear(2 * memory, memory, generator)
        self.output = _linear(memory, outputs, generator)
        # Log-spaced, and inside the open interval that a sigmoid reaches.
        places = (torch.arange(memory) + 0.5) / memory
        tau = torch.exp(math.log(tau_min) + places * math.log(tau_max / tau_min))
        self.raw_tau = nn.Parameter(torch.logit((tau - tau_min) / (tau_max - tau_min)), requires_grad=train_tau)

    @property
    def tau_mem(self) -> Tensor:
        """[memory] s."""
        return self.tau_min + (self.tau_max - self.tau_min) * torch.sigmoid(self.raw_tau)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return y [T, B, outputs] and the last state for x [T, B, inputs]; also without B.

        Raises:
            NeurosimInputError: x of another size, or without steps.
        """
        if x.ndim == 2:
            batch_state = None if state is None else (state[0][None], state[1][None])
            y, (b, m) = self(x[:, None], batch_state)
            return y[:, 0], (b[0], m[0])
        b, m = self._start(x, state)
        to_branches = self._gather()
        from_branch, from_memory = self._from()
        # All synapses leak alike: their input to the hidden layer leaks in their place.
        drive = kernel.leak(x @ self._way(to_branches).T, self.decay, b @ from_branch.T) + self.hidden.bias
        keep = torch.exp(-self.dt / self.tau_mem)
        network = MemoryNetwork(
            keep=keep,
            gain=self.gain * (1 - keep),
            inner=from_memory.T,
            outer=self.proposal.weight.T,
            bias=self.proposal.bias,
        )
        memories = kernel.memory(drive, network, m)
        return self.output(memories), (self._leaked(x, b, to_branches), memories[-1])

    @torch.no_grad()
    def folded(self) -> dict[str, Tensor]:
        """Return the weights as `dendrites.ELMUnits` takes them: synapses, branches and hidden layer in one matrix."""
        keep = torch.exp(-self.dt / self.tau_mem)
        _, from_memory = self._from()
        return {
            "decay": torch.tensor(self.decay, dtype=torch.float64),
            "rows": self._way(self._gather()).T,
            "hidden_bias": self.hidden.bias,
            "keep": keep,
            "gain": self.gain * (1 - keep),
            "bias": self.proposal.bias,
            "inner": from_memory.T,
            "outer": self.proposal.weight.T,
            "readout": self.output.weight,
            "offset": self.output.bias,
        }

    @torch.no_grad()
    def work(self, x: Tensor) -> list[LayerCounts]:
        """Return the work of x [T, B, inputs] by product, with the weights of `folded`, as the engine runs it.

        Inputs select rows into the leaky sums of the hidden layer, memories act on the hidden layer, active hidden
        units on the memories, and memories are read out; an entry of 0 costs nothing.

        Raises:
            NeurosimInputError: as `forward`.
        """
        self._start(x, None)
        f = self.folded()
        steps = []
        width, size = f["inner"].T.shape
        drive = x.new_zeros(x.shape[1], width)
        m = x.new_zeros(x.shape[1], size)
        for now in x:
            # As the engine's step: the leak of synapses acts on their sum, for all have one time constant.
            drive = self.decay * drive + now @ f["rows"]
            decayed = f["keep"] * m
            h = torch.relu(drive + f["hidden_bias"] + decayed @ f["inner"])
            m = decayed + f["gain"] * HEIGHT * torch.tanh(SLOPE * (h @ f["outer"] + f["bias"]))
            steps.append((drive, decayed, h, m))
        drives, decays, hidden, memories = (torch.stack(values) for values in zip(*steps, strict=True))
        y = memories @ f["readout"].T + f["offset"]
        return [
            count_linear("synapses", f["rows"].T, x=x, out=hidden, states=drives[:, None], bias=width),
            count_linear("memory to hidden", f["inner"].T, decays, hidden),
            count_linear(
                "memory", f["outer"].T, x=hidden, out=memories, states=memories[:, None], bias=3 * size, events=False
            ),
            count_linear("readout", f["readout"], memories, y, bias=len(f["offset"])),
        ]

    def reference(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the result of `forward` for x [T, B, inputs] by the definition: one synapse and one step at a time."""
        b, m = self._start(x, state)
        keep = torch.exp(-self.dt / self.tau_mem)
        # The first sum of a branch may lie on any of its synapses.
        s = torch.zeros(x.shape[1], *self.windows.shape, dtype=x.dtype, device=x.device)
        s[..., 0] += b
        outputs = []
        for now in x:
            # s = k_s s + relu(w) x
            s = self.decay * s + self._strengths() * now[:, self.windows]
            # [b, k_m m]
            hidden_input = torch.cat([s.sum(dim=-1), keep * m], dim=1)
            delta = HEIGHT * torch.tanh(SLOPE * self.proposal(torch.relu(self.hidden(hidden_input))))
            m = keep * m + self.gain * (1 - keep) * delta
            outputs.append(self.output(m))
        return torch.stack(outputs), (s.sum(dim=-1), m)

    def _start(self, x: Tensor, state: State | None) -> State:
        require(x.ndim == 3 and len(x) > 0, "ELM.forward", "needs x [T, B, inputs] with T > 0", tuple(x.shape))
        require(x.shape[2] == self.inputs, "ELM.forward", f"needs {self.inputs} inputs", x.shape[2])
        if state is not None:
            return state
        batch = x.shape[1]
        return x.new_zeros(batch, len(self.windows)), x.new_zeros(batch, len(self.raw_tau))

    def _gather(self) -> Tensor:
        """Return [branches, inputs] weights of inputs into branches; without branches the diagonal, [inputs]."""
        strengths = self._strengths()
        if not self.branched:
            return strengths[:, 0]
        # An input may have several synapses in a window: their weights add up.
        return strengths.new_zeros(len(self.windows), self.inputs).scatter_add(1, self.windows, strengths)

    def _strengths(self) -> Tensor:
        """Return [branches, synapses] relu(w), 0 where there is no synapse."""
        strengths = torch.relu(self.weight)
        if self.valid is None:
            return strengths
        return strengths * self.valid

    def _from(self) -> tuple[Tensor, Tensor]:
        """Return the weights of the hidden layer, [hidden, branches] and [hidden, memory]."""
        from_branch, from_memory = self.hidden.weight.split([len(self.windows), len(self.tau_mem)], dim=1)
        return from_branch, from_memory

    def _way(self, to_branches: Tensor) -> Tensor:
        """Return [hidden, inputs], the weights from the inputs to the hidden layer."""
        from_branch, _ = self._from()
        if to_branches.ndim == 2:
            return from_branch @ to_branches
        return from_branch * to_branches

    def _leaked(self, x: Tensor, b: Tensor, to_branches: Tensor) -> Tensor:
        """Return [B, branches] sums of the branches after the last step."""
        # b_T = k_s^T b_0 + sum over t of k_s^(T - 1 - t) x_t
        ages = torch.arange(len(x) - 1, -1, -1, dtype=x.dtype, device=x.device)
        traces = torch.einsum("t,tbi->bi", self.decay**ages, x)
        if to_branches.ndim == 2:
            new = traces @ to_branches.T
        else:
            new = traces * to_branches
        return self.decay ** len(x) * b + new


def _windows(inputs: int, branches: int | None, each: int | None) -> Tensor:
    """Return [branches, synapses of a branch] the input of each synapse."""
    if branches is None and each is None:
        return torch.arange(inputs)[:, None]
    for name, value in {"branches": branches, "synapses_per_branch": each}.items():
        good = isinstance(value, int) and value > 0
        require(good, f"ELM.{name}", "must be an integer > 0, as both or neither are given", value)
    assert branches is not None and each is not None  # checked above
    require(each <= inputs, "ELM.synapses_per_branch", f"must be <= {inputs} inputs", each)
    starts = torch.linspace(0, inputs - each, branches).round().long()
    return starts[:, None] + torch.arange(each)


def _check_counts(counts: dict[str, int]) -> None:
    for name, number in counts.items():
        require(isinstance(number, int) and number > 0, f"ELM.{name}", "must be an integer > 0", number)


def _check_values(values: dict[str, float], tau_max: float, weight: float) -> None:
    for name, value in values.items():
        require(0 < value < math.inf, f"ELM.{name}", "must be finite and > 0", value)
    tau_min = values["tau_min"]
    require(tau_min < tau_max < math.inf, "ELM.tau_max", f"must be > tau_min {tau_min} s and finite", tau_max)
    require(0 < weight < math.inf, "ELM.weight", "must be > 0: a synapse at 0 learns nothing", weight)


def _check_windows(windows: Tensor, valid: Tensor | None, inputs: int) -> None:
    integer = windows.dim() == 2 and windows.numel() > 0 and windows.dtype == torch.int64
    require(integer, "ELM.windows", "must be int64 [branches, synapses]", (windows.dtype, tuple(windows.shape)))
    low = int(windows.min())
    high = int(windows.max())
    require(low >= 0 and high < inputs, "ELM.windows", f"must be >= 0 and < {inputs}, the inputs", (low, high))
    if valid is not None:
        fits = valid.shape == windows.shape and valid.dtype == torch.bool
        require(fits, "ELM.valid", f"must be bool {list(windows.shape)}", (valid.dtype, tuple(valid.shape)))


def interlocked_windows(inputs: int = 1278, branches: int = 45, synapses: int = 100) -> tuple[Tensor, Tensor]:
    """Return windows and valid [branches, synapses] of `ELM` as published for NeuronIO (Spieler et al. 2024).

    Inputs of the first half (excitatory) and of the second (inhibitory) take turns: 0, half, 1, half + 1, .. . Windows
    of that order begin every ceil(inputs / branches), so that neighbours overlap; synapses beyond the last input are
    not there.

    Raises:
        NeurosimInputError: an odd number of inputs, or windows that end before the first input of the next.
    """
    require(inputs > 0 and inputs % 2 == 0, "interlocked_windows.inputs", "must be even and > 0", inputs)
    stride = -(-inputs // branches)
    rule = f"must be >= {stride}, so that no input is left out"
    require(synapses >= stride, "interlocked_windows.synapses", rule, synapses)
    places = stride * torch.arange(branches)[:, None] + torch.arange(synapses)
    valid = places < inputs
    places = places.clamp(max=inputs - 1)
    return places // 2 + (places % 2) * (inputs // 2), valid


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer that starts as torch's, uniform in +- 1 / sqrt(inputs), drawn from `generator`."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for p in layer.parameters():
            p.uniform_(-1, 1, generator=generator).div_(math.sqrt(inputs))
    return layer
