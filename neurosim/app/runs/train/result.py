"""The results of a training."""

from __future__ import annotations

from dataclasses import dataclass

from ..summary import RecordingsResult

NETWORK = "network"
LIQUID = "liquid"


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch of a training.

    Attributes:
        loss, accuracy: on the training recordings, changed as they were for training.
        rate: spikes a unit and step.
        learning_rate: at the end of the epoch.
        validation_loss, validation_accuracy: None without validation.
        seconds: wall-clock.
        layer_seconds: of these in the layers, forward and backward.
    """

    loss: float | None = None
    accuracy: float | None = None
    rate: float | None = None
    learning_rate: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    seconds: float | None = None
    layer_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class MemberResult:
    """One network of several whose scores are summed, or the liquid beside them.

    Attributes:
        kind: "network", or "liquid", of which seed and accuracy alone are known.
        seed: of the network and its training.
        accuracy: on the test recordings, alone.
        best_epoch: the epoch whose network is kept.
        validation_accuracy, validation_samples, validation_speakers: as in `TrainResult`.
    """

    kind: str = NETWORK
    seed: int | None = None
    accuracy: float | None = None
    best_epoch: int | None = None
    validation_accuracy: float | None = None
    validation_samples: int = 0
    validation_speakers: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainResult(RecordingsResult):
    """The results of a training. `history` to `validation_remark` are of the first network, where there are several.

    Attributes:
        parameters: weights and all other trained numbers.
        units: of each layer.
        model: the kind of neuron, or of attention.
        members: the networks, and the liquid, where there are several.
        history: the epochs, the first one first.
        best_epoch: the epoch, counted from 1, whose network is kept.
        stopped_early: whether validation ended the training.
        validation_accuracy, validation_samples: of the kept network; None and 0 without validation.
        validation_speakers: whose recordings it was validated on and not trained on; none where speakers are on both
            sides or unknown.
        validation_remark: what must be known of the validation part, a sentence; "" where it is the usual one.
        engine_accuracy: of the network run event by event: in the engine or, of attention layers, converted into spikes
            and executed bin by bin.
        identical: whether the engine found the spikes of the trained network, one for one; None for attention layers.
        spikes_a_channel: for each input channel of a linear layer and bin, of attention layers in spikes.
    """

    parameters: int | None = None
    units: tuple[int, ...] = ()
    model: str = ""
    members: tuple[MemberResult, ...] = ()
    history: tuple[EpochResult, ...] = ()
    best_epoch: int | None = None
    stopped_early: bool = False
    validation_accuracy: float | None = None
    validation_samples: int = 0
    validation_speakers: tuple[int, ...] = ()
    validation_remark: str = ""
    engine_accuracy: float | None = None
    identical: bool | None = None
    spikes_a_channel: float | None = None
