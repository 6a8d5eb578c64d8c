"""`neurosim serve`: each client gets the text that the model writes alone, and nothing grows without end."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.decoding import model_of
from helpers.serving import NAME, events, post, serving

from neurosim.app.serve import batch
from neurosim.app.serve.limits import Limits
from neurosim.app.serve.service import Service
from neurosim.language import Coding, Decoder, LanguageModel, convert
from neurosim.language.conversion.generate import Sampling, generate_tokens

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
LIMITS = Limits(batch=4, queue=3, context=400, body=20000, seconds=60.0)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return convert(model_of("gla"), Coding("ternary", k=4.0)).execute().model


@pytest.fixture(scope="module")
def served(model: LanguageModel, tmp_path_factory: Any) -> Iterator[tuple[Service, int]]:
    with serving(model, tmp_path_factory.mktemp("model"), LIMITS) as both:
        yield both


@pytest.fixture
def port(served: tuple[Service, int]) -> int:
    return served[1]


def alone(model: LanguageModel, prompt: bytes, count: int, seed: int, temperature: float = 1.0) -> str:
    """The text that the decoder writes with no other sequence beside it."""
    sampling = Sampling(count, temperature, 0, seed)
    tokens = [token for token, _ in generate_tokens(Decoder(model), prompt, sampling)]
    return bytes(tokens).decode("utf-8", errors="replace")


def completion_body(prompt: str = "The ", **more: Any) -> dict[str, Any]:
    return {"model": NAME, "prompt": prompt, "max_tokens": 12, "seed": 3} | more


def test_a_completion_is_the_text_of_the_model(model: LanguageModel, port: int) -> None:
    status, answer = post(port, COMPLETIONS, completion_body())
    assert status == 200
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {"index": 0, "text": alone(model, b"The ", 12, 3), "logprobs": None, "finish_reason": "length"}
    ]
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (4, 12, 16)


def test_the_parts_of_a_stream_are_the_text(port: int) -> None:
    body = completion_body(max_tokens=60, seed=5)
    whole = post(port, COMPLETIONS, body)[1]
    parts = events(port, COMPLETIONS, body | {"stream_options": {"include_usage": True}})
    assert len(parts) > 5
    assert "".join(part["choices"][0]["text"] for part in parts[:-1]) == whole["choices"][0]["text"]
    assert [part["choices"][0]["finish_reason"] for part in parts[:-1]] == [None] * (len(parts) - 2) + ["length"]
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"]["total_tokens"] == whole["usage"]["total_tokens"]
    assert {part["id"] for part in parts} == {parts[0]["id"]}


def test_a_conversation_whole_and_in_parts(model: LanguageModel, port: int) -> None:
    body = {
        "model": NAME,
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        ],
        "max_completion_tokens": 20,
        "seed": 1,
    }
    whole = post(port, CHAT, body)[1]
    message = whole["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert message["content"] == alone(model, b"Be brief.\n\nUser: Hi\n\nAssistant:", 20, 1)
    parts = events(port, CHAT, body)
    assert parts[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(part["choices"][0]["delta"].get("content", "") for part in parts) == message["content"]
    assert parts[0]["object"] == "chat.completion.chunk"


def test_clients_side_by_side_get_what_each_gets_alone(model: LanguageModel, port: int) -> None:
    """More clients than places, in turns of several, with prompts that begin alike: nothing is mixed up."""
    shared = "A prompt that begins like those of the others, "
    prompts = [f"{shared if n % 2 else ''}number {n}" * (1 + n % 3) for n in range(7)]
    bodies = [completion_body(prompts[n % 7], seed=n, max_tokens=5 + 3 * n, stream=False) for n in range(21)]
    with ThreadPoolExecutor(7) as clients:
        answers = list(clients.map(lambda body: post(port, COMPLETIONS, body), bodies))
    for body, (status, answer) in zip(bodies, answers, strict=True):
        assert status == 200, answer
        text = alone(model, body["prompt"].encode(), body["max_tokens"], body["seed"])
        assert answer["choices"][0]["text"] == text


def test_prompts_that_begin_alike_are_read_once(served: tuple[Service, int], model: LanguageModel) -> None:
    port = served[1]
    instruction = "You are a helpful machine that answers in one line. " * 2
    answers = [
        post(port, COMPLETIONS, completion_body(f"{instruction}{end}"))[1] for end in ("one", "two", "three", "three")
    ]
    reused = [answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in answers]
    # The second finds where it leaves the first, the third begins there, the last is known but for one token.
    assert reused == [0, 0, len(instruction), len(instruction) + 4]
    assert answers[2]["choices"] == answers[3]["choices"]
    assert answers[3]["choices"][0]["text"] == alone(model, f"{instruction}three".encode(), 12, 3)


def test_long_prompts_are_read_in_chunks_between_steps(
    served: tuple[Service, int], model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of clients side by side are as alone, and one under way goes on between the chunks of a prompt."""
    service, port = served
    calls: list[int] = []
    step = Decoder.step
    read_chunk = Decoder.read_chunk

    def stepped(self: Decoder, *arguments: Any) -> Any:
        if self is service.batch._decoder:
            calls.append(0)
            time.sleep(0.002)
        return step(self, *arguments)

    def read(self: Decoder, tokens: Any, sequence: int = 0) -> None:
        calls.append(len(tokens))
        read_chunk(self, tokens, sequence)

    monkeypatch.setattr(Decoder, "step", stepped)
    monkeypatch.setattr(Decoder, "read_chunk", read)
    prompts = ["".join(chr(97 + (5 * n + k * k) % 23) for k in range(300)) for n in range(3)]
    bodies = [
        completion_body("The ", max_tokens=80),
        *(completion_body(own, seed=n, max_tokens=9) for n, own in enumerate(prompts)),
    ]
    before = service.batch.load().tokens
    with ThreadPoolExecutor(4) as clients:
        texts = [clients.submit(post, port, COMPLETIONS, bodies[0])]
        waiting_for(served, 1, 0)
        texts += [clients.submit(post, port, COMPLETIONS, body) for body in bodies[1:]]
    answers = [text.result()[1] for text in texts]
    chunk = service.batch._decoder.chunk
    # 299 tokens without the last: four chunks of 64.
    assert [size for size in calls if size] == [chunk] * 12
    assert not any(a and b for a, b in pairwise(calls)), "a step follows each chunk"
    for body, answer in zip(bodies, answers, strict=True):
        text = alone(model, body["prompt"].encode(), body["max_tokens"], body["seed"])
        assert answer["choices"][0]["text"] == text
    # The token drawn last is not read.
    assert service.batch.load().tokens - before == 4 + 79 + 3 * (300 + 8)


@pytest.mark.parametrize("kind", ["softmax", "window_linear"])
def test_states_that_grow_and_windows_are_reused_too(kind: str, tmp_path: Path) -> None:
    own = convert(model_of(kind), Coding("ternary", k=4.0)).execute().model
    shared = "What all of these prompts say first; " * 9
    bodies = [completion_body(f"{shared}{n}", seed=n, max_tokens=4 + 5 * n) for n in range(6)]
    with serving(own, tmp_path, Limits(batch=3, context=600, prefix_bytes=1 << 20)) as (service, port):
        answers = [post(port, COMPLETIONS, body)[1] for body in bodies[:3]]
        with ThreadPoolExecutor(3) as clients:
            answers += clients.map(lambda body: post(port, COMPLETIONS, body)[1], bodies[3:])
        assert service.batch.load().prefix_bytes <= 1 << 20
    for body, answer in zip(bodies, answers, strict=True):
        assert answer["choices"][0]["text"] == alone(own, body["prompt"].encode(), body["max_tokens"], body["seed"])
    assert answers[2]["usage"]["prompt_tokens_details"]["cached_tokens"] == len(shared)


def test_stop_strings_end_the_text(model: LanguageModel, port: int) -> None:
    text = alone(model, b"The ", 40, 3)
    stop = text[10:13]
    body = completion_body(max_tokens=40, stop=["\x00never", stop])
    choice = post(port, COMPLETIONS, body)[1]["choices"][0]
    assert choice["text"] == text[: text.index(stop)]
    assert choice["finish_reason"] == "stop"
    parts = events(port, COMPLETIONS, body)
    assert "".join(part["choices"][0]["text"] for part in parts) == choice["text"]


def test_the_likeliest_token_needs_no_seed(model: LanguageModel, port: int) -> None:
    body = completion_body(temperature=0)
    del body["seed"]
    assert post(port, COMPLETIONS, body)[1]["choices"][0]["text"] == alone(model, b"The ", 12, 0, 0.0)
    assert post(port, COMPLETIONS, completion_body([84, 104, 101, 32]))[1]["choices"][0]["text"] == alone(
        model, b"The ", 12, 3
    )


def test_entries_that_change_nothing_are_taken(port: int) -> None:
    plain = post(port, COMPLETIONS, completion_body())[1]["choices"]
    neutral = {"n": 1, "frequency_penalty": 0.0, "logit_bias": {}, "user": "me", "logprobs": None, "echo": False}
    assert post(port, COMPLETIONS, completion_body(**neutral))[1]["choices"] == plain
    cold = post(port, COMPLETIONS, completion_body(temperature=1e-40))[1]["choices"]
    assert cold == post(port, COMPLETIONS, completion_body(temperature=0))[1]["choices"]


def waiting_for(served: tuple[Service, int], active: int, waiting: int) -> None:
    """Wait until so many jobs are active and wait."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        load = served[0].batch.load()
        if (load.active, load.waiting) == (active, waiting):
            return
        time.sleep(0.01)
    raise AssertionError(load)


def left_open(port: int, **more: Any) -> socket.socket:
    """Send a request for a long text, and return the connection, of which nothing is read."""
    body = json.dumps(completion_body(max_tokens=390, **more)).encode()
    lines = [f"POST {COMPLETIONS} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}"])
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(f"{head}\r\n\r\n".encode() + body)
    return connection


@pytest.fixture
def slow(served: tuple[Service, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let steps of the model take 10 ms, so that a text is under way for a while."""
    decoder = served[0].batch._decoder
    step = Decoder.step

    def late(self: Decoder, *arguments: Any) -> Any:
        if self is decoder:
            time.sleep(0.01)
        return step(self, *arguments)

    monkeypatch.setattr(Decoder, "step", late)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_frees_its_place(served: tuple[Service, int], slow: None, stream: bool) -> None:
    before = served[0].batch.load().ended.get("cancelled", 0)
    connections = [left_open(served[1], stream=stream) for _ in range(5)]
    waiting_for(served, 4, 1)
    for connection in connections:
        connection.close()
    waiting_for(served, 0, 0)
    assert served[0].batch.load().ended["cancelled"] == before + 5
    assert post(served[1], COMPLETIONS, completion_body(max_tokens=2))[0] == 200


def test_a_full_queue_refuses(served: tuple[Service, int], slow: None) -> None:
    connections = [left_open(served[1]) for _ in range(7)]
    waiting_for(served, 4, 3)
    status, answer = post(served[1], COMPLETIONS, completion_body())
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (429, "rate_limit_error", "queue_full")
    for connection in connections:
        connection.close()
    waiting_for(served, 0, 0)


def test_a_text_that_takes_too_long_ends(model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda self, *given: time.sleep(0.02) or step(self, *given))
    with serving(model, tmp_path, Limits(batch=1, context=1000, seconds=0.3)) as (_, port):
        status, answer = post(port, COMPLETIONS, completion_body(max_tokens=900))
        assert (status, answer["error"]["code"]) == (504, "timeout")
        parts = events_of_failed_stream(port, completion_body(max_tokens=900))
        assert parts[-1]["error"]["message"] == "the time limit of 0.3 s is over"
        assert post(port, COMPLETIONS, completion_body(max_tokens=1))[0] == 200


def events_of_failed_stream(port: int, body: dict[str, Any]) -> list[Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", COMPLETIONS, json.dumps(body | {"stream": True}), {"Content-Type": "application/json"})
    lines = connection.getresponse().read().decode().split("\n\n")
    connection.close()
    assert "data: [DONE]" not in lines
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


def test_logits_that_are_not_finite_end_one_text(
    served: tuple[Service, int], model: LanguageModel, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = batch.draw_token

    def broken(logits: Any, sampling: Sampling, position: int) -> int:
        return draw(logits * np.nan if sampling.seed == 77 and position == 3 else logits, sampling, position)

    monkeypatch.setattr(batch, "draw_token", broken)
    with ThreadPoolExecutor(2) as clients:
        bad = clients.submit(post, served[1], COMPLETIONS, completion_body(seed=77))
        good = clients.submit(post, served[1], COMPLETIONS, completion_body())
    status, answer = bad.result()
    assert status == 500
    assert "logits: must be finite" in answer["error"]["message"]
    assert good.result()[1]["choices"][0]["text"] == alone(model, b"The ", 12, 3)


def test_a_client_that_reads_nothing_is_let_go(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text is written, and what it does not read is dropped with the connection."""
    monkeypatch.setattr("neurosim.app.serve.http.GRACE", 0.0)
    monkeypatch.setattr("neurosim.app.serve.http.event", lambda tree: b"data: " + b"x" * 4_000_000 + b"\n\n")
    with serving(model, tmp_path, Limits(batch=1, seconds=1.0)) as (service, port):
        connection = left_open(port, stream=True)
        time.sleep(1.5)
        assert post(port, COMPLETIONS, completion_body(max_tokens=1))[0] == 200
        assert service.batch.load().active == 0
        # The end of the stream never comes: the server has closed it.
        connection.settimeout(10)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                received = received[-20:] + part
        assert not received.endswith(b"0\r\n\r\n")
        connection.close()


def test_a_step_that_fails_is_told_and_forgotten(
    served: tuple[Service, int], model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> None:
        raise ValueError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "step", fail)
        status, answer = post(served[1], COMPLETIONS, completion_body())
    assert (status, answer["error"]["message"]) == (500, "ValueError: broken")
    assert post(served[1], COMPLETIONS, completion_body())[1]["choices"][0]["text"] == alone(model, b"The ", 12, 3)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "the body must be JSON in UTF-8"),
        (b"[" * 15000, 400, "the body must be JSON in UTF-8"),
        (b"[]", 400, "the body must be a JSON object"),
        (b" " * 20001, 413, "the body must have at most 20000 bytes"),
        ({"prompt": "a"}, 404, "model: must be 'small', see /v1/models (got None)"),
        (completion_body(prompt=None), 400, "prompt: must be one text, or one list of token ids (got None)"),
        (completion_body(prompt=["a", "b"]), 400, "prompt: must be one text"),
        (completion_body(prompt=""), 400, "prompt: must have at least one token"),
        (completion_body(prompt=[3, 256]), 400, "prompt: tokens must be 0 to 255 (got 256)"),
        (completion_body("a" * 400), 400, "prompt: 400 tokens and 12 to write are more than 400, the largest context"),
        (completion_body(max_tokens=0), 400, "max_tokens: must be an integer of at least 1 (got 0)"),
        (completion_body(max_tokens=True), 400, "max_tokens: must be an integer of at least 1 (got True)"),
        (completion_body(temperature=2.5), 400, "temperature: must be a number from 0 to 2 (got 2.5)"),
        (completion_body(temperature=10**400), 400, "temperature: must be a number from 0 to 2 (got 1000"),
        (completion_body(top_p=0), 400, "top_p: must be a number > 0 and <= 1 (got 0)"),
        (completion_body(seed=1.5), 400, "seed: must be an integer (got 1.5)"),
        (completion_body(stop=[""]), 400, "stop: must be at most 4 texts of 1 to 256 characters"),
        (completion_body(stop=list("abcde")), 400, "stop: must be at most 4 texts"),
        (completion_body(n=2), 400, "n: is not offered; leave it out (got 2)"),
        (completion_body(logprobs=5), 400, "logprobs: is not offered"),
        (completion_body(maximum=5), 400, "maximum: unknown entry (got 5)"),
        (completion_body(**{"\ud800": 1}), 400, "unknown entry"),
    ],
)
def test_errors_of_completions(port: int, body: Any, status: int, words: str) -> None:
    found, answer = post(port, COMPLETIONS, body)
    assert found == status
    assert words in answer["error"]["message"]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "messages: must be a list of at least one message"),
        (["hi"], "messages[0].role: must be one of system, developer, user, assistant"),
        ([{"role": "tool", "content": "x"}], "messages[0].role: must be one of"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content: must be text"),
        ([{"role": "user", "content": None}], "messages[0].content: must be text"),
    ],
)
def test_errors_of_conversations(port: int, messages: Any, words: str) -> None:
    status, answer = post(port, CHAT, {"model": NAME, "messages": messages})
    assert status == 400
    assert words in answer["error"]["message"]
    assert answer["error"]["param"] == "messages"


def test_pages_of_a_browser_do_not_get_through(port: int) -> None:
    assert post(port, COMPLETIONS, completion_body(), Content_Type="text/plain")[0] == 415
    status, answer = post(port, COMPLETIONS, completion_body(), Host="evil.example")
    assert status == 403
    assert answer["error"]["message"].startswith("host: must be one of 127.0.0.1, ::1, localhost")


def test_unknown_paths_and_methods(port: int) -> None:
    assert post(port, "/v1/embeddings", {})[0] == 404
    assert post(port, "/v1/models", {})[0] == 405


def test_a_key_is_checked(model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROSIM_API_KEY", "secret")
    with serving(model, tmp_path, Limits(batch=1)) as (_, port):
        assert post(port, COMPLETIONS, completion_body())[0] == 401
        assert post(port, COMPLETIONS, completion_body(), Authorization="Bearer wrong")[0] == 401
        assert post(port, COMPLETIONS, completion_body(), Authorization="Bearer secret")[0] == 200


@pytest.mark.slow
def test_the_official_client(model: LanguageModel, port: int) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        assert [each.id for each in client.models.list()] == [NAME]
        assert client.models.retrieve(NAME).owned_by == "neurosim"
        text = alone(model, b"The ", 12, 3)
        completion = client.completions.create(model=NAME, prompt="The ", max_tokens=12, seed=3)
        assert completion.choices[0].text == text
        assert completion.usage is not None and completion.usage.total_tokens == 16
        parts = client.completions.create(model=NAME, prompt="The ", max_tokens=12, seed=3, stream=True)
        assert "".join(part.choices[0].text for part in parts) == text
        messages = [{"role": "user", "content": "Hi"}]
        whole = client.chat.completions.create(model=NAME, messages=messages, max_tokens=9, seed=1)
        assert whole.choices[0].message.content == alone(model, b"User: Hi\n\nAssistant:", 9, 1)
        stream = client.chat.completions.create(
            model=NAME, messages=messages, max_tokens=9, seed=1, stream=True, stream_options={"include_usage": True}
        )
        received = list(stream)
        deltas = [part.choices[0].delta.content or "" for part in received if part.choices]
        assert "".join(deltas) == whole.choices[0].message.content
        assert received[-1].usage.completion_tokens == 9
        with pytest.raises(openai.NotFoundError, match="model: must be 'small'"):
            client.completions.create(model="other", prompt="a")
        with pytest.raises(openai.BadRequestError, match="largest context"):
            client.completions.create(model=NAME, prompt="a" * 500)
