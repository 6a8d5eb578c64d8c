"""`neurosim serve RUN`: a language model behind an HTTP endpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ...base.distribution import install
from ...base.errors import NeurosimMissingError
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions

MEGABYTE = 1 << 20


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--name", metavar="NAME", help="Name of the model for clients; default: the name of its folder.")
@click.option("--batch", type=int, default=16, show_default=True, metavar="N", help="Texts written side by side.")
@click.option("--queue", type=int, default=64, show_default=True, metavar="N", help="Requests that may wait.")
@click.option(
    "--context", type=int, default=4096, show_default=True, metavar="N", help="Most tokens of prompt and text together."
)
@click.option("--seconds", type=float, default=300.0, show_default=True, metavar="S", help="Longest time of a request.")
@click.option(
    "--prefix-memory",
    type=int,
    default=256,
    show_default=True,
    metavar="MB",
    help="Memory for prompts that were read; 0: none.",
)
@common(without=("config", "sets", "seed", "out"))
def command(
    options: CommandOptions,
    path: Path,
    host: str,
    port: int,
    name: str | None,
    batch: int,
    queue: int,
    context: int,
    seconds: float,
    prefix_memory: int,
) -> CommandResult:
    """Serve the language model in RUN over HTTP in the form of OpenAI's API, until Ctrl-C.

    \b
    neurosim serve runs/spiking --port 8000

    RUN is a run of 'neurosim convert', or the folder of a model, converted or dense. Clients use
    http://ADDRESS:PORT/v1 as their base URL: completions, chat completions (whole or streamed) and models.

    Up to 16 texts are written side by side by the compiled step, and each is the one that the model writes alone.
    Prompts that begin alike are read once. The server listens on this machine alone; any other --host needs a key in
    the environment variable NEUROSIM_API_KEY, which clients send. Needs the extra 'serve'.
    """
    try:
        from ..serve.server import key_for, serve
    except ImportError as error:
        raise NeurosimMissingError(f"serve: needs starlette and uvicorn ({error}); run: {install('serve')}") from None
    from ..runs.convert.source import open_model
    from ..serve.limits import Limits
    from ..serve.service import Service

    # Refused first, before a model is read and compiled: an address for others without a key.
    key_for(host)
    limits = Limits(batch=batch, queue=queue, context=context, seconds=seconds, prefix_bytes=prefix_memory * MEGABYTE)
    folder, model = open_model(path)
    shown = name or path.resolve().name
    options.say(f"{path}: compiling the steps of 1 to {batch} sequences")
    service = Service.of(shown, folder, model, limits, options.threads or 1)
    if service.is_plain:
        options.say(f"{path}: has no chat template; conversations become lines that begin with User: and Assistant:")

    def on_start(port: int) -> None:
        address = f"[{host}]" if ":" in host else host
        options.say(f"serving '{shown}' at http://{address}:{port}/v1; end by Ctrl-C")

    try:
        serve(service, host, port, on_start)
    finally:
        service.batch.close()
    load = service.batch.load()
    ended = ", ".join(f"{count} {reason}" for reason, count in sorted(load.ended.items())) or "none"
    return CommandResult({"model": shown, **asdict(load)}, f"requests: {ended}; {load.tokens:,} tokens")
