"""Time llama.cpp on a llama: milliseconds a token, CPU and wall, and losses of texts, as JSON.

    python run_llama.py --width 1024 --layers 10 --type Q8_0 [--threads 1] [--tokens 64]
    python run_llama.py --model FILE.gguf [--type Q8_0]

Weights are random, or those of a file, written again in another type where one is given. A line that says what it is,
then a line for every line of input: times, or for JSON lists of token ids the nats of each token but the first of each
list. Models are written with `gguf` and read by `xllamacpp`, a prebuilt llama.cpp; `system` says which instructions
that build uses.
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


def rewrite(source: str, path: Path, kind: str) -> int:
    """Write a model's file again with its matrices in another type; return the number of weights.

    The embedding stays as it is: the file that this is for has it in 8 bits.
    """
    quantisation = gguf.GGMLQuantizationType[kind]
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(str(path), architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        of_entries = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], of_entries)
    count = 0
    for tensor in reader.tensors:
        count += tensor.n_elements
        data = tensor.data
        own = tensor.tensor_type
        if len(tensor.shape) > 1 and tensor.name != "token_embd.weight":
            data = gguf.quants.quantize(gguf.quants.dequantize(data, own), quantisation)
            own = quantisation
        writer.add_tensor(tensor.name, data, raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return count


def nats(server: xllamacpp.Server, window: list[int]) -> list[float]:
    """Return the nats of each token of a text but the first, each one told all tokens before it.

    Each request asks for one token, which a bias decides; the server gives its probability without the bias.
    """
    found = []
    for i in range(1, len(window)):
        request = {"prompt": window[:i], "n_predict": 1, "n_probs": 1, "temperature": 1.0, "samplers": ["temperature"]}
        answer = server.handle_completions(request | {"logit_bias": [[window[i], 1000.0]], "cache_prompt": True})
        token = answer["choices"][0]["logprobs"]["content"][0]
        if token["id"] != window[i]:
            raise RuntimeError(f"llama.cpp wrote token {token['id']} in place of {window[i]}")
        found.append(-token["logprob"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a .gguf file, in place of random weights")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--hidden", type=int, help="default: 8/3 width, a multiple of 32")
    kinds = ("Q8_0", "Q4_0", "Q4_1", "F32")
    parser.add_argument("--type", choices=kinds, help="default: Q8_0, or as the file has it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    hidden = options.hidden or -(-options.width * 8 // 3 // 32) * 32
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        weights = None
        if options.model is None:
            weights = write(path, options.width, options.layers, hidden, options.type or "Q8_0")
        elif options.type is None:
            path = Path(options.model)
        else:
            weights = rewrite(options.model, path, options.type)
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
        for line in sys.stdin:
            if line.strip():
                print(json.dumps({"nats": [nats(server, window) for window in json.loads(line)]}), flush=True)
                continue
            start = time.process_time()
            answer = server.handle_completions(request)
            cpu = 1e3 * (time.process_time() - start) / options.tokens
            print(json.dumps({"cpu_ms": cpu, "wall_ms": answer["timings"]["predicted_per_token_ms"]}), flush=True)


if __name__ == "__main__":
    main()
