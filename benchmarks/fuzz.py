"""Mutants of every kind of saved state, by value, and of every text and binary reader, by byte.

python benchmarks/fuzz.py --mutants 2000                     every kind: refused, or used without a fault
python benchmarks/fuzz.py --kinds simulation --mutants 50
python benchmarks/fuzz.py --readers --mutants 3000

A mutant of a saved state has a right digest, so its values are all that can be refused. It is loaded and used in a
process that may die: what ends it is a crash, what lasts longer than --seconds a hang, any error but ours a stray one.
What is accepted is used twice and must give the same numbers. With NUMBA_BOUNDSCHECK=1 and a NUMBA_CACHE_DIR of its own
an index outside an array becomes an IndexError in every kernel that indexes arrays, and so a stray error.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import frame
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

OUTCOMES = ("refused", "accepted", "stray", "differs", "crash", "hang")
FAULTS = OUTCOMES[2:]
MEMORY = 12 << 30


def generator(name: str, trial: int) -> np.random.Generator:
    return np.random.default_rng([*name.encode(), trial])


def try_saved(name: str, folder: Path, trial: int) -> tuple[str, str]:
    """Return the outcome of a mutant, and what it was."""
    from helpers.mutants import mutate
    from helpers.saved_kinds import KINDS

    from neurosim import NeurosimError

    path = folder / "mutant"
    words = mutate(path, folder / "sound", generator(name, trial))
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


def try_reader(name: str, folder: Path, trial: int) -> tuple[str, str]:
    """Return the outcome of a mutated file."""
    from helpers.mutated_files import READERS, examine, mutate

    from neurosim import NeurosimError

    path = folder / "mutant"
    path.write_bytes(mutate((folder / "sound").read_bytes(), generator(name, trial)))
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
        pipe.send(attempt(name, Path(folder), trial))
    pipe.send(None)


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


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--kinds", nargs="*", help="of saved state; all")
    parser.add_argument("--readers", nargs="*", help="of files instead; all where none is named")
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
            row: dict[str, Any] = {"kind": name, **dict.fromkeys(OUTCOMES, 0)}
            faults = []
            for trial, outcome, words in outcomes(attempt, name, folder, options.mutants, options.seconds):
                row[outcome] += 1
                if outcome in FAULTS:
                    faults.append(f"    {trial}: {outcome}: {words[:300]}")
        rows.append(row)
        # Each as it comes: thousands of mutants of a kind take minutes.
        frame.say("\n".join([str(row), *faults[:20]]))
    frame.report(options, frame.records(rows), {"rows": rows})


if __name__ == "__main__":
    main()
