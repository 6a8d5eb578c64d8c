"""Parts of the server: text as it comes, snapshots of prompts, the command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.decoding import model_of
from helpers.serving import NAME, post
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim.app.cli import main
from neurosim.app.serve.limits import Limits
from neurosim.app.serve.prefixes import MIN_SHARED, PrefixCache
from neurosim.app.serve.requests import CHAT, COMPLETION, NEUTRAL, ApiError, read_request
from neurosim.app.serve.text_stream import TextStream
from neurosim.language import Coding, convert
from neurosim.language.attention.tokenizer import ByteTokenizer, TokenIds
from neurosim.language.conversion.checkpoint import write_converted
from neurosim.language.conversion.decoder.decoder import Snapshot

TEXT = "Größe: 3 µm, 数字 and 🙂 end"


def parts_of(text: bytes, stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    """The parts in which a text of bytes is written."""
    stream = TextStream(ByteTokenizer(), b"some prompt \xc3", stops)
    parts = []
    for byte in text:
        parts.append(stream.add(byte))
        if stream.stopped:
            return parts, True
    return [*parts, stream.end()], stream.stopped


def test_characters_of_several_bytes_are_written_whole() -> None:
    parts, stopped = parts_of(TEXT.encode())
    assert "".join(parts) == TEXT
    assert not stopped
    assert all(part == "" or len(part) == 1 for part in parts)


def test_bytes_that_are_no_characters_are_replaced() -> None:
    bad = b"a\xff\xfe\x80b" + b"\x80" * 30 + b"c\xe2\x82"
    assert "".join(parts_of(bad)[0]) == bad.decode("utf-8", errors="replace")


@pytest.mark.parametrize("stop", ["数字", "🙂", "and", "nd 🙂 e", "end"])
def test_a_stop_string_is_not_written_and_no_part_of_it(stop: str) -> None:
    parts, stopped = parts_of(TEXT.encode(), ("no such", stop))
    assert stopped
    assert "".join(parts) == TEXT[: TEXT.index(stop)]


def test_what_only_begins_a_stop_string_is_written_at_last() -> None:
    parts, stopped = parts_of(b"aabaab", ("aabaac", "b!"))
    assert not stopped
    assert "".join(parts) == "aabaab"
    assert parts[-1] == "aab"


def test_token_ids_are_words() -> None:
    stream = TextStream(TokenIds(), [1, 2])
    assert "".join([stream.add(30), stream.add(4), stream.end()]) == " 30 4"


def snapshot(size: int) -> Snapshot:
    return Snapshot(1, (np.zeros(size, np.uint8),))


def test_snapshots_are_dropped_in_the_order_of_their_use() -> None:
    cache = PrefixCache(250)
    prompts = [list(range(n, n + 20)) for n in range(4)]
    for prompt in prompts[:2]:
        cache.add(prompt, snapshot(100))
    assert cache.find([*prompts[0], 5]) is not None
    cache.add(prompts[2], snapshot(100))
    assert cache.find([*prompts[1], 5]) is None
    assert cache.find([*prompts[0], 5]) is not None
    assert cache.size == 200
    cache.add(prompts[3], snapshot(251))  # never fits
    assert cache.find([*prompts[3], 5]) is None
    assert cache.size == 200


def test_the_last_token_of_a_prompt_is_left_to_be_read() -> None:
    cache = PrefixCache(1000)
    prompt = list(range(40))
    long = snapshot(10)
    cache.add(prompt[:20], snapshot(10))
    cache.add(prompt[:30], long)
    assert cache.find(prompt) is long
    assert cache.find(prompt[:30]) is not long
    assert cache.find(prompt[:20]) is None
    assert cache.find([7, *prompt]) is None


def test_places_are_where_prompts_part_and_before_the_last_token() -> None:
    cache = PrefixCache(1000)
    assert cache.places(range(50)) == {49}
    assert cache.places([*range(30), 99, 98]) == {30, 31}
    assert cache.places([*range(MIN_SHARED - 1), 99, 98]) == {MIN_SHARED}
    assert PrefixCache(0).places(range(50)) == frozenset()
    assert not PrefixCache(0).takes(range(50))
    assert not cache.takes(range(MIN_SHARED - 1))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda own: st.lists(own, max_size=3) | st.dictionaries(st.text(max_size=5), own, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(sorted(CHAT | COMPLETION | set(NEUTRAL))) | st.text(max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=6), st.booleans())
def test_any_body_is_a_request_or_an_error_with_a_sentence(body: dict[str, Any], chat: bool) -> None:
    valid = {"messages": [{"role": "user", "content": "a"}]} if chat else {"prompt": "a"}
    sent = json.dumps(valid | body | {"model": NAME}).encode()
    try:
        request = read_request(sent, NAME, Limits(), chat=chat)
    except ApiError as error:
        assert error.status == 400
        json.dumps(error.tree()).encode()
    else:
        assert (request.prompt is None) == chat
        assert 0 <= request.temperature <= 2
        assert 0 <= request.seed < 2**63


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    write_converted(folder, convert(model_of("gla"), Coding("ternary")))
    words = [sys.executable, "-m", "neurosim", "serve", str(folder), "--port", "0", "--batch", "2", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = ""
    try:
        for line in process.stderr:
            if line.startswith("serving"):
                break
        assert line.startswith(f"serving '{NAME}' at http://127.0.0.1:"), line
        port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
        status, answer = post(port, "/v1/completions", {"model": NAME, "prompt": "a", "max_tokens": 3})
        assert (status, answer["usage"]["completion_tokens"]) == (200, 3)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["ended"] == {"length": 1}


def test_other_machines_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROSIM_API_KEY", raising=False)
    result = CliRunner().invoke(main, ["serve", "nowhere", "--host", "0.0.0.0"])
    assert result.exit_code == 2
    assert "--host: 0.0.0.0 is open to other machines; set the environment variable NEUROSIM_API_KEY" in result.output


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--batch", "17"], "Limits.batch: must be >= 1 and <= 16 (got 17)"),
        (["--seconds", "0"], "Limits.seconds: must be > 0 s (got 0.0)"),
        (["--context", "1"], "Limits.context: must be >= 2 (got 1)"),
    ],
)
def test_limits_are_checked_before_a_model_is_read(option: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["serve", "nowhere", *option])
    assert result.exit_code == 2
    assert words in result.output
