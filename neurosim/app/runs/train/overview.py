"""Overview of a training: how it went, its accuracy, and what the network costs when it runs event by event."""

from __future__ import annotations

from itertools import compress

from ....base.measure.work import LayerCounts
from ....learning.training.specs import GRID_NAMES
from ...report import numbers
from ..data import spread
from ..frame.facts import (
    Fact,
    Overview,
    Table,
    accuracy,
    all_of,
    baselines,
    digest,
    energies,
    named,
    operations,
    some_of,
    sparsity,
    speed,
)
from .result import LIQUID, NETWORK, EpochResult, MemberResult, TrainResult

MAX_ROWS = 12  # epochs in the table: the first, the best, the last, and some between
EPOCHS = ("Epoch", "Loss", "Accuracy", "Validation loss", "Validation accuracy", "Seconds")
# "Of": the number of recordings behind the validation accuracy, and their speakers.
MEMBERS = ("Network", "Seed", "Test accuracy", "Validation accuracy", "Of", "Epoch kept")
# "Fewer": how many times fewer operations than the same layer dense.
LAYERS = ("Layer", "Units", "Silent outputs", "Operations", "Dense", "Fewer")


def overview_of(result: TrainResult) -> Overview:
    """Return what page and terminal show of a run."""
    layers = result.measures.layers if result.measures else ()
    return Overview(
        title=f"{named(result.title, result.dataset, 'A dataset')}: {_network(result)}",
        lead=_lead(result),
        facts=_facts(result),
        tables={
            "epochs": _epochs(result),
            "members": Table(
                "Each network alone", MEMBERS, [_member(k, each) for k, each in enumerate(result.members, start=1)]
            ),
            "layers": Table("Layers, over all test recordings", LAYERS, [_layer(layer) for layer in layers]),
        },
    )


def _network(result: TrainResult) -> str:
    """Return the network in words, for a title."""
    units = numbers.plain(sum(result.units))
    if result.spikes_a_channel is not None:
        return f"attention layers ({result.model}) in spikes"
    if result.model in GRID_NAMES:
        return f"layers over pixels ({result.model})"
    if result.model == "ELM":
        return f"an ELM neuron of {units} memories"
    if result.units:
        return f"{units} trained spiking neurons"
    return "a trained network"


def _lead(result: TrainResult) -> list[str]:
    units = " and ".join(map(numbers.plain, result.units))
    early = ", stopped early" if result.stopped_early else ""
    validated = f"validated on {numbers.plain(result.validation_samples)}{strangers(result)}"
    lead = {
        f"{result.model} in layers of {units}, {numbers.plain(result.parameters)} weights": result.units,
        f"trained on {some_of(result.train_samples, result.train_size)} recordings": result.train_samples,
        f"for {len(result.history)} epochs{early}, of which epoch {result.best_epoch} is kept": result.history,
        validated: result.validation_samples,
        result.validation_remark: result.validation_remark,
        f"tested once on {some_of(result.samples, result.size)} of “{result.split}”": result.samples,
        f"where the liquid answers the recordings of each {result.transductive} together": result.transductive,
        all_of(result.train_size, result.size): True,
    }
    return [words for words, known in lead.items() if known]


def _facts(result: TrainResult) -> list[Fact]:
    attention = result.spikes_a_channel is not None
    pixels = result.model in GRID_NAMES
    measures = result.measures
    rate = numbers.three(None if measures is None else measures.spikes_per_neuron_second)
    return [
        accuracy(result, result.samples),
        *_other_form(result),
        *([] if attention or pixels else [sparsity(measures, f"{rate} spikes per neuron and second")]),
        operations(measures),
        *energies(result.energy),
        *_validation(result),
        *baselines(result.baselines, result.cnn),
        speed(result.real_time_factor).below(),
        Fact(label="Spikes", value=result.spikes, format=numbers.si, note="of all layers", tile=False),
        digest("Spike digest", result.spike_digest),
    ]


def _other_form(result: TrainResult) -> list[Fact]:
    """Return the accuracy of the network run as events, if it has such a form."""
    if result.model in GRID_NAMES:
        return []
    if result.spikes_a_channel is not None:
        return [_in_spikes(result)]
    return [_event_by_event(result)]


def _validation(result: TrainResult) -> list[Fact]:
    if result.validation_accuracy is None:
        return []
    return [Fact(label="Validation", value=result.validation_accuracy, format=numbers.percent, tile=False)]


def _in_spikes(result: TrainResult) -> Fact:
    note = f"converted, bin by bin; {numbers.three(result.spikes_a_channel)} spikes a channel"
    return Fact(label="In spikes", value=result.engine_accuracy, format=numbers.percent, note=note)


def _event_by_event(result: TrainResult) -> Fact:
    notes = {
        True: "spike for spike the trained network",
        False: "not the trained network's spikes, one for one",
        None: "not recorded",
    }
    note = notes[result.identical]
    return Fact(label="Event by event", value=result.engine_accuracy, format=numbers.percent, note=note)


def _epochs(result: TrainResult) -> Table:
    """Return some epochs, the one that is kept among them; without validation, without its columns."""
    history = result.history
    best = result.best_epoch or 0
    # Evenly from the first to the last, and the best among them.
    chosen = sorted(k for k in {*spread(len(history), MAX_ROWS).tolist(), best - 1} if 0 <= k < len(history))
    rows = [_epoch(k + 1, history[k], is_best=k + 1 == best) for k in chosen]
    validated = any(epoch.validation_accuracy is not None for epoch in history)
    shown = [validated or "Validation" not in head for head in EPOCHS]
    heads = tuple(compress(EPOCHS, shown))
    return Table("Epochs", heads, [tuple(compress(row, shown)) for row in rows])


def _epoch(number: int, epoch: EpochResult, *, is_best: bool) -> tuple[str, ...]:
    return (
        f"{number}, kept" if is_best else f"{number}",
        numbers.plain(epoch.loss),
        numbers.percent(epoch.accuracy),
        numbers.plain(epoch.validation_loss),
        numbers.percent(epoch.validation_accuracy),
        numbers.three(epoch.seconds),
    )


def _member(number: int, member: MemberResult) -> tuple[str, ...]:
    return (
        f"{number}" if member.kind == NETWORK else member.kind,
        numbers.plain(member.seed),
        numbers.percent(member.accuracy),
        numbers.percent(member.validation_accuracy),
        f"{numbers.plain(member.validation_samples)}{strangers(member)}",
        numbers.plain(member.best_epoch),
    )


def _layer(layer: LayerCounts) -> tuple[str, ...]:
    """Return how active a layer is, and how many times fewer operations than a dense one it has."""
    done = layer.synaptic_operations
    dense = layer.dense_operations
    silent = None
    if layer.output_entries and layer.spiking:
        silent = 1 - (layer.output_events or 0) / layer.output_entries
    return (
        layer.name,
        numbers.plain(layer.outputs),
        numbers.percent(silent, 2),
        numbers.si(done),
        numbers.si(dense),
        numbers.times(dense / done) if done and dense else numbers.DASH,
    )


def members_of(result: TrainResult) -> str:
    """Return in words whose scores are summed."""
    liquid = any(member.kind == LIQUID for member in result.members)
    if liquid:
        kinds = " networks, one of them a liquid,"
    else:
        kinds = " networks"
    return f"Scores of {len(result.members)}{kinds} are summed"


def strangers(result: TrainResult | MemberResult) -> str:
    """Return whose recordings were validated on, where these speakers are not trained on."""
    speakers = result.validation_speakers
    whose = f"; speaker{'s' if len(speakers) > 1 else ''} {', '.join(map(str, speakers))}, not trained on"
    return whose if speakers else ""
