"""Mutants of every kind of saved state, by value, and of every text and binary reader, by byte.

python benchmarks/fuzz.py --mutants 2000                     every kind: refused, or used without a fault
python benchmarks/fuzz.py --kinds simulation --mutants 50
python benchmarks/fuzz.py --readers --mutants 3000
python benchmarks/fuzz.py --readers --guided 3600 --corpus corpus     an hour, spread over the readers

A mutant of a saved state has a right digest, so its values are all that can be refused. It is loaded and used in a
process that may die: what ends it is a crash, what lasts longer than --seconds a hang, any error but ours a stray one.
What is accepted is used twice and must give the same numbers. With NUMBA_BOUNDSCHECK=1 an index outside an array
becomes an IndexError in every kernel that indexes arrays, and so a stray error.

With --guided a mutant that reaches lines of the package which none before has reached joins the corpus, and mutants of
it are tried as well: so checks behind checks are met. --corpus keeps the corpus for the next time.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import frame
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

OUTCOMES = ("refused", "accepted", "stray", "differs", "crash", "hang")
FAULTS = OUTCOMES[2:]
# Of a kind: enough for the paths through a reader, and small.
MAX_CORPUS = 64
MEMORY = 12 << 30


def generator(name: str, trial: int) -> np.random.Generator:
    return np.random.default_rng([*name.encode(), trial])


def try_saved(name: str, folder: Path, trial: int, sound: Path) -> tuple[str, str]:
    """Return the outcome of a mutant of `sound`, which it leaves at `folder`/mutant, and what it was."""
    from helpers.mutants import mutate
    from helpers.saved_kinds import KINDS

    from neurosim import NeurosimError

    path = folder / "mutant"
    words = mutate(path, sound, generator(name, trial))
    try:
        with np.errstate(all="ignore"):
            first, second = (KINDS[name].use(path) for _ in range(2))
    except NeurosimError as error:
        if len(str(error).splitlines()) > 1:
            return ("stray", f"{words}: {error}")
        return ("refused", words)
    except Exception as error:
        return "stray", f"{words}: {type(error).__name__}: {error}"
    same = all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(first, second, strict=True))
    return ("accepted", words) if same else ("differs", words)


def try_reader(name: str, folder: Path, trial: int, sound: Path) -> tuple[str, str]:
    """Return the outcome of a mutated file, which it leaves at `folder`/mutant."""
    from helpers.mutated_files import READERS, examine, mutate

    from neurosim import NeurosimError

    path = folder / "mutant"
    path.write_bytes(mutate(sound.read_bytes(), generator(name, trial)))
    try:
        examine(READERS[name][1](path))
    except NeurosimError:
        return "refused", ""
    except Exception as error:
        return "stray", f"{type(error).__name__}: {error}"
    return "accepted", ""


def work(attempt: Any, name: str, folder: str, trials: range, pipe: Any) -> None:
    """Try mutants one after the other, and say before each which one it is."""
    import resource
    import warnings

    # What asks for more than this ends in a MemoryError, which is a stray error, and not in the machine's swap.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    for trial in trials:
        pipe.send(trial)
        pipe.send(attempt(name, Path(folder), trial, Path(folder) / "sound"))
    pipe.send(None)


def reached_lines(action: Callable[[], Any]) -> tuple[Any, set[tuple[str, int, int]]]:
    """Return what `action` returns, and the pairs of lines of the package that followed one another."""
    import neurosim

    package = str(Path(neurosim.__file__).resolve().parent)
    pairs: set[tuple[str, int, int]] = set()

    def enter(frame: Any, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(package):
            return None
        last = 0

        def step(frame: Any, event: str, argument: Any) -> Any:
            nonlocal last
            pairs.add((frame.f_code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step(frame, event, argument)

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        return action(), pairs
    finally:
        sys.settrace(before)


def explore(attempt: Any, name: str, folder: str, first: int, end: float, pipe: Any) -> None:
    """Try mutants of the files in `folder`/corpus until `end`, and add those that reach new lines to it."""
    import resource
    import warnings

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    place = Path(folder)
    corpus = sorted((place / "corpus").iterdir())
    known: set[tuple[str, int, int]] = set()
    trial = first
    while time.time() < end:
        chance = generator(name, trial)
        base = corpus[int(chance.integers(len(corpus)))]
        pipe.send(trial)
        (outcome, words), pairs = reached_lines(lambda: attempt(name, place, trial, base))  # noqa: B023 - called at once
        pipe.send((outcome, words, len(known | pairs)))
        # Of an empty file there are no mutants.
        grows = not pairs <= known and trial > first and (place / "mutant").stat().st_size > 0
        if grows and len(corpus) < MAX_CORPUS:
            corpus.append(keep(place / "mutant", place / "corpus"))
        known |= pairs
        trial += 1
    pipe.send(None)


def keep(mutant: Path, corpus: Path) -> Path:
    """Copy a mutant, a file or the folder of a model, into the corpus by the digest of its content."""
    files = sorted(mutant.rglob("*")) if mutant.is_dir() else [mutant]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    target = corpus / digest
    if mutant.is_dir():
        shutil.copytree(mutant, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(mutant, target)
    return target


def guided(attempt: Any, name: str, folder: str, options: Any, seconds: float) -> Iterator[tuple[int, str, str]]:
    """Yield (number, outcome, words) of each mutant, as `outcomes`; the last is "lines", their number."""
    context = multiprocessing.get_context("spawn")
    trial = lines = 0
    end = time.time() + seconds
    while time.time() < end:
        here, there = context.Pipe()
        process = context.Process(target=explore, args=(attempt, name, folder, trial, end, there))
        process.start()
        there.close()
        patience = 600.0  # the first one compiles
        while True:
            try:
                message = here.recv() if here.poll(patience) else "hang"
            except EOFError:
                process.join()
                message = "crash"
            if isinstance(message, int):
                trial = message
                continue
            if isinstance(message, tuple):
                outcome, words, lines = message
                yield trial, outcome, words
                trial += 1
                patience = options.seconds
                continue
            process.kill()
            process.join()
            if message is not None:
                yield trial, message, f"exit code {process.exitcode}"
                trial += 1
            break
    yield trial, "lines", str(lines)


def outcomes(attempt: Any, name: str, folder: str, mutants: int, seconds: float) -> Iterator[tuple[int, str, str]]:
    """Yield (number, outcome, words) of each mutant; a process that died or hangs is followed by another."""
    context = multiprocessing.get_context("spawn")
    trial = 0
    while trial < mutants:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(attempt, name, folder, range(trial, mutants), there))
        process.start()
        there.close()
        patience = 600.0  # the first one compiles
        while True:
            try:
                message = here.recv() if here.poll(patience) else "hang"
            except EOFError:
                message = "crash"
            if message is None:
                trial = mutants
            elif isinstance(message, int):
                trial = message
                continue
            elif isinstance(message, str):
                yield trial, message, f"exit code {process.exitcode}"
                trial += 1
            else:
                yield trial, *message
                patience = seconds
                continue
            process.kill()
            process.join()
            break


def guided_trials(
    attempt: Callable[..., Any], name: str, folder: str, options: argparse.Namespace, seconds: float
) -> Iterator[tuple[int, str, str]]:
    """Yield the trials of `guided`, whose corpus begins with what --corpus has kept, and is kept there afterwards."""
    corpus = Path(folder) / "corpus"
    stored = options.corpus / name.replace(" ", "-") if options.corpus else None
    if stored is not None and stored.is_dir():
        shutil.copytree(stored, corpus)
    else:
        corpus.mkdir()
    keep(Path(folder) / "sound", corpus)
    yield from guided(attempt, name, folder, options, seconds)
    if stored is not None:
        shutil.copytree(corpus, stored, dirs_exist_ok=True)


def tally(name: str, trials: Iterable[tuple[int, str, str]], corpus: Path) -> tuple[dict[str, Any], list[str]]:
    """Return how often each outcome came, and a line for each fault."""
    row: dict[str, Any] = {"kind": name, **dict.fromkeys(OUTCOMES, 0)}
    faults = []
    for trial, outcome, words in trials:
        if outcome == "lines":
            row |= {"lines": int(words), "corpus": len(list(corpus.iterdir()))}
            continue
        row[outcome] += 1
        if outcome in FAULTS:
            faults.append(f"    {trial}: {outcome}: {words[:300]}")
    return row, faults


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--kinds", nargs="*", help="of saved state; all")
    parser.add_argument("--readers", nargs="*", help="of files instead; all where none is named")
    parser.add_argument("--guided", type=float, metavar="SECONDS", help="of all kinds together; by the lines reached")
    parser.add_argument("--corpus", type=Path, help="folder that keeps the corpus of --guided")
    parser.add_argument("--seconds", type=float, default=20.0, help="after which a mutant hangs")
    options = parser.parse_args()
    from helpers.mutated_files import READERS
    from helpers.saved_kinds import KINDS

    of_files = options.readers is not None
    attempt = try_reader if of_files else try_saved
    if of_files:
        names = options.readers or list(READERS)
    else:
        names = options.kinds or list(KINDS)
    rows: list[dict[str, Any]] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            sound = Path(folder) / "sound"
            if of_files:
                sound.write_bytes(READERS[name][0]())
            else:
                KINDS[name].make(sound)
            if options.guided:
                trials = guided_trials(attempt, name, folder, options, options.guided / len(names))
            else:
                trials = outcomes(attempt, name, folder, options.mutants, options.seconds)
            row, faults = tally(name, trials, Path(folder) / "corpus")
        rows.append(row)
        # Each as it comes: thousands of mutants of a kind take minutes.
        frame.say("\n".join([str(row), *faults[:20]]))
    frame.report(options, frame.records(rows), {"rows": rows})


if __name__ == "__main__":
    main()
