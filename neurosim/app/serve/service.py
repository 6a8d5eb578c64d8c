"""A model that is served: prompts in, jobs out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from ...base.errors import NeurosimError
from ...language.attention.chat import PLAIN_STOP, ChatTemplate, plain_chat_template, read_chat_template, read_ends
from ...language.attention.model import LanguageModel
from ...language.attention.tokenizer import Tokenizer, read_tokenizer
from ...language.conversion.decoder.decoder import CHUNK, Decoder
from ...language.conversion.generate import Sampling
from .batch import Batch, Job, QueueFullError, Sink
from .limits import Limits
from .requests import ApiError, TextRequest, as_api_error

MIN_TEMPERATURE = 1e-6  # below it the likeliest token is taken


@final
@dataclass(frozen=True, eq=False)
class Service:
    """A model with its tokenizer, behind a batch.

    Attributes:
        name: of the model.
        template: of conversations.
        is_plain: the model has no template of its own.
        created: time of the start, seconds since 1970.
    """

    name: str
    tokenizer: Tokenizer
    vocabulary: int
    batch: Batch
    limits: Limits
    template: ChatTemplate
    is_plain: bool
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, name: str, folder: Path, model: LanguageModel, limits: Limits, threads: int) -> Service:
        """Return the service of a model whose tokenizer is in a folder.

        Raises:
            NotCompiledError: a part of the model has no compiled operation.
            NeurosimError: the files of the tokenizer are damaged, or their library is missing.
        """
        vocabulary = model.config.vocabulary
        tokenizer = read_tokenizer(folder, vocabulary)
        template = read_chat_template(folder)
        decoder = Decoder(model, limits.batch, threads, sizes=range(1, limits.batch + 1), chunk=CHUNK)
        batch = Batch(decoder, tokenizer, read_ends(folder, tokenizer), limits)
        shown = template or plain_chat_template()
        return cls(
            name=name,
            tokenizer=tokenizer,
            vocabulary=vocabulary,
            batch=batch,
            limits=limits,
            template=shown,
            is_plain=template is None,
        )

    def job(self, request: TextRequest) -> Job:
        """Return the job of a request.

        Raises:
            ApiError: a prompt that the model cannot read, or that leaves no room for an answer.
        """
        stops = request.stops
        if request.messages:
            param = "messages"
            if self.is_plain:
                stops = (*stops, PLAIN_STOP)
        else:
            param = "prompt"
        try:
            prompt = self._tokens(request)
        except NeurosimError as error:
            raise as_api_error(error, param) from None
        wrong = [token for token in prompt if not 0 <= token < self.vocabulary]
        if wrong:
            raise ApiError(400, f"{param}: tokens must be 0 to {self.vocabulary - 1} (got {wrong[0]})", param=param)
        if not prompt:
            raise ApiError(400, f"{param}: must have at least one token", param=param)
        room = self.limits.context - len(prompt)
        if room < (request.tokens or 1):
            words = f"{len(prompt)} tokens and {request.tokens or 1} to write are more than {self.limits.context}"
            raise ApiError(400, f"{param}: {words}, the largest context", param=param, code="context_length_exceeded")
        # Logits over a smaller one could be infinite.
        temperature = request.temperature if request.temperature >= MIN_TEMPERATURE else 0.0
        sampling = Sampling(
            tokens=request.tokens or room, temperature=temperature, top=0, seed=request.seed, top_p=request.top_p
        )
        return Job(tuple(prompt), sampling, stops)

    def _tokens(self, request: TextRequest) -> list[int]:
        """Return the prompt of a request as tokens."""
        if isinstance(request.prompt, tuple):
            return list(request.prompt)
        if request.prompt is not None:
            return self.tokenizer.encode_prompt(request.prompt.encode("utf-8", errors="replace"))
        text = self.template.render(request.messages)
        return self.tokenizer.encode_prompt(text.encode("utf-8", errors="replace"))

    def submit(self, job: Job, sink: Sink) -> Callable[[], None]:
        """Queue a job; return the function that cancels it.

        Raises:
            ApiError: too many wait.
        """
        try:
            return self.batch.submit(job, sink)
        except QueueFullError as error:
            raise ApiError(429, str(error), code="queue_full") from None
