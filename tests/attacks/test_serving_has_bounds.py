"""Promise: `serve` bounds what clients send, listens on this machine alone, and runs templates in a sandbox."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from neurosim import NeurosimError
from neurosim.app.cli import main

pytest.importorskip("torch")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from helpers.decoding import model_of
from helpers.serving import NAME, post, serving

from neurosim.app.serve.limits import Limits
from neurosim.language.attention.chat import ChatTemplate

COMPLETIONS = "/v1/completions"
LIMITS = Limits(batch=2, queue=2, context=200, body=4000, seconds=20.0)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(model_of("gla"), tmp_path_factory.mktemp("model"), LIMITS) as (_, port):
        yield port


def body(**more: Any) -> dict[str, Any]:
    return {"model": NAME, "prompt": "The ", "max_tokens": 4} | more


@pytest.mark.parametrize(
    "attack",
    [
        b"a" * 5000,
        b'{"prompt": ' + b"[" * 3000,
        b"\xff\xfe",
        body(prompt="x" * 3000),
        body(max_tokens=1 << 62),
        body(max_tokens=-1),
        body(stop=["x"] * 200),
        body(stop="x" * 1000),
        body(temperature=1e308),
        body(n=1 << 20),
        body(prompt=[1 << 70]),
        body(prompt=[-1, 5]),
        body(seed="x" * 900),
        body(model="../../etc/passwd"),
        [],
        None,
    ],
)
def test_requests_that_ask_too_much(attack: Any, port: int) -> None:
    status, answer = post(port, COMPLETIONS, attack)
    assert 400 <= status < 500 and len(answer["error"]["message"].splitlines()) == 1
    # The next client is served.
    assert post(port, COMPLETIONS, body())[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (1 << 17) + b"\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n{",
        b"\x16\x03\x01\x02\x00" + bytes(200),
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_heads_that_are_none(head: bytes, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        try:
            client.sendall(head)
            answer = client.recv(1 << 16)
        except ConnectionError:
            answer = b""
    assert not answer or b" 4" in answer.splitlines()[0]
    assert post(port, COMPLETIONS, body())[0] == 200


def test_pages_of_other_names_do_not_get_through(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Host": "evil.example", "Content-Type": "application/json"}
    connection.request("POST", COMPLETIONS, json.dumps(body()), headers)
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.com"])
def test_other_machines_need_a_key_first(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROSIM_API_KEY", raising=False)
    result = CliRunner().invoke(main, ["serve", "nowhere", "--host", host])
    assert result.exit_code == 2 and "NEUROSIM_API_KEY" in result.output


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__base__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ messages.append(messages) }}",
        "{% include '/etc/passwd' %}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
        "{{ strftime_now.__globals__ }}",
        "{{ 'x' * 10 ** 15 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_templates_by_others(template: str) -> None:
    try:
        text = ChatTemplate(template, {}, "model").render([{"role": "user", "content": "x"}])
    except NeurosimError as error:
        assert len(str(error).splitlines()) == 1
    else:
        # jinja writes nothing for what its sandbox hides.
        assert "<" not in text and "class" not in text


def test_messages_are_no_template() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", {}, "model")
    assert template.render([{"role": "user", "content": "{{ 7 * 7 }}"}]) == "{{ 7 * 7 }}"
