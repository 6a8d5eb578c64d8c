"""`neurosim serve` under load: clients that stream texts one after the other, for some seconds or for an hour.

Every client sends prompts of its own behind an instruction that all share, and reads the parts of the answers as they
come; every tenth text is left in the middle. Measured are the time to the first part of a text and that between two
parts; tokens a second over all clients, those written and those stepped (written or read); CPU time of a token; memory
of the server; and joules of the processor package where the system tells them (Linux, RAPL). At the end the server must
be idle, and texts of the run are written again, one at a time: each must be the same, character for character.

    python benchmarks/serve.py --model runs/spiking --clients 1 4 16 --seconds 60
    python benchmarks/serve.py --model runs/spiking --clients 16 --minutes 60
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import frame
import numpy as np

INSTRUCTION = "You answer questions about towns, rivers and machines in one short line, and nothing else.\n"
ABANDONED = 10  # every so many texts is left in the middle
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Text:
    """A text that a client received: what was sent, the answer, and times in seconds."""

    body: dict[str, object]
    text: str = ""
    first: float = 0.0
    gaps: list[float] = field(default_factory=list)
    written: int = 0
    read: int = 0
    problem: str = ""


def body_of(client: int, number: int, tokens: int, size: int = 0) -> dict[str, object]:
    """Return a request that no other one is like, with `size` bytes of text of its own before its question."""
    own = " ".join(str((client * 7919 + number * 104_729 + k * 31_337) % 100_003) for k in range(size // 6 + 1))
    before = f"{own[:size]}\n" if size else ""
    question = f"Question {client}.{number}: what lies behind the {number * 7919 + client}th hill? Answer:"
    seed = client * 1_000_003 + number
    body = {"model": "model", "prompt": INSTRUCTION + before + question, "max_tokens": tokens, "seed": seed}
    return body | {"stream": True, "stream_options": {"include_usage": True}}


def parts_of(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream.

    Raises:
        EOFError: the stream ends without [DONE].
    """
    for line in answer:
        if line.startswith(b"data: [DONE]"):
            return
        if line.startswith(b"data: "):
            yield json.loads(line[6:])
    raise EOFError


def ask(port: int, body: dict[str, object], *, leave: bool = False) -> Text:
    """Send a request, and read its parts; `leave` closes the connection after the first."""
    result = Text(body)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    start = time.perf_counter()
    last = start
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            result.problem = f"{answer.status}: {answer.read(300)!r}"
            return result
        for part in parts_of(answer):
            if "error" in part:
                result.problem = str(part["error"])
                return result
            if part.get("usage"):
                result.written = part["usage"]["completion_tokens"]
                result.read = part["usage"]["prompt_tokens"]
            text = part["choices"][0]["text"] if part["choices"] else ""
            if text:
                now = time.perf_counter()
                if result.text:
                    result.gaps.append(now - last)
                else:
                    result.first = now - start
                last = now
                result.text += text
            if text and leave:
                return result
    except EOFError:
        result.problem = "the stream broke off"
    except OSError as error:
        result.problem = f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return result


@contextmanager
def server(model: str, threads: int, batch: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `neurosim serve`; yield the process and its port."""
    words = [sys.executable, "-m", "neurosim", "serve", model, "--name", "model", "--port", "0"]
    words += ["--threads", str(threads), "--batch", str(batch)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith("serving"):
                break
        else:
            raise SystemExit("the server did not start")
        yield process, int(line.partition("127.0.0.1:")[2].partition("/")[0])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def health(port: int) -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/health")
    found: dict[str, int] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def resident(pid: int) -> float:
    """Return the megabytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def cpu_seconds(pid: int) -> float:
    """Return the seconds that a process has computed, on all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def joules() -> float | None:
    try:
        return int(RAPL.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def let_ask(port: int, clients: int, seconds: float, tokens: int, size: int) -> tuple[list[Text], int]:
    """Let clients send requests for some seconds; return the texts, and the number of those that were left."""
    texts: list[list[Text]] = [[] for _ in range(clients)]
    left = [0] * clients
    end = time.perf_counter() + seconds

    def work(client: int) -> None:
        number = 0
        while time.perf_counter() < end:
            number += 1
            leave = number % ABANDONED == 0
            result = ask(port, body_of(client, number, tokens, size), leave=leave)
            left[client] += leave
            if not leave or result.problem:
                texts[client].append(result)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [text for own in texts for text in own], sum(left)


def load_at_rest(port: int) -> dict[str, int]:
    """Return the load of the server once requests that were left have been cancelled, or after 10 s."""
    for _ in range(200):
        load = health(port)
        if not load["active"] and not load["waiting"]:
            break
        time.sleep(0.05)
    return load


def run(port: int, pid: int, clients: int, seconds: float, tokens: int, size: int) -> dict[str, object]:
    """Let clients send requests for some seconds; return the figures, and what went wrong."""
    before = resident(pid)
    energy = joules()
    computed = cpu_seconds(pid)
    stepped = health(port)["tokens"]
    start = time.perf_counter()
    whole, left = let_ask(port, clients, seconds, tokens, size)
    took = time.perf_counter() - start
    spent = joules()
    after = resident(pid)
    computed = cpu_seconds(pid) - computed
    stepped = health(port)["tokens"] - stepped
    good = [text for text in whole if not text.problem]
    load = load_at_rest(port)
    draws = np.random.default_rng(0)
    sample = [good[i] for i in draws.permutation(len(good))[:20]]
    differ = [text.body for text in sample if ask(port, text.body).text != text.text]
    firsts = [text.first for text in good]
    gaps = [gap for text in good for gap in text.gaps]
    written = sum(text.written for text in good)
    return {
        "clients": clients,
        "seconds": took,
        "texts": len(good),
        "left": left,
        "failed": [text.problem for text in whole if text.problem],
        "written again": len(sample),
        "differ": len(differ),
        "still active": load["active"] + load["waiting"],
        "first part, s": median(firsts),
        "first part, 95 %": float(np.quantile(firsts, 0.95)),
        "between parts, ms": 1e3 * median(gaps),
        "tokens/s written": written / took,
        "tokens/s stepped": stepped / took,
        "CPU ms/token stepped": 1e3 * computed / stepped,
        "J/token": None if energy is None or spent is None or spent < energy else (spent - energy) / written,
        "MB before": before,
        "MB after": after,
    }


def random_model(folder: Path, layers: int, width: int) -> str:
    """Write a byte model of random weights in spikes; return its folder."""
    from neurosim.language import Coding, LanguageConfig, LanguageModel, MixerSpec, convert
    from neurosim.language.conversion.checkpoint import write_converted

    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 4}),) * layers, width=width), 0).eval()
    frame.say(f"{model.parameter_count():,} weights")
    write_converted(folder, convert(model, Coding("ternary", k=3.0, weights="int8")))
    return str(folder)


def main() -> None:
    parser = frame.arguments(__doc__, threads=1)
    parser.add_argument("--model", metavar="FOLDER", help="model or run; default a byte model of random weights")
    parser.add_argument("--layers", type=int, default=4, help="of that one (default 4)")
    parser.add_argument("--width", type=int, default=256, help="of that one (default 256)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16], help="numbers of clients")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each number of clients (default 20)")
    parser.add_argument("--minutes", type=float, help="the same in minutes; 60 for an hour of load")
    parser.add_argument(
        "--prompt", type=int, default=0, help="bytes of text of its own before each question (default 0)"
    )
    parser.add_argument("--tokens", type=int, default=64, help="of each text (default 64)")
    options = parser.parse_args()
    seconds = options.seconds if options.minutes is None else 60 * options.minutes
    rows = []
    with tempfile.TemporaryDirectory() as own:
        model = options.model or random_model(Path(own), options.layers, options.width)
        with server(model, options.threads, 16) as (process, port):
            ask(port, body_of(999, 0, 2))  # the first step compiles what is not in the cache
            for clients in options.clients:
                frame.say(f"{clients} clients for {seconds:g} s")
                rows.append(run(port, process.pid, clients, seconds, options.tokens, options.prompt))
    shown = [{name: len(own) if isinstance(own, list) else own for name, own in row.items()} for row in rows]
    problems = [row for row in rows if row["failed"] or row["differ"] or row["still active"]]
    lines = frame.records(shown)
    if problems:
        lines.append(f"PROBLEMS: {[row['failed'][:3] for row in problems]}")
    frame.report(options, lines, {"rows": rows})
    if problems:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
