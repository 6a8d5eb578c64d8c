"""`neurosim convert ...`: a language model turned into spikes, its curve, and text written with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..frame.arguments import CPU_OR_CUDA, PROFILE, as_fraction, count, setting
from ..frame.command import Command, CommandResult, common, run_command
from ..frame.command_options import CommandOptions
from ..frame.logs import log_option
from .linearise.command import command as linearise

if TYPE_CHECKING:
    from . import ConversionKind, CurveKind, LmTrainingKind

CONVERT = "model"


class ConvertGroup(click.Group):
    """`neurosim convert MODEL ...` is short for `neurosim convert model MODEL ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asks = {"-h", "--help"}
        # A first word that is no command is a model; the help of the group stays the group's.
        if args and args[0] not in self.commands and not asks & {args[0]}:
            args = [CONVERT, *args]
        return super().parse_args(ctx, args)


@click.group(cls=ConvertGroup, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Turn a language model into one that communicates in spikes, and run it by adding rows of weights.

    \b
    neurosim convert lm-train --out runs/lm          trains a byte model on Python's own prose
    neurosim convert runs/lm --loss 1%               converts it; also Hugging Face folders, .gguf
    neurosim convert curve runs/lm                   loss against spikes, operations and energy
    neurosim convert inspect MODEL                   what each layer holds, and for how long
    neurosim convert generate RUN --prompt "The "    writes text
    neurosim convert linearise MODEL                 softmax attention to linear kinds, then to spikes

    MODEL may stand where a command does: 'neurosim convert MODEL' is 'neurosim convert model MODEL'.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


MODEL = click.argument("model", type=click.Path(path_type=Path))
TEXT = setting(
    "--calibrate",
    "text.file",
    metavar="FILE",
    help="Text, or token ids in FILE.npy, to calibrate and compare on; else prose that ships with Python.",
)
STEPS = setting(
    "--fine-tune", "tuning.steps", type=click.IntRange(0), metavar="N", help="Train N updates through the rounding."
)
LOSS = setting(
    "--loss",
    "choice.loss",
    callback=as_fraction,
    metavar="L",
    help="Choose k, levels or spikes for at most this much more perplexity; default 1%, where none of them is named.",
)
TOKENS = "Compare on at most N held-out tokens."
EXPANSION = "How counts are sent: bitwise, canonical, unary_ternary or twos_complement."


@run_command(CONVERT, short_help="Convert MODEL (the word may be left out).", devices=CPU_OR_CUDA)
@MODEL
@setting("--scheme", "coding.scheme", metavar="NAME", help="ternary, calibrated, learned, qcfs or stbif.")
@setting("--k", "coding.k", type=float, metavar="K", help="Thresholds in a mean input (ternary); larger: less loss.")
@setting("--levels", "coding.levels", type=int, metavar="L", help="Largest count (qcfs, stbif).")
@setting("--spikes", "coding.spikes", type=float, metavar="S", help="Mean spikes a channel (calibrated, learned).")
@setting("--expansion", "coding.expansion", metavar="NAME", help=EXPANSION)
@setting("--weights", "coding.weights", metavar="TYPE", help="int8, int4 or float32.")
@setting("--qk", "coding.qk", is_flag=True, default=None, help="Code q and k too; the state is then updated lazily.")
@setting("--state", "coding.state", is_flag=True, default=None, help="Code the state too, after every token.")
@setting("--head", "coding.head", is_flag=True, default=None, help="Code the output layer too.")
@LOSS
@TEXT
@STEPS
@count("--tokens", "text.tokens", TOKENS)
@PROFILE
def model_command(options: CommandOptions, model: Path) -> ConversionKind:
    """Convert the language model MODEL into spikes; writes a run folder with the model and a report.

    \b
    neurosim convert model runs/lm            the coding is chosen for at most 1% more perplexity
    neurosim convert model runs/lm --k 3      the coding is given

    MODEL is a Hugging Face folder (config.json and safetensors), a .gguf file, a .pth file of the RWKV project, one of
    neurosim's own folders, a run of 'convert lm-train', or a name on the hub: owner/name, owner/name@revision, or
    owner/name:Q4_K_M for the GGUF file with that in its name. A name on the hub is looked up in the cache first.
    Text goes through its tokenizer (tokenizer.json, tokenizer.model, or the .gguf's own); a model of 256 words reads
    bytes.

    The coding is chosen for at most 1% more perplexity (--loss), unless --k, --levels or --spikes says how fine it is.
    Then each group of layers that read the same values has a k of its own (--set coding.balance=false: one k), and
    counts are rounded by the price of their spikes (--set coding.price=0: to the nearest).

    Loss and agreement are of the last tenth of the text, 8,192 tokens of it at most (--tokens), which calibration and
    fine-tuning do not see, nor the choice of the coding: that reads the fifth before it. The time of a token is
    measured with --set report.timed_tokens=64, and by 'neurosim convert generate'.
    """
    from . import ConversionKind

    return ConversionKind(model)


@run_command("curve", short_help="Loss against spikes, operations and energy.", devices=CPU_OR_CUDA)
@MODEL
@TEXT
@STEPS
@count("--tokens", "curve.tokens", TOKENS)
@PROFILE
def curve(options: CommandOptions, model: Path) -> CurveKind:
    """Convert MODEL with every scheme at several strengths, and draw loss against spikes, operations and energy.

    \b
    neurosim convert curve runs/lm
    neurosim convert curve runs/lm --set curve.ks=[1.0,3.0] --tokens 2000

    Schemes and strengths: --set curve.schemes=["ternary","calibrated"] --set curve.ks=[1.0,2.0,3.0]
    --set curve.levels=[7,15] --set curve.spikes=[0.4,0.6,0.9].
    """
    from . import CurveKind

    return CurveKind(model)


@command.command("generate", cls=Command, short_help="Write text with a model, dense or converted.")
@MODEL
@click.option("--prompt", default="\n", metavar="TEXT", help="What the text starts with.")
@click.option("--tokens", type=click.IntRange(0), default=200, show_default=True, metavar="N", help="Tokens to write.")
@click.option("--temperature", type=float, default=0.8, show_default=True, metavar="T", help="0: the likeliest token.")
@click.option("--top", type=int, default=0, metavar="N", help="Draw among the N likeliest; 0: all.")
@click.option(
    "--top-p", type=float, default=1.0, metavar="P", help="Draw among the likeliest of probability P; 1: all."
)
@click.option(
    "--repetition-penalty", type=float, default=1.0, metavar="P", help="Make tokens of the text unlikelier; 1: no."
)
@click.option("--chat", is_flag=True, help="The prompt is what a user says: it goes into the model's chat template.")
@click.option("--execute/--simulate", default=None, help="Add rows of weights for spikes (default), or work on floats.")
@common(CPU_OR_CUDA, without=("config", "sets"))
def generate(
    options: CommandOptions,
    model: Path,
    prompt: str,
    tokens: int,
    temperature: float,
    top: int,
    top_p: float,
    repetition_penalty: float,
    chat: bool,
    execute: bool | None,
) -> CommandResult:
    """Write text with MODEL, token by token, with memory that does not grow (but for softmax over all tokens).

    \b
    neurosim convert generate runs/spiking --prompt "The " --tokens 100

    MODEL is the folder of a conversion, or a dense model that 'neurosim convert' takes, with its tokenizer. Without one
    a model of 256 words reads bytes, and any other reads and writes token ids: --prompt "1 15 27". Special tokens in
    the prompt, such as <s>, become their ids; the one that begins a text is added where the tokenizer's configuration
    says so (add_bos_token, or the template of tokenizer.json). The text ends at the token that the configuration names.

    Control characters are printed as \\x1b; 'text.txt' in --out has them as they are.

    On a CPU each token is one compiled step, on one thread unless --threads says otherwise; its time is printed behind
    the text, beside the time of the dense model.
    """
    from ....language.conversion.generate import Sampling
    from .text import write_text

    sampling = Sampling(
        tokens=tokens,
        temperature=temperature,
        top=top,
        seed=options.seed or 0,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
    )
    result = write_text(model, prompt.encode(), sampling, options, execute=execute, chat=chat)
    # What is said about the text goes to stderr, so that stdout holds the text alone.
    for line in (*result.remarks, *([] if result.speed is None else [result.speed.sentence])):
        options.say(line)
    return CommandResult(result.to_dict(), result.text if chat else result.prompt + result.text)


@command.command("inspect", cls=Command, short_help="What each layer holds, and for how long.")
@MODEL
@click.option("--text", metavar="FILE", help="Text to read; else the prose that ships with Python.")
@click.option("--tokens", type=click.IntRange(1), default=256, show_default=True, metavar="N", help="Tokens to read.")
@common(without=("config", "sets", "seed", "out"))
def inspect(options: CommandOptions, model: Path, text: str | None, tokens: int) -> CommandResult:
    """Show each layer of MODEL, dense or converted, as the system h = Lambda h + B u, y = C h that it is.

    \b
    neurosim convert inspect runs/lm --tokens 128

    Printed are the eigenvalues of Lambda over the tokens of a text, the horizon of the memory in tokens, the bytes of
    state, and, of a converted model, the spikes a channel. An eigenvalue of modulus 1 keeps what it holds; a negative
    one can count parity. Softmax attention has no such state; its bytes are those behind the text.
    """
    from .inspect import inspect_model, render

    result = inspect_model(model, text, tokens, options)
    return CommandResult(result.to_dict(), render(result))


@run_command(
    "lm-train",
    short_help="Train a byte-level language model on a text.",
    devices=CPU_OR_CUDA,
    resume="Continue a training that was interrupted or killed, in its own folder.",
)
@setting("--text", "text.file", metavar="FILE", help="Any file; else the prose that ships with Python.")
@setting("--kind", "model.kind", metavar="NAME", help="Kind of attention.")
@setting("--pattern", "model.pattern", metavar="KINDS", help="Kinds of a hybrid, bottom to top: 'gla*3,window'.")
@count("--steps", "training.steps", "Updates.")
@setting("--optimizer", "training.optimizer", metavar="NAME", help="adamw, or muon for the matrices of the layers.")
@setting("--objective", "training.objective", metavar="NAME", help="next_token, mixture or birdie.")
@log_option
def lm_train(options: CommandOptions) -> LmTrainingKind:
    """Train a byte-level language model on a text; its run folder is a MODEL for 'neurosim convert'.

    The defaults take about three minutes on two cores, --steps 150 less than one, for a model that knows little.

    'mixture' has filling in, copying, selective copying, unshuffling, auto-encoding and prefixes beside the next byte,
    in shares --set training.shares={copying=1,next_token=3}; 'birdie' chooses the shares by the progress of each.
    --set training.bidirectional=true: half of the heads read what is given backwards.

    \b
    neurosim convert lm-train --kind gla --steps 150 --out runs/gla
    torchrun --standalone --nproc-per-node 2 -m neurosim convert lm-train    windows shared (LASP-2)

    More settings: --set model.layers=2 --set model.width=96 --set training.length=256
    --set training.learning_rate=0.002. Options of the kinds of a hybrid: a list of tables [[model.stack]] in --config.
    """
    from . import LmTrainingKind

    return LmTrainingKind()


for _command in (model_command, curve, lm_train, linearise):
    command.add_command(_command)
