"""Time llama.cpp on a llama of random weights: milliseconds a token, CPU and wall, as JSON.

    python run_llama.py --width 1024 --layers 10 --type Q8_0 [--threads 1] [--tokens 64]

A line that says what it is, then a line of times for every line of input. The model is written with `gguf` and read by
`xllamacpp`, a prebuilt llama.cpp; `system` says which instructions that build uses.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

SPECIAL = ("<unk>", "<s>", "</s>")
VOCABULARY = 256 + len(SPECIAL)
HEAD = 64  # channels


def write(path: Path, width: int, layers: int, hidden: int, kind: str) -> int:
    """Write a llama of random weights; return their number."""
    quantisation = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(width // HEAD)
    writer.add_head_count_kv(width // HEAD)
    writer.add_rope_dimension_count(HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))])
    writer.add_token_scores([0.0] * VOCABULARY)
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, *[gguf.TokenType.BYTE] * 256]
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    draws = np.random.default_rng(0)
    count = 0

    def matrix(name: str, rows: int, columns: int) -> None:
        nonlocal count
        values = draws.standard_normal((rows, columns), dtype=np.float32) / np.float32(columns**0.5)
        writer.add_tensor(name, gguf.quants.quantize(values, quantisation), raw_dtype=quantisation)
        count += values.size

    matrix("token_embd.weight", VOCABULARY, width)
    matrix("output.weight", VOCABULARY, width)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for i in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(width, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{i}.{name}.weight", width, width)
        matrix(f"blk.{i}.ffn_gate.weight", hidden, width)
        matrix(f"blk.{i}.ffn_up.weight", hidden, width)
        matrix(f"blk.{i}.ffn_down.weight", width, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--hidden", type=int, help="default: 8/3 width, a multiple of 32")
    parser.add_argument("--type", choices=("Q8_0", "Q4_0", "F32"), default="Q8_0")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    hidden = options.hidden or -(-options.width * 8 // 3 // 32) * 32
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        weights = write(path, options.width, options.layers, hidden, options.type)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 512
        parameters.n_parallel = 1
        parameters.verbosity = -1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = options.threads
        server = xllamacpp.Server(parameters)
        request = {"prompt": "a", "n_predict": options.tokens, "temperature": 0.0, "ignore_eos": True}
        server.handle_completions(request)
        system = {"weights": weights, "type": options.type, "threads": options.threads}
        print(json.dumps(system | {"system": xllamacpp.get_system_info()}), flush=True)
        for _ in sys.stdin:
            start = time.process_time()
            answer = server.handle_completions(request)
            cpu = 1e3 * (time.process_time() - start) / options.tokens
            print(json.dumps({"cpu_ms": cpu, "wall_ms": answer["timings"]["predicted_per_token_ms"]}), flush=True)


if __name__ == "__main__":
    main()
