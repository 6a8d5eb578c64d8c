"""A disk that is full from the n-th write on, or takes half of each, below every writer: Python, HDF5, safetensors.

Run as a process of its own, whose children are its forks. A library that stands before libc's counts what writes to
files below a folder: writes, renames, syncs, new files. `FULL` refuses from a number on, `ONCE` that one alone, `SHORT`
takes half of what each write brings, which POSIX allows.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers import kills
from helpers.killed import ROOT, Kills, _manifest, _run
from helpers.kills import sets
from helpers.results import untimed
from helpers.tasks import SMALL, network
from helpers.trained_once import train_once

COUNT, FULL, ONCE, SHORT = range(1, 5)
# The folder whose disk is full; what the children say goes beside it.
DISK = Path.cwd() / "disk"


def write_configs() -> None:
    """Write the files that commands of `KINDS` read."""
    Path("net.toml").write_text(network(0.1))
    Path("stream.toml").write_text(SMALL)


def prepare_edges() -> None:
    """Write a table of edges."""
    lines = [f"{k},{(7 * k + 3) % 20},{1 + k % 3}" for k in range(20)]
    Path("edges.csv").write_text("\n".join(["pre,post,weight", *lines]) + "\n")


def prepare_pipeline() -> None:
    """Write a pipeline on few digits, whose readout is known to this process and its forks."""
    from helpers.pipelines import prepare_here, write

    prepare_here()
    write("pipe.toml", data={"save_every": 20})


def prepare_language() -> None:
    """Train a language model for three steps, and write the text that it is converted on."""
    Path("text.txt").write_text("".join(f"{k} times {k} is {k * k}, and that is that.\n" for k in range(400)))
    sizes = sets("model.layers=1", "model.width=16", "model.hidden=16", "training.batch=2", "training.length=24")
    words = ["convert", "lm-train", "--text", "text.txt", "--steps", "3", *sizes, "--out", "lm", "--quiet"]
    assert _run(words) == 0


def _of(*words: str, prepare: str = "", resume: Sequence[str] = ()) -> Kills:
    """Return a command; one that cannot continue starts again in the same folder."""
    named = f"{__name__}:{prepare}" if prepare else ""
    return Kills(words, resume, 0, (0, 0), (0.0, 0.0), prepare=named)


STORE = ("--limit", "20", *sets("data.train_limit=60", "baselines.cnn=false"))
EDGES = ("--activate", "3", "--rate", "200", "--weight", "1.5", "--duration", "0.1", "--trials", "2")
CONVERT = (
    *("--scheme", "ternary", "--k", "3", "--calibrate", "text.txt", "--tokens", "200"),
    *sets("calibration.windows=2", "calibration.length=24", "report.layer_tokens=40", "report.executed_tokens=24"),
)
GRID = ("--grid", "population.E.tau_mem=0.01,0.02", "--seeds", "2")
KINDS = {
    **kills.KINDS,
    "network": _of("simulate", "--config", "net.toml"),
    "edges": _of("simulate", "--edges", "edges.csv", *EDGES, prepare="prepare_edges"),
    "pipeline": _of("simulate", "--config", "pipe.toml", prepare="prepare_pipeline", resume=("simulate",)),
    "store": _of("memory", "store", "digits", *STORE),
    "convert": _of("convert", "lm", *CONVERT, prepare="prepare_language"),
    "sweep": _of("sweep", "net.toml", *GRID, resume=("sweep",)),
}

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, COUNT, FULL, ONCE, SHORT };
static char folder[4096];
static int mode = NONE;
static long at, seen;

void disk_set(const char *path, int how, long number) {
    strncpy(folder, path, sizeof folder - 1);
    mode = how;
    at = number;
    seen = 0;
}

long disk_seen(void) { return seen; }

static int below(const char *path) { return strncmp(path, folder, strlen(folder)) == 0; }

static int open_below(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int refused(int inside) {
    if (mode == NONE || !inside) return 0;
    long number = __atomic_fetch_add(&seen, 1, __ATOMIC_RELAXED);
    int no = (mode == FULL && number >= at) || (mode == ONCE && number == at);
    if (no) errno = ENOSPC;
    return no;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define HALF(n, file) (mode == SHORT && (n) > 1 && open_below(file) ? (n) / 2 : (n))

ssize_t write(int file, const void *data, size_t n) {
    return refused(mode && open_below(file)) ? -1 : REAL(write)(file, data, HALF(n, file));
}
ssize_t pwrite(int file, const void *data, size_t n, off_t where) {
    return refused(mode && open_below(file)) ? -1 : REAL(pwrite)(file, data, HALF(n, file), where);
}
ssize_t pwrite64(int file, const void *data, size_t n, off64_t where) {
    return refused(mode && open_below(file)) ? -1 : REAL(pwrite64)(file, data, HALF(n, file), where);
}
ssize_t writev(int file, const struct iovec *parts, int n) {
    return refused(mode && open_below(file)) ? -1 : REAL(writev)(file, parts, HALF(n, file));
}
size_t fwrite(const void *data, size_t size, size_t n, FILE *stream) {
    return refused(mode && open_below(fileno(stream))) ? 0 : REAL(fwrite)(data, size, n, stream);
}
ssize_t sendfile64(int out, int in, off64_t *where, size_t n) {
    ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64");
    return refused(mode && open_below(out)) ? -1 : real(out, in, where, HALF(n, out));
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags) {
    return refused(mode && open_below(out)) ? -1 : REAL(copy_file_range)(in, from, out, to, HALF(n, out), flags);
}
int fsync(int file) { return refused(mode && open_below(file)) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return refused(mode && open_below(file)) ? -1 : REAL(fdatasync)(file); }
int rename(const char *old, const char *new) { return refused(mode && below(new)) ? -1 : REAL(rename)(old, new); }
int mkdir(const char *path, mode_t rights) { return refused(mode && below(path)) ? -1 : REAL(mkdir)(path, rights); }

#define OPEN(name)                                                                                   \
    int name(const char *path, int flags, ...) {                                                     \
        va_list rest;                                                                                \
        va_start(rest, flags);                                                                       \
        mode_t rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
        va_end(rest);                                                                                \
        return refused(mode && flags & O_CREAT && below(path)) ? -1 : REAL(name)(path, flags, rights); \
    }
OPEN(open)
OPEN(open64)
"""


def build(folder: Path) -> Path | None:
    """Return the library, compiled into `folder`; None where there is no compiler of C, or another system."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    source = folder / "disk.c"
    source.write_text(LIBRARY)
    library = folder / "disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"], check=True)
    return library


def fill_many(command: Kills, folder: Path, *, every: int) -> dict[str, Any]:
    """Fill the disk at one of `every` writes of a command, in `folder`; see `_main` for what is returned."""
    library = build(folder)
    assert library is not None
    words = [sys.executable, __file__, json.dumps([command.first, command.resume, every, command.prepare])]
    paths = os.pathsep.join([str(ROOT), str(ROOT.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "LD_PRELOAD": str(library)}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    counts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counts


def _main(first: Sequence[str], resume: Sequence[str], every: int, prepare: str) -> None:
    """Print how many writes a run has, how many runs met a full disk, and what was wrong afterwards."""
    write_configs()
    if prepare:
        module, _, name = prepare.partition(":")
        getattr(importlib.import_module(module), name)()
    here = DISK
    here.mkdir()
    begin = [*first, "--quiet", "--out"]
    # The first run trains them, and the children have its answers.
    train_once()
    assert _run([*begin, str(here / "whole")]) == 0  # also loads what the children need
    whole = _figures(here / "whole")
    _, _, writes = _child([*begin, str(here / "counted")], COUNT, 0)
    status, _, _ = _child([*begin, str(here / "short")], SHORT, 0)
    wrong = []
    if status != 0 or _figures(here / "short") != whole:
        wrong.append(f"short writes: status {status}")
    numbers = range(0, writes, every)
    met = 0
    for number in numbers:
        for how in (FULL, ONCE):
            folder = here / f"full{number}-{how}"
            status, said, _ = _child([*begin, str(folder)], how, number)
            met += status != 0
            problem = _problem(status, said)
            if not problem and status:
                problem = _go_on(folder, begin, resume)
            if not problem and _figures(folder) != whole:
                problem = "other figures"
            if problem:
                wrong.append(f"write {number}, {'full' if how == FULL else 'refused once'}: {problem}")
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({"writes": writes, "runs": 2 * len(numbers) + 1, "refused": met, "wrong": wrong}))


def _problem(status: int, said: str) -> str:
    """Return what is wrong with the end of a run whose disk was full; "" where it ended as it must."""
    lines = said.strip().splitlines()
    if status == 0:
        return ""
    if status != 1:
        return f"status {status}: {said[-300:]}"
    if not lines or not lines[-1].startswith("neurosim: ") or "Traceback" in said:
        return f"said: {said[-300:]}"
    if "No space left" not in lines[-1]:
        return f"no reason: {lines[-1]}"
    return ""


def _go_on(folder: Path, begin: Sequence[str], resume: Sequence[str]) -> str:
    """Continue a run, or start it again where it had not begun; return why that failed."""
    known = _manifest(str(folder))
    if known.get("status") == "done":
        words = ["report", str(folder)]
    elif resume and "data" in known:
        words = [*resume, "--quiet", "--resume", str(folder)]
    else:
        words = [*begin, str(folder)]
    status, said, _ = _child(words, 0, 0)
    return "" if status == 0 else f"{' '.join(words[:3])} with room again: {said[-300:]}"


def _child(words: Sequence[str], how: int, number: int) -> tuple[int, str, int]:
    """Return the exit status of a child that ran the words, what it said, and the number of its writes."""
    disk = ctypes.CDLL(None)
    disk.disk_seen.restype = ctypes.c_long
    there, here = os.pipe()
    said = Path("said.txt")
    child = os.fork()
    if child == 0:
        with said.open("wb") as file:
            os.dup2(file.fileno(), 2)
        disk.disk_set(str(DISK).encode() + b"/", how, ctypes.c_long(number))
        status = _run(words)
        seen = disk.disk_seen()
        disk.disk_set(b"", 0, ctypes.c_long(0))
        sys.stderr.flush()
        os.write(here, str(seen).encode())
        os._exit(status)
    os.close(here)
    _, end = os.waitpid(child, 0)
    with os.fdopen(there, "rb") as pipe:
        seen = int(pipe.read() or 0)
    return os.waitstatus_to_exitcode(end), said.read_text(errors="replace"), seen


def _figures(folder: Path) -> Any:
    path = folder / "metrics.json"
    return untimed(json.loads(path.read_text())) if path.exists() else None


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
