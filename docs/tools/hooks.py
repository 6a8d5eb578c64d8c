"""Hooks of mkdocs: run the programs of every page, show their output, and write the reference from the packages.

The pages are run two at a time, each in a process and a folder of its own below `build/pages`. A page whose output is
newer than it and than the package is not run again.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import gallery
import notebooks
import programs
import settings

WORK = programs.ROOT / "build" / "pages"
# Rooms of the reference, in the order of the page that lists them.
ROOMS = ("", "base", "data", "network", "engine", "memory", "learning", "language", "app")
# Modules whose public names users reach by the module, on the page of their room.
MODULES = {
    "base": ("measure.profiles",),
    "data": (
        "spikes",
        "read_report",
        "stats",
        "frames",
        "filters",
        "series",
        "camera",
        "files.formats",
        "files.samples",
        "files.shd",
        "files.tables",
        "files.numpy_files",
        "folder.options",
        "download",
    ),
    "network": ("synapses.patterns", "plasticity.timing", "plasticity.hebbian", "plasticity.structural", "stimuli"),
    "engine": ("tables",),
    "memory": ("sdr.probability", "macrocolumn.saved", "macrocolumn.theory"),
    "learning": ("training.saved", "continual.evaluation", "continual.streams"),
    "language": ("conversion.generate", "conversion.costs", "conversion.comparison"),
    "app": ("plot",),
}
# What other programs read and write, by the heading of its page.
INTEROP = {
    "NIR": ("network.nir.load", "network.nir.save", "network.nir.files"),
    "pandas, xarray, Neo": ("engine.tables",),
    "tonic": ("data.tonic",),
    "SONATA": ("engine.sonata.circuit", "data.files.sonata"),
    "snnTorch": ("learning.layers.snntorch",),
    "NeuroBench": ("learning.training.neurobench",),
    "Language models": ("language.attention.checkpoint", "language.attention.hub"),
}
# Files of the repository that become part of the site, so that it needs no address of a repository.
PAGES = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
FOLDERS = ("examples", "benchmarks")
SOURCES = ("neurosim", "kernels", "datasets", "examples", "docs/tools")
_outputs: dict[str, dict[str, dict[str, Any]]] = {}
_pictures: dict[str, Path] = {}


def on_pre_build(config: Any) -> None:
    """Run the pages that have programs, and the examples of the gallery."""
    folder = Path(config["docs_dir"])
    pages = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.md")) if _has_programs(path)}
    sources = (path for part in SOURCES for path in (programs.ROOT / part).rglob("*.py"))
    changed = max(path.stat().st_mtime for path in sources)
    with ThreadPoolExecutor(2) as pool:
        # The tutorials take longest and come last by name: first, or one of them runs alone at the end.
        ordered = sorted(pages, key=lambda name: not name.startswith("tutorials/"))
        names = list(gallery.examples())
        found = pool.map(lambda name: _run(name, pages[name], changed), ordered)
        drawn = pool.map(lambda name: gallery.run(name, WORK / "examples" / name, changed), names)
        _outputs.update(zip(ordered, found, strict=True))
        _pictures.update(zip(names, drawn, strict=True))


def on_files(files: Files, config: Any) -> Files:
    """Add what programs left, pages and scripts from beside docs/, and the pages of the reference."""
    for name, found in _outputs.items():
        for output in found.values():
            for path in (*output["pictures"], *output["reports"]):
                content = (WORK / Path(name).with_suffix("") / path).read_bytes()
                files.append(File.generated(config, _address(name, path), content=content))
    for name, picture in _pictures.items():
        files.append(File.generated(config, f"gallery-files/{name}{picture.suffix}", content=picture.read_bytes()))
    for page in PAGES:
        text = re.sub(r"\]\(docs/", "](../", (programs.ROOT / page).read_text("utf-8"))
        files.append(File.generated(config, f"about/{page}", content=text))
    for folder in FOLDERS:
        for path in sorted((programs.ROOT / folder).glob("*.*")):
            files.append(File.generated(config, f"{folder}/{path.name}.txt", content=path.read_text("utf-8")))
    for name, tree in settings.schemas(programs.ROOT).items():
        files.append(File.generated(config, f"schemas/{name}.json", content=json.dumps(tree, indent=2)))
    files.append(File.generated(config, "reference/settings.md", content=settings.page(programs.ROOT)))
    for path in sorted(notebooks.TUTORIALS.glob("*.md")):
        name = f"tutorials/{path.stem}.ipynb"
        files.append(File.generated(config, name, content=json.dumps(_notebook(path), indent=1)))
    for room in ROOMS:
        files.append(File.generated(config, f"reference/{room or 'neurosim'}.md", content=_reference(room)))
    files.append(File.generated(config, "reference/interop.md", content=_interop()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Return a page with the output of each program below it; links out of docs/ lead to what `on_files` added."""
    name = page.file.src_uri
    markdown = _links(markdown).replace(gallery.PLACE, gallery.entries())
    if name.startswith("tutorials/"):
        markdown = markdown.replace("\n", f"\n\n[This page as a notebook]({Path(name).stem}.ipynb)\n", 1)
    parts, last = [], 0
    for number, block in enumerate(programs.blocks(markdown)):
        parts.append(markdown[last : block.end])
        last = block.end
        output = _outputs.get(name, {}).get(str(number))
        following = markdown[block.end :].lstrip().startswith("```text")
        if output:
            parts.append(_shown(name, output, with_text=not following))
    return "".join([*parts, markdown[last:]])


def on_post_template(output: str, template_name: str, config: Any) -> str:
    """Return the page of a missing address with links that hold in a folder of files, too.

    A server shows it at any depth, so that mkdocs links from the root of the site, which a file does not have.
    """
    if template_name != "404.html":
        return output
    root = urlsplit(config["site_url"] or "").path or "/"
    base = f"<script>location.protocol === 'file:' || document.write('<base href=\"{root}\">')</script>"
    links = re.sub(rf'(href|src)="{root}(?!/)', r'\1="', output)
    return links.replace("<head>", f"<head>{base}", 1)


def _has_programs(path: Path) -> bool:
    return any(block.language in {"python", "sh", "toml"} for block in programs.blocks(path.read_text("utf-8")))


def _run(name: str, path: Path, changed: float) -> dict[str, dict[str, Any]]:
    folder = WORK / Path(name).with_suffix("")
    outputs = folder / "outputs.json"
    if not outputs.exists() or outputs.stat().st_mtime < max(changed, path.stat().st_mtime):
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, str(Path(programs.__file__)), str(path), str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise PluginError(f"{name}: a program failed\n{done.stderr}")
    found: dict[str, dict[str, Any]] = json.loads(outputs.read_text("utf-8"))
    return found


def _address(name: str, path: str) -> str:
    """Return where a file that a page's program left lies in the site."""
    return f"{Path(name).with_suffix('').as_posix()}-files/{path.replace('/', '-')}"


def _notebook(path: Path) -> dict[str, Any]:
    """Return the notebook of a tutorial with the outputs of this run."""
    name = f"tutorials/{path.name}"
    outputs = _outputs.get(name, {})
    folder = WORK / Path(name).with_suffix("")
    names = [picture for output in outputs.values() for picture in output["pictures"]]
    pictures = {picture: (folder / picture).read_text("utf-8") for picture in names}
    return notebooks.notebook(path.read_text("utf-8"), outputs, pictures)


def _shown(name: str, output: dict[str, Any], *, with_text: bool) -> str:
    parts = []
    if output["text"].strip() and with_text:
        parts.append(f'``` {{ .text title="output" }}\n{output["text"].rstrip()}\n```\n')
    base = Path(name).stem
    for path in output["pictures"]:
        picture = (WORK / Path(name).with_suffix("") / path).read_text("utf-8")
        parts.append(f"![{_words_of(picture, path)}]({base}-files/{path.replace('/', '-')}#on-white)\n")
    for path in output["reports"]:
        words = "The report that this wrote"
        if len(output["reports"]) > 1:
            words = f"The report in {Path(path).parent.as_posix()}"
        parts.append(f"[{words}]({base}-files/{path.replace('/', '-')})\n")
    return "\n" + "\n".join(parts) + "\n" if parts else ""


def _words_of(picture: str, otherwise: str) -> str:
    """Return the words of an SVG for screen readers: of our charts an attribute, of matplotlib's the title."""
    words = re.search(r'aria-label="([^"]*)"|<dc:title>([^<]*)</dc:title>', picture)
    if words is None:
        return otherwise
    return words[1] or words[2]


def _links(markdown: str) -> str:
    markdown = re.sub(rf"\]\(((?:\.\./)+)({'|'.join(PAGES)})", _into_about, markdown)
    return re.sub(rf"\]\(((?:\.\./)+)((?:{'|'.join(FOLDERS)})/[\w.]+)", _into_site, markdown)


def _into_site(link: re.Match[str]) -> str:
    return f"]({link[1].removeprefix('../')}{link[2]}.txt"


def _into_about(link: re.Match[str]) -> str:
    """Return the link to a page of the repository from a page of docs/, which lies one folder deeper there."""
    return f"]({link[1].removeprefix('../')}about/{link[2]}"


def _interop() -> str:
    """Return the page of what other programs read and write."""
    lines = [
        "# Other programs",
        "",
        "Modules that read and write what other programs do. Each needs an extra of its name.",
    ]
    for heading, modules in INTEROP.items():
        lines += ["", f"## {heading}", "", *(f"::: neurosim.{module}" for module in modules)]
    return "\n".join(lines) + "\n"


def _reference(room: str) -> str:
    """Return the page of a room: its first line, the names of its face in their order, then names of its modules."""
    package = f"neurosim.{room}".rstrip(".")
    tree = ast.parse((programs.ROOT / package.replace(".", "/") / "__init__.py").read_text("utf-8"))
    lines = [f"# {package}", "", ast.get_docstring(tree) or "", ""]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            module = importlib.util.resolve_name("." * node.level + node.module, package)
            names = [alias.name for alias in node.names if alias.name == alias.asname]
            lines += [f"::: {module}.{name}" for name in names]
    lines += [f"::: {package}.{module}" for module in MODULES.get(room, ())]
    return "\n".join(lines) + "\n"
