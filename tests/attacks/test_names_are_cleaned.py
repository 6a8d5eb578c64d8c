"""Promise: names are cleaned before they reach a terminal or a page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers.command import neurosim

from neurosim import LIF, Network, NeurosimError, OneToOne, PoissonInput, Population, Probe, Projection, simulate
from neurosim.app.cli import main
from neurosim.data import read

# Colours and titles of a terminal, a bell, a carriage return, text from right to left, markup.
NAMES = ["a\x1b[2J", "a\x1b]0;owned\x07", "a\rb", "a\u202eb", "<script>alert(1)</script>", '"><img src=x onerror=x>']
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NETWORK = '[simulation]\nduration = 0.01\n\n[[population]]\nname = "E"\nshape = 3\nmodel = "LIF"\n'


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_on_a_terminal(name: str, elsewhere: None) -> None:
    path = Path(name.replace("/", "-") + ".csv")
    path.write_text(f"t,x,y,p\n1,{name},0,0\n")
    for words in (["view", str(path)], ["simulate", name], ["runs", "show", name], ["memory", "recall", name]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code in (1, 2) and not CONTROL.search(result.output), repr(result.output)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_errors(name: str, tmp_path: Path) -> None:
    """The text of an exception is printed by whoever catches it."""
    path = tmp_path / "recording.csv"
    path.write_text(f"t,x,y,p\n0.1,{name},0,0\n")
    with pytest.raises(NeurosimError) as caught:
        read(path)
    assert not CONTROL.search(str(caught.value))


@pytest.mark.parametrize("name", NAMES[:4])
def test_names_in_what_python_prints(name: str) -> None:
    """A network by others is printed by whoever looks at it."""
    joined = Projection(name, name, OneToOne(), 0.1)
    network = Network([Population(name, 3, LIF())], [joined], [PoissonInput(name, 900.0, 0.6)])
    result = simulate(network, 0.01, seed=1, probes=[Probe(name, "v", 1e-3)])
    objects = [network, *network.populations, joined, *network.stimuli, result, result.work, *result.work]
    assert name in result.spikes and len(objects) == 7
    for each in objects:
        table = each._repr_html_() if hasattr(each, "_repr_html_") else ""
        assert not CONTROL.search(f"{each} {each!r} {table}"), repr(each)


class Tags(HTMLParser):
    """The tags of a page, and attributes that run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]


def test_names_on_pages(elsewhere: None) -> None:
    """A run by others, whose manifest and settings hold markup, is reported and listed here."""
    Path("net.toml").write_text(NETWORK)
    neurosim("simulate", "--config", "net.toml", "--quiet", "--out", "runs/one")
    sound = Tags(Path("runs/one/report.html").read_text())
    manifest = Path("runs/one/manifest.json")
    for name in NAMES:
        known = json.loads(manifest.read_text())
        known |= {"name": name, "command": ["neurosim", name], "host": name, "platform": name}
        manifest.write_text(json.dumps(known))
        for words in (["report", "runs/one"], ["runs", "list"], ["runs", "show", "one"]):
            result = CliRunner().invoke(main, words)
            assert result.exit_code == 0, result.output
            assert not CONTROL.search(result.output), repr(result.output)
        page = Tags(Path("runs/one/report.html").read_text())
        assert page.tags.count("script") == sound.tags.count("script")
        assert page.tags.count("img") == sound.tags.count("img") and page.handlers == sound.handlers
