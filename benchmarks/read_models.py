"""Memory and time to read, convert, save and decode a language model in bfloat16, each step in its own process (Linux).

    python benchmarks/read_models.py [--layers 24] [--width 1024]     374 M weights; --width 2048: 1.37 G

Random weights; peak memory is that of the whole process, Python and torch among it. Decoding is the compiled step on
one thread, eight tokens.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import frame

STEPS = {
    "import": "pass",
    "read": "model = read_model(FOLDER)",
    "read, convert": "made = convert(read_model(FOLDER), Coding('ternary'))",
    "read, convert, save": "write_converted(FOLDER + '/made', convert(read_model(FOLDER), Coding('ternary')))",
    "read the saved": "made = read_converted(FOLDER + '/made')",
    "decode the saved": "decode(read_converted(FOLDER + '/made').model)",
    "read, convert, decode": "decode(convert(read_model(FOLDER), Coding('ternary')).model)",
}
PROGRAM = """
import re, sys, time
from neurosim.language import Coding, Decoder, convert, read_converted, read_model, write_converted
FOLDER = sys.argv[1]
def decode(model):
    decoder = Decoder(model)
    for token in range(8):
        decoder.step([token])
start = time.perf_counter()
{}
# Not getrusage: its peak begins with that of the process that started this one.
peak = int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) / 1024
print(peak, time.perf_counter() - start)
"""


def write_random(folder: Path, layers: int, width: int) -> float:
    """Write a GLA in bfloat16 as flash-linear-attention names it; return its MB."""
    import torch

    from neurosim.language import LanguageModel
    from neurosim.language.attention.huggingface import READERS
    from neurosim.language.attention.huggingface.config import CheckpointConfig
    from neurosim.language.attention.tensors import DeferredTensor, save_tensors

    config = {"hidden_size": width, "num_hidden_layers": layers, "num_heads": 4, "vocab_size": 32_000}
    reader = READERS["gla"]
    with torch.device("meta"):
        model = LanguageModel(reader.config(CheckpointConfig(config)))

    def drawn(shape: tuple[int, ...]) -> torch.Tensor:
        return (torch.randn(shape) * 0.02 + (len(shape) == 1)).bfloat16()

    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gla"}))
    tensors = []
    for name, value in model.state_dict().items():
        shape = tuple(value.shape)
        tensors.append((reader.theirs(name), DeferredTensor(torch.bfloat16, shape, partial(drawn, shape))))
    save_tensors(folder / "model.safetensors", tensors)
    return (folder / "model.safetensors").stat().st_size / 1e6


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=1024)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        size = write_random(Path(folder), options.layers, options.width)
        for name, step in STEPS.items():
            command = [sys.executable, "-c", PROGRAM.format(step), folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peak, seconds = map(float, done.stdout.split())
            rows.append({"step": name, "peak, MB": peak, "of the file": peak * 1.048576 / size, "seconds": seconds})
    frame.report(options, [f"file {size:.0f} MB", *frame.records(rows)], {"file_mb": size, "rows": rows})


if __name__ == "__main__":
    main()
