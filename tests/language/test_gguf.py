"""GGUF files: architectures against recorded logits, blocks against plain decoders, headers that are damaged."""

from __future__ import annotations

import copy
import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.command import neurosim, refused
from helpers.gguf_files import CASES, Blocks, q4_1, q8_0, write_gguf, write_recorded, write_rwkv
from helpers.recorded import recorded_logits, tokens
from helpers.rwkv import tensors
from helpers.vocabularies import train_json, train_sentencepiece
from torch import Tensor, nn

from neurosim.base import CheckpointWarning, NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.language import Coding, convert, python_text, read_model, read_tokenizer
from neurosim.language.attention import tensors as stored_tensors
from neurosim.language.attention.chat import read_chat_template, read_ends
from neurosim.language.attention.checkpoint import write_model
from neurosim.language.attention.gguf.blocks import BLOCKS, BlockTensor, decode
from neurosim.language.attention.gguf.file import read_gguf
from neurosim.language.attention.tokenizer import copy_tokenizer
from neurosim.language.conversion.checkpoint import read_converted, write_converted
from neurosim.language.conversion.comparison import check_execution


@pytest.mark.parametrize("case", CASES)
def test_architectures_give_the_logits_of_their_folders(tmp_path: Path, case: str) -> None:
    """Those of transformers, where the file says all that its config says."""
    path = write_recorded(case, tmp_path)
    with torch.no_grad():
        expected = read_model(tmp_path)(tokens())[0]
        logits = read_model(path)(tokens())[0]
    assert float((logits - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    if not CASES[case][1]:
        assert float((logits - recorded_logits(case)).abs().max()) < 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("version, every", [(6, 0), (6, 1), (7, 0)])
def test_rwkv_gives_the_logits_of_its_pth_file(tmp_path: Path, version: int, every: int) -> None:
    torch.save(tensors(version), tmp_path / "model.pth")
    write_rwkv(version, tmp_path / "model.gguf", every)
    read = torch.arange(14)[None] * 11 % 29
    with torch.no_grad():
        expected = read_model(tmp_path / "model.pth")(read)[0]
        logits = read_model(tmp_path / "model.gguf")(read)[0]
    assert float((logits - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def _half(block: np.ndarray, at: int) -> float:
    return float(block[at : at + 2].view(np.float16)[0])


def _bits(block: np.ndarray, begin: int, end: int) -> list[int]:
    """The bits of some bytes, the lowest of the first byte first."""
    return [int(byte) >> i & 1 for byte in block[begin:end] for i in range(8)]


def _quarter(block: np.ndarray, kind: str) -> list[float]:
    """Weights of a block of 32, one by one."""
    size = {"4": 4, "5": 5, "8": 8}[kind[1]]
    minimum = kind.endswith("1")
    head = 4 if minimum else 2
    d = _half(block, 0)
    m = _half(block, 2) if minimum else 0.0
    if size == 8:
        return [d * int(q) for q in block[2:].view(np.int8)]
    high = _bits(block, head, head + 4) if size == 5 else [0] * 32
    packed = block[head + (4 if size == 5 else 0) :]
    middle = 0 if minimum else 2 ** (size - 1)
    low = [int(packed[i % 16]) >> (4 * (i // 16)) & 15 for i in range(32)]
    return [d * (low[i] + 16 * high[i] - middle) + m for i in range(32)]


def _super(block: np.ndarray, kind: str) -> list[float]:
    """Weights of a block of 256 of Q4_K or Q5_K, one by one."""
    d, m, packed = _half(block, 0), _half(block, 2), block[4:16].astype(int)
    weights = []
    for i in range(256):
        group = i // 32
        if group < 4:
            s, t = packed[group] & 63, packed[group + 4] & 63
        else:
            s = packed[group + 4] & 15 | packed[group - 4] >> 6 << 4
            t = packed[group + 4] >> 4 | packed[group] >> 6 << 4
        nibbles = block[48 if kind == "Q5_K" else 16 :]
        q = int(nibbles[32 * (group // 2) + i % 32]) >> (4 * (group % 2)) & 15
        if kind == "Q5_K":
            q += 16 * (int(block[16 + i % 32]) >> group & 1)
        weights.append(d * s * q - m * t)
    return weights


def _sixth(block: np.ndarray) -> list[float]:
    """Weights of a block of Q6_K, one by one."""
    weights = []
    for i in range(256):
        half, place = divmod(i, 128)
        low = int(block[64 * half + place % 64]) >> (4 * (place // 64)) & 15
        high = int(block[128 + 32 * half + place % 32]) >> (2 * (place // 32)) & 3
        scale = int(block[192 + i // 16 : 193 + i // 16].view(np.int8)[0])
        weights.append(_half(block, 208) * scale * (low + 16 * high - 32))
    return weights


@pytest.mark.parametrize("number", BLOCKS)
def test_blocks_are_decoded_as_one_by_one(number: int) -> None:
    kind = BLOCKS[number]
    rng = np.random.default_rng(number)
    raw = rng.integers(0, 256, (3, 2, kind.bytes), dtype=np.uint8)
    halves = {"Q6_K": [208], "Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2]}.get(kind.name, [0])
    for at in halves:
        raw[..., at : at + 2] = rng.normal(size=(3, 2, 1)).astype(np.float16).view(np.uint8)
    plain: Callable[[np.ndarray], list[float]] = {
        32: lambda block: _quarter(block, kind.name),
        256: _sixth if kind.name == "Q6_K" else lambda block: _super(block, kind.name),
    }[kind.values]
    expected = torch.tensor([[value for block in row for value in plain(block)] for row in raw])
    decoded = decode(kind, torch.from_numpy(raw.reshape(3, -1)))
    assert decoded.shape == expected.shape
    assert float((decoded - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


def test_blocks_are_those_of_the_library() -> None:
    quants = pytest.importorskip("gguf.quants", reason="the library gguf is not installed")
    from gguf import GGMLQuantizationType

    for number, kind in BLOCKS.items():
        raw = np.random.default_rng(number).integers(0, 120, (5, 3 * kind.bytes), dtype=np.uint8)
        expected = torch.from_numpy(quants.dequantize(raw, GGMLQuantizationType(number)))
        assert torch.equal(decode(kind, torch.from_numpy(raw)), expected)


def blocked(name: str, value: Tensor) -> Tensor | Blocks:
    """Matrices in blocks, as llama.cpp stores them: the embedding in 8 bits, all else in 4."""
    if value.dim() < 2 or value.shape[-1] % 32:
        return value
    return q8_0(value) if name == "token_embd.weight" else q4_1(value)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of SmolLM2: a Llama with tied embeddings, matrices in Q4_1, and its own byte pairs."""
    folder = tmp_path_factory.mktemp("gguf")
    width, hidden, heads, words = 64, 96, 4, 400
    rng = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng) * 0.15

    values = {"token_embd.weight": drawn(words, width), "output_norm.weight": torch.ones(width)}
    for i in range(2):
        values |= {f"blk.{i}.{part}_norm.weight": torch.ones(width) for part in ("attn", "ffn")}
        values |= {f"blk.{i}.attn_{part}.weight": drawn(width, width) for part in ("q", "output")}
        values |= {f"blk.{i}.attn_{part}.weight": drawn(width // 2, width) for part in "kv"}
        values |= {f"blk.{i}.ffn_{part}.weight": drawn(hidden, width) for part in ("gate", "up")}
        values[f"blk.{i}.ffn_down.weight"] = drawn(width, hidden)
    entries: dict[str, object] = {
        "block_count": 2,
        "context_length": 512,
        "embedding_length": width,
        "feed_forward_length": hidden,
        "attention.head_count": heads,
        "attention.head_count_kv": heads // 2,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 1e5,
        "rope.dimension_count": width // heads,
    }
    train_json(folder, words)
    head = {"general.architecture": "llama", **{f"llama.{name}": value for name, value in entries.items()}}
    head |= vocabulary(folder / "tokenizer.json", words)
    path = folder / "made.gguf"
    write_gguf(path, head, {name: blocked(name, value) for name, value in values.items()})
    return path


def vocabulary(path: Path, words: int) -> dict[str, object]:
    """The metadata of a `tokenizer.json` of `train_json`."""
    model = json.loads(path.read_text())["model"]
    listed = [word for word, _ in sorted(model["vocab"].items(), key=lambda entry: entry[1])]
    assert len(listed) == words
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": listed,
        "tokenizer.ggml.token_type": [3, 3] + [1] * (words - 2),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{% for m in messages %}{{ bos_token + m.content + eos_token }}{% endfor %}",
    }


@pytest.mark.parametrize(
    "call",
    [
        lambda w: w.detach(),
        lambda w: w.float(),
        lambda w: w.to(torch.bfloat16),
        lambda w: w.to("cpu", torch.float64),
        lambda w: w.index_select(0, torch.tensor([3, 1])),
        lambda w: w.index_select(1, torch.tensor([3, 1])),
        lambda w: w[2:7],
        lambda w: w[3],
        lambda w: w[2:7, 1],
        lambda w: w.split(9)[1],
        lambda w: w.split(9, dim=1)[1],
        lambda w: w * torch.arange(w.shape[1]),
        lambda w: torch.arange(w.shape[1]) * w,
        torch.isfinite,
        lambda w: nn.functional.embedding(torch.tensor([[1, 0]]), w),
        lambda w: nn.functional.embedding(torch.tensor([[1, 0]]), w, padding_idx=0),
    ],
)
@pytest.mark.parametrize("grad", [True, False])
def test_short_ways_are_those_of_the_dispatcher(call: Callable[[Tensor], Tensor], grad: bool) -> None:
    """Operations that torch never sees give what it would, gradients among them."""
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))
    rows[:, 1::20] = 0x2C  # float16 of size .06
    rows[:, 3::20] = 0x2C
    weight = nn.Parameter(BlockTensor(BLOCKS[3], rows), requires_grad=grad)
    own = call(weight)
    with torch._C.DisableTorchFunctionSubclass():
        theirs = call(weight)
    assert type(own) is type(theirs) and own.dtype == theirs.dtype
    assert own.requires_grad == theirs.requires_grad
    assert torch.equal(own.detach().float(), theirs.detach().float())


@pytest.mark.slow
def test_a_file_imports_no_compiler_of_torch(made: Path) -> None:
    """Which takes 55 MB and a second: to read, convert, run and compile a model."""
    program = (
        "import sys, torch; from neurosim.language import Coding, Decoder, convert, read_model; "
        "torch.set_grad_enabled(False); "
        "model = read_model(sys.argv[1]); made = convert(model, Coding(k=8.0)).model; tokens = torch.arange(20)[None]; "
        "model(tokens); made(tokens); Decoder(made).step([1]); "
        "print([name for name in sys.modules if name in ('sympy', 'torch.distributed.tensor')])"
    )
    done = subprocess.run([sys.executable, "-c", program, made], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_matrices_stay_in_blocks(made: Path) -> None:
    """They take no memory but the file's, are decoded exactly, and are widened to be trained."""
    model = read_model(made)
    weight = model.layers[0].mlp.down_proj.weight
    assert isinstance(weight, BlockTensor) and isinstance(weight, nn.Parameter)
    assert weight.kind.name == "Q4_1" and model.lm_head.weight is model.embeddings.weight
    exact = weight.detach().decoded()
    assert exact.dtype == torch.float32 and torch.equal(weight.detach().float(), exact)
    assert torch.equal(weight.detach()[3:9].float(), exact[3:9])
    assert torch.equal(weight.detach().T, exact.T) and torch.equal(weight.detach() * 2, exact * 2)
    parts = weight.detach().split(10)
    assert all(isinstance(part, BlockTensor) for part in parts)
    assert torch.equal(torch.cat([part.float() for part in parts]), exact)
    assert copy.deepcopy(model).layers[0].mlp.down_proj.weight.blocks.data_ptr() == weight.blocks.data_ptr()
    with pytest.raises(NeurosimInputError, match=r"weights in blocks cannot be changed; widen them by \.float\(\)"):
        weight.detach().mul_(2)
    read = torch.arange(40)[None]
    with torch.no_grad():
        logits = model(read)[0]
        wide = model.float()
        assert type(wide.layers[0].mlp.down_proj.weight) is nn.Parameter
        assert wide.lm_head.weight is wide.embeddings.weight
        assert torch.equal(wide(read)[0], logits)
    loss = wide(read)[0].square().mean()
    loss.backward()
    assert float(wide.layers[0].mlp.down_proj.weight.grad.abs().max()) > 0


def test_a_model_in_blocks_converts(made: Path) -> None:
    """As the same model in float32, bit for bit; simulated and executed alike; by a compiled step."""
    from neurosim.language import Decoder

    read = torch.arange(48).view(2, 24)
    spiking = convert(read_model(made), Coding())
    wide = convert(read_model(made).float(), Coding())
    with torch.no_grad():
        assert torch.equal(spiking.model(read)[0], wide.model(read)[0])
    assert check_execution(spiking, read).largest == 0.0
    dense = read_model(made)
    for model in (spiking.model, dense):
        decoder = Decoder(model)
        stepped = torch.stack([torch.from_numpy(decoder.step([token])[0].copy()) for token in read[0].tolist()])
        with torch.no_grad():
            logits = dense(read[:1])[0][0] if model is dense else spiking.model(read[:1])[0][0]
        assert float((stepped - logits).abs().max()) < (1e-4 if model is dense else 0.3) * float(logits.abs().max())


def test_the_vocabulary_of_byte_pairs(made: Path, tmp_path: Path) -> None:
    """Tokens are those of the tokenizer that it was written from, also in a folder that it was copied to."""
    expected = read_tokenizer(made.parent, 400)
    copy_tokenizer(made, tmp_path)
    text = b"<s>def one(two):\n    return 'it' + three  # don't 12345</s>" + python_text()[:2000]
    for tokenizer in (read_tokenizer(made, 400), read_tokenizer(tmp_path, 400)):
        ids = list(tokenizer.encode(text))
        assert ids == list(expected.encode(text)) and tokenizer.decode(ids) == text
        assert tokenizer.first == (0,) and tokenizer.encode_prompt(b"one")[0] == 0
    for model in (made, tmp_path):
        template = read_chat_template(model)
        assert template is not None and template.render([{"role": "user", "content": "one"}]) == "<s>one</s>"
        assert read_ends(model, tokenizer) == {1}


def test_the_vocabulary_of_pieces(tmp_path: Path) -> None:
    """Tokens are those of the SentencePiece model that its pieces and scores come from."""
    from sentencepiece import SentencePieceProcessor

    train_sentencepiece(tmp_path, 400, prefix=True)
    library = SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    kinds = (library.IsUnknown, library.IsControl, library.IsByte)
    types = [next((n for n, is_kind in zip((2, 3, 6), kinds, strict=True) if is_kind(i)), 1) for i in range(400)]
    head = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [library.IdToPiece(i) for i in range(400)],
        "tokenizer.ggml.scores": [library.GetScore(i) for i in range(400)],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
    write_gguf(tmp_path / "pieces.gguf", head, {})
    tokenizer = read_tokenizer(tmp_path / "pieces.gguf", 400)
    for text in ("one two", "  three\tfour é 🙂\n", "x"):
        ids = list(tokenizer.encode(text.encode()))
        assert ids == library.EncodeAsIds(text) and tokenizer.decode(ids) == library.DecodeIds(ids).encode()
    assert tokenizer.first == (1,)


def test_the_vocabulary_of_byte_strings(tmp_path: Path) -> None:
    words = ["<s>", *(repr(bytes([i]))[2:-1] for i in range(256)), repr(b"it's")[2:-1], r"\xc3\xa9", "[PAD0]"]
    head = {
        "general.architecture": "rwkv7",
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [3] + [1] * 258 + [5],
    }
    write_gguf(tmp_path / "world.gguf", head, {})
    tokenizer = read_tokenizer(tmp_path / "world.gguf", 260)
    text = "it's é \\ \n '\"".encode()
    ids = list(tokenizer.encode(text))
    assert ids[:3] == [257, 1 + ord(" "), 258] and tokenizer.decode(ids) == text


WRONG: list[tuple[dict[str, object], str]] = [
    ({"general.architecture": "gemma3n"}, r"general.architecture: unknown name 'gemma3n'; .*choose from gemma, gemma2"),
    ({"general.architecture": 3}, "general.architecture: must be the name of an architecture"),
    ({"llama.block_count": "two"}, r"metadata 'llama.block_count' must be an integer > 0 \(got two\)"),
    ({"llama.block_count": 3}, "missing 'blk.2.attn_k.weight'"),
    ({"llama.expert_count": 8}, r"metadata 'llama.expert_used_count' must be an integer > 0 \(got None\)"),
    ({"llama.attention.value_length": 3}, "'llama.attention.value_length' must be 6, as attention.key_length"),
    ({"llama.rope.scaling.type": "longrope"}, "'llama.rope.scaling.type' must be none, linear or yarn"),
    ({"llama.attention.layer_norm_rms_epsilon": "small"}, "must be a finite number"),
    ({"general.alignment": 0}, "general.alignment must be an integer of 1"),
]


@pytest.mark.parametrize("change, message", WRONG, ids=lambda x: next(iter(x)) if isinstance(x, dict) else "")
def test_what_is_refused_says_what_was_seen(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = write_recorded("llama", tmp_path, change)
    with pytest.raises((NeurosimInputError, NeurosimFormatError), match=message):
        read_model(path)


def test_a_model_in_several_parts(tmp_path: Path) -> None:
    """Any of them stands for all; the entries are in the first."""
    kept: dict[str, Tensor] = {}
    whole = write_recorded("llama", tmp_path, store=kept.setdefault)
    head = read_gguf(whole).metadata
    names = list(kept)
    parts = [tmp_path / f"made-{number:05d}-of-00002.gguf" for number in (1, 2)]
    about = {"split.count": 2, "split.tensors.count": len(names)}
    write_gguf(parts[0], {**head, **about, "split.no": 0}, {name: kept[name] for name in names[:9]})
    write_gguf(parts[1], {**about, "split.no": 1}, {name: kept[name] for name in names[9:]})
    with torch.no_grad():
        expected = read_model(whole)(tokens())[0]
        assert all(torch.equal(read_model(part)(tokens())[0], expected) for part in parts)
    write_gguf(parts[1], {**about, "split.no": 1}, {name: kept[name] for name in names[10:]})
    with pytest.raises(NeurosimFormatError, match=rf"all parts must have {len(names)} tensors"):
        read_gguf(parts[0])
    parts[1].rename(tmp_path / "other.gguf")
    with pytest.raises(NeurosimMissingError, match=r"made-00002-of-00002\.gguf: no such file"):
        read_gguf(parts[0])
    with pytest.raises(NeurosimFormatError, match="is one of 2 parts, which must be called NAME-00001-of-00002"):
        read_gguf(tmp_path / "other.gguf")


def test_types_and_vocabularies_that_are_not_read_are_named(made: Path, tmp_path: Path) -> None:
    raw = np.zeros(66, np.uint8)
    write_gguf(tmp_path / "x.gguf", {"general.architecture": "llama"}, {"token_embd.weight": (23, raw, (1, 32))})
    with pytest.raises(
        NeurosimFormatError, match=r"tensor 'token_embd.weight': its type, number 23, is not read; .*Q6_K"
    ):
        read_gguf(tmp_path / "x.gguf")
    for entries, message in (
        ({"tokenizer.ggml.model": "bert"}, r"tokenizer.ggml.model: unknown name 'bert'"),
        (
            {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "tekken"},
            r"tokenizer.ggml.pre: unknown name 'tekken'",
        ),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.token_type": [1]}, "token_type' must be 0 values, as tokens"),
        ({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": ["a b"]}, "merges' must be pairs of words"),
    ):
        write_gguf(tmp_path / "x.gguf", {"general.architecture": "llama", **entries}, {})
        with pytest.raises((NeurosimInputError, NeurosimFormatError), match=message):
            read_tokenizer(tmp_path / "x.gguf", 400)
    with pytest.raises(NeurosimMissingError, match=r"no such file; give a \.gguf file"):
        read_gguf(tmp_path / "none.gguf")


def test_entries_that_are_not_known_are_named(tmp_path: Path) -> None:
    path = write_recorded("llama", tmp_path, {"llama.logit_scale": 2.0})
    with pytest.warns(CheckpointWarning, match=r"entries 'llama.logit_scale' are not known to neurosim"):
        read_model(path)


def test_damaged_files_are_refused_with_a_place(made: Path, tmp_path: Path) -> None:
    """Cut anywhere in the header, or with a byte of it changed: one clear error, or a file that reads."""
    raw = made.read_bytes()
    end = raw.index(b"blk.1.ffn_down.weight") + 60
    path = tmp_path / "x.gguf"
    for size in (0, 3, 4, 11, 23, 24, 40, 700, end - 30, end, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(NeurosimFormatError, match=re.escape(str(path))):
            read_gguf(path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(raw)
        for place in rng.integers(0, end, 3):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_gguf(path)
        except NeurosimFormatError as error:
            assert str(path) in str(error)
    path.write_bytes(b"GGUF" + struct.pack(">I", 3) + raw[8:])
    with pytest.raises(NeurosimFormatError, match="expected version 2 or 3, little-endian"):
        read_gguf(path)
    path.write_bytes(raw[:8] + struct.pack("<Q", 2**60) + raw[16:])
    with pytest.raises(NeurosimFormatError, match="expected 1152921504606846976 tensors, the file has"):
        read_gguf(path)


def test_tensors_on_the_same_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_gguf(path, {"general.architecture": "llama"}, {"one": torch.ones(8), "two": torch.ones(8)})
    raw = path.read_bytes()
    place = raw.index(b"two") + 3 + 4 + 8 + 4
    path.write_bytes(raw[:place] + struct.pack("<Q", 0) + raw[place + 8 :])
    with pytest.raises(NeurosimFormatError, match="tensors 'one' and 'two' lie on the same bytes"):
        read_gguf(path)


@pytest.mark.parametrize("kept", ["int8", "float32"])
def test_a_model_in_blocks_is_saved_whole(
    made: Path, tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Converted, tensors that stay as they are, such as the embedding, lie in the file in their blocks; dense as
    float32, decoded some rows at a time."""
    monkeypatch.setattr(stored_tensors, "WRITTEN", 200)
    model = read_model(made)
    read = torch.arange(6).view(1, 6) % model.config.vocabulary
    converted = convert(model, Coding("ternary", k=8.0, weights=kept))
    expected = converted.model(read)[0]
    write_converted(tmp_path / "spiking", converted)
    again = read_converted(tmp_path / "spiking").model
    assert torch.equal(again(read)[0], expected)
    assert isinstance(again.embeddings.weight, BlockTensor) and again.embeddings.weight is again.lm_head.weight
    assert torch.equal(again.embeddings.weight.blocks, model.embeddings.weight.blocks)
    write_model(tmp_path / "dense", model)
    dense = read_model(tmp_path / "dense")
    torch.testing.assert_close(dense(read)[0], read_model(made)(read)[0], rtol=0, atol=1e-5)


def test_the_commands_take_a_file(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Converted, with its tokenizer in the run folder; written with, dense and in spikes, by the chat template."""
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "text.txt"
    text.write_bytes(python_text()[:9000])
    words = ["--calibrate", text, "--tokens", "96", "--set", "report.executed_tokens=16"]
    neurosim("convert", made, *words, "--set", "calibration.length=16", "--set", "report.layer_tokens=0", "--out", "r")
    result = json.loads(Path("r/metrics.json").read_text())
    assert result["network"] == "made.gguf" and result["unit"] == "token" and result["execution"]["largest"] == 0.0
    assert {"tokenizer.json", "tokenizer_config.json", "model.safetensors"} <= {
        p.name for p in Path("r/model").iterdir()
    }
    for model in (made, "r"):
        plain = generated("convert", "generate", model, "--prompt", "one", "--tokens", "4", "--temperature", "0")
        assert plain["tokens"] <= 4 and plain["prompt"] == "one"
        chat = generated("convert", "generate", model, "--prompt", "one", "--tokens", "4", "--chat")
        assert chat["prompt"] == "<s>one</s>"
    # The word that ends a text, </s>, made the likeliest: nothing is written.
    monkeypatch.setattr("neurosim.language.conversion.generate.draw_token", lambda logits, sampling, position: 1)
    assert generated("convert", "generate", made, "--prompt", "one", "--tokens", "4")["tokens"] == 0


def generated(*words: object) -> dict[str, object]:
    tree: dict[str, object] = json.loads(neurosim(*words, "--json").stdout)
    return tree


def test_a_chat_needs_a_template(tmp_path: Path) -> None:
    path = write_recorded("llama", tmp_path)
    told = refused("convert", "generate", path, "--prompt", "1 2", "--chat")
    assert (
        "model.gguf: has no chat template (tokenizer_config.json, chat_template.jinja); write it into --prompt" in told
    )
