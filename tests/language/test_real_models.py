"""SmolLM2-135M-Instruct, from the package that `make models` installs: read, tokenised, converted, written with."""

from __future__ import annotations

import pytest
import torch
from real_models import NO_MODELS, smollm2

from neurosim.language import Coding, Decoder, Sampling, convert, generate_tokens, read_model, read_tokenizer
from neurosim.language.attention.chat import read_chat_template, read_ends
from neurosim.language.conversion.comparison import check_execution, compare_models

PATH = smollm2()
pytestmark = [pytest.mark.models, pytest.mark.skipif(PATH is None, reason=NO_MODELS)]
# Tokens of llama.cpp.
TOKENS = {
    "The capital of France is 1234 don't": [504, 3575, 282, 4649, 314, 216, 33, 34, 35, 36, 1326, 982],
    "  x = 3;\n\n\tif (a==2024) café 🙂": [
        *(216, 1792, 446, 216, 35, 43, 1116, 197, 342, 365, 81, 1189, 34, 32, 34, 36, 25, 37366, 47526),
    ],
    "<|im_start|>user\nHi<|im_end|>\n": [1, 4093, 198, 26843, 2, 198],
}


def test_tokens_and_the_chat_template_are_those_of_the_model() -> None:
    tokenizer = read_tokenizer(PATH, 49152)
    for text, ids in TOKENS.items():
        assert list(tokenizer.encode(text.encode())) == ids and tokenizer.decode(ids) == text.encode()
    assert tokenizer.first == () and 2 in read_ends(PATH, tokenizer)
    template = read_chat_template(PATH)
    prompt = template.render([{"role": "user", "content": "Hi"}])
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_log_probabilities_are_those_of_llama_cpp() -> None:
    """llama.cpp codes activations in 8 bits: the likeliest are the same, the largest within .05."""
    model = read_model(PATH)
    assert model.parameter_count() == 134_515_008 and model.config.tied
    with torch.no_grad():
        logits = model(torch.tensor([[504, 3575, 282, 4649, 314]]))[0][0, -1].log_softmax(-1)
    assert logits.topk(2).indices.tolist() == [7042, 260]
    assert float(logits[7042]) == pytest.approx(-0.2589, abs=0.05)


@pytest.mark.slow
def test_it_converts_and_writes_text_in_spikes() -> None:
    """At k = 8 within 3 % on a short text; executed as simulated; the compiled step answers in spikes."""
    tokenizer = read_tokenizer(PATH, 49152)
    dense = read_model(PATH)
    spiking = convert(dense, Coding("ternary", k=8.0))
    text = b"Water boils at one hundred degrees, and the steam rises. The sun is low, and shadows are long. "
    tokens = torch.tensor(list(tokenizer.encode(text * 4)))
    assert compare_models(dense, spiking.model, tokens, streams=1).perplexity_increase < 0.03
    assert check_execution(spiking, tokens[:32].view(1, 32)).largest == 0.0
    prompt = tokenizer.encode_prompt(b"The capital of France is")
    written = [token for token, _ in generate_tokens(Decoder(spiking.model), prompt, Sampling(2, 0.0))]
    assert tokenizer.decode(written) == b" Paris."
