"""Runs of language models: converted into spikes, the curve of a conversion, a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ....base.errors import NeurosimInputError
from ....base.schema import Schema
from ..frame.folder import RunFolder
from ..frame.kind import Inputs, Kind, Run
from ..frame.options import RunOptions
from .measured import MeasuredCurve, measured_curve
from .result import ConvertResult

if TYPE_CHECKING:
    from ....learning.training.parallel import Team
    from .config import ConvertConfig, LmConfig
    from .source import ConversionSource
    from .text import TrainingText

C = TypeVar("C")
T = TypeVar("T")


def noted_model(folder: RunFolder) -> Path:
    """Return the folder of the model that a run read.

    Raises:
        NeurosimInputError: the manifest does not name it, for the run was killed before it began.
    """
    model = (folder.manifest.data or {}).get("model")
    if not isinstance(model, str):
        raise NeurosimInputError(f"{folder.path}: does not say which model it read; {folder.rerun_hint}")
    return Path(model)


class ConvertKind(Kind[C, T, ConvertResult]):
    """The part of these runs that does not depend on the command; their results have a class for each command."""

    name = "convert"
    result = ConvertResult
    heading = ("network", "seed")

    def of(self, folder: RunFolder) -> Any:
        """Return the kind of the command that the manifest notes."""
        # All three commands write the kind "convert"; the manifest's `command_kind` tells them apart. A kind that has
        # arguments already, such as the folder of a model, stays itself.
        own = KINDS.get(str(folder.manifest.facts.get("command_kind")), type(self))
        return self if isinstance(self, own) else own()

    def template(self, result: ConvertResult) -> str:
        return TEMPLATES.get(result.command_kind, "page.html")

    def sample(self, result: ConvertResult) -> str:
        return result.unit

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        def of_conversion() -> Schema:
            return ConversionKind().config.json_schema()

        def of_training() -> Schema:
            return LmTrainingKind().config.json_schema()

        return {"convert": of_conversion, "lm-train": of_training}


@dataclass(frozen=True)
class ConversionKind(ConvertKind["ConvertConfig", "ConversionSource"]):
    """Runs that convert a language model.

    Attributes:
        model: a Hugging Face folder, one of neurosim's own, or the run folder of `lm-train`.
    """

    title = "a conversion"

    model: Path = Path()

    def again(self, folder: RunFolder) -> ConversionKind:
        return replace(self, model=noted_model(folder))

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> ConvertConfig:
        from .config import ConvertConfig  # needs torch

        return ConvertConfig.configure_one(file, sets, values)

    def run_name(self, config: ConvertConfig) -> str:
        return f"convert-{self.model.resolve().name}"

    def load(self, config: ConvertConfig, options: RunOptions) -> Inputs[ConversionSource]:
        from .run import load_to_convert

        return load_to_convert(self.model, config, codings=[config.coding], options=options, command="convert")

    def work(self, run: Run[ConvertConfig, ConversionSource]) -> ConvertResult:
        from .run import convert_model

        return convert_model(run)


class CurveKind(ConversionKind):
    """Runs that convert a language model once for every scheme and strength."""

    title = "the curve of a conversion"

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> ConvertConfig:
        from .config import ConvertConfig  # needs torch

        # Its points name their strengths, and each scheme has the expansion of its publication.
        return ConvertConfig.configure(file, sets, values)

    def run_name(self, config: ConvertConfig) -> str:
        return f"curve-{self.model.resolve().name}"

    def load(self, config: ConvertConfig, options: RunOptions) -> Inputs[ConversionSource]:
        from .curve import curve_codings
        from .run import load_to_convert

        return load_to_convert(self.model, config, codings=curve_codings(config), options=options, command="curve")

    def work(self, run: Run[ConvertConfig, ConversionSource]) -> ConvertResult:
        from .curve import measure_curve

        return measure_curve(run)

    def measured(
        self, heading: Mapping[str, object], run: str, result: ConvertResult, profile: str
    ) -> MeasuredCurve | None:
        return measured_curve(heading, run, result, profile)


@dataclass(frozen=True)
class LmTrainingKind(ConvertKind["LmConfig", "TrainingText"]):
    """Trainings of a language model on a text.

    Attributes:
        crew: the processes of torchrun that cut every window; None: this one alone.
    """

    title = "a training of a language model"
    resumed_by = "convert lm-train"
    unfinished = ("state.safetensors",)  # weights, optimiser and progress of the training at hand

    crew: Team | None = None

    @contextmanager
    def joined(self) -> Iterator[LmTrainingKind]:
        from ....learning.training.parallel import team

        with team() as crew:
            yield replace(self, crew=crew)

    @property
    def leads(self) -> bool:
        return self.crew is None or self.crew.leads

    @property
    def config(self) -> type[LmConfig]:
        from .config import LmConfig  # needs torch

        return LmConfig

    def run_name(self, config: LmConfig) -> str:
        return f"lm-{'-'.join(dict.fromkeys(each.kind for each in config.model.mixers()))}"

    def load(self, config: LmConfig, options: RunOptions) -> Inputs[TrainingText]:
        from .text import load_text

        return load_text(config)

    def work(self, run: Run[LmConfig, TrainingText]) -> ConvertResult:
        from .text import train_language_model

        return train_language_model(run, sliced=self._is_sliced)

    @property
    def _is_sliced(self) -> bool:
        return self.crew is not None and self.crew.size > 1

    def follow(self, config: LmConfig, inputs: TrainingText, options: RunOptions, folder: RunFolder | None) -> None:
        from .text import follow_training

        follow_training(config, inputs, options, folder)


KIND = ConversionKind()
# Layouts of the results of a curve and of a training, by the command.
TEMPLATES = {"curve": "curve.html", "lm-train": "training.html"}
# The kind of each command, by its name in the manifest.
KINDS: Mapping[str, type[Any]] = {"convert": ConversionKind, "curve": CurveKind, "lm-train": LmTrainingKind}
