"""The work of a pipeline's run: recordings are learned one after the other, then tested with all learning off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....data.spikes import Spikes
from ....engine.batch import simulate
from ....engine.result import Result
from ..data import Splits
from ..frame.folder import RunFolder
from ..frame.options import RunOptions
from ..frame.progress import bar
from .config import PipelineConfig
from .inputs import PipelineInputs
from .plan import Piece, Plan
from .progress import NO_ANSWER, Learned, PipelineProgress, Tested


class Pipeline(NamedTuple):
    """A pipeline with its recordings."""

    config: PipelineConfig
    splits: Splits
    plan: Plan
    threads: int | None

    def run(self, folder: RunFolder, options: RunOptions) -> PipelineProgress:
        """Learn and test all recordings, from the last save in the folder on; a save follows every piece.

        Raises:
            NeurosimError: as `simulate`, or a disk that refuses.
            KeyboardInterrupt: the last save stays.
        """
        plan = self.plan
        digest = self.plan.digest()
        progress = PipelineProgress.load(folder.path, digest, plan.tests, len(plan.test))
        pieces = list(plan.pieces())
        total = sum(len(p.indices) for p in pieces)
        done = sum(len(p.indices) for p in pieces[: progress.done])
        with bar(f"running {self.config.network.name}", "recordings", options.quiet) as report:
            for piece in pieces[progress.done :]:
                progress = self.after(progress, piece)
                progress.save(folder.path, digest)
                done += len(piece.indices)
                if report is not None:
                    report(done, total)
        return progress

    def after(self, progress: PipelineProgress, piece: Piece) -> PipelineProgress:
        """Return the progress after one more piece."""
        done = progress.done + 1
        result = self.simulate(progress.learned, piece)
        if piece.learn:
            return replace(progress, done=done, learned=result.learned)
        # Test recordings have the first trial numbers of the run, in their order.
        first = piece.trial - self.plan.trial
        predicted = progress.predicted.copy()
        predicted[piece.test, first : first + len(piece.indices)] = self.answers(result)
        # Only the last test is reported, so that each begins its counts anew.
        before = Tested() if piece.begins else progress.tested
        tested = before.plus(result)
        return replace(progress, done=done, predicted=predicted, tested=tested)

    def simulate(self, learned: Learned, piece: Piece) -> Result:
        """Run a piece on what was learned before: with labels to learn, or without."""
        config = self.config
        settings = self.config.description.settings
        learn = piece.learn
        recordings = (self.splits.train if learn else self.splits.test).select(piece.indices)
        return simulate(
            config.description.network.with_learned(learned, learn=learn),
            PipelineInputs(config).of(recordings, labelled=learn, announced=learn and piece.begins),
            clock=settings.clock,
            seed=settings.seed,
            trial=piece.trial,
            threads=self.threads,
            precision=settings.precision,
            record=() if learn else self.recorded(),
            count_updates=settings.count_updates and not learn,
        )

    def recorded(self) -> Sequence[str] | None:
        """Return the populations whose spikes a test keeps; None: all of neurons and windowed ones."""
        chosen = self.config.description.settings.record
        if chosen is None:
            return None
        return tuple(dict.fromkeys([*chosen, self.config.data.readout]))

    def answers(self, result: Result) -> NDArray[np.int64]:
        """Return [recordings] the class that the readout gives each: the lowest unit of its last code."""
        codes = result.recordings(self.config.data.readout)
        units = np.array([_last_code(spikes) for spikes in codes], np.int64)
        # A readout may have more units than there are classes.
        return np.where(units < len(self.splits.test.classes), units, NO_ANSWER)


def _last_code(spikes: Spikes) -> int:
    """Return the lowest unit that spikes at the last time with spikes."""
    if not len(spikes):
        return NO_ANSWER
    return int(spikes.units[spikes.times == spikes.times[-1]].min())
