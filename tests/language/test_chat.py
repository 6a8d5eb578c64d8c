"""Chat templates, and the tokens that end a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.language import LanguageConfig, LanguageModel, MixerSpec
from neurosim.language.attention.chat import ChatTemplate, plain_chat_template, read_chat_template, read_ends
from neurosim.language.attention.tokenizer import ByteTokenizer, copy_tokenizer, read_tokenizer
from neurosim.language.conversion.generate import Sampling, draw_token, generate_tokens

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{{ message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "No"}]


def test_a_template_of_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML}))
    template = read_chat_template(tmp_path)
    assert template is not None
    assert template.render(TALK[:1]) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_a_file_of_its_own_and_named_templates(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "bos_token": {"content": "<s>"},
                "chat_template": [
                    {"name": "tools", "template": "no"},
                    {"name": "default", "template": "{{ bos_token }}"},
                ],
            }
        )
    )
    template = read_chat_template(tmp_path)
    assert template is not None and template.render(TALK) == "<s>"
    (tmp_path / "chat_template.jinja").write_text("{{ messages | length }} {{ messages[0] | tojson }}")
    template = read_chat_template(tmp_path)
    assert template is not None and template.render(TALK) == '3 {"role": "user", "content": "Hi"}'


def test_models_without_a_template_get_the_plain_one(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    messages = [{"role": "system", "content": "Be brief."}, *TALK]
    assert (
        plain_chat_template().render(messages) == "Be brief.\n\nUser: Hi\n\nAssistant: Yes?\n\nUser: No\n\nAssistant:"
    )


def test_templates_are_in_a_sandbox() -> None:
    reach = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(NeurosimInputError, match="messages: the model's chat template refuses them"):
        ChatTemplate(reach, {}, "here").render(TALK)
    with pytest.raises(NeurosimInputError, match="Range too big"):
        ChatTemplate("{% for i in range(10000000) %}{% endfor %}", {}, "here").render(TALK)


def test_what_a_template_refuses_and_what_is_none() -> None:
    refusing = ChatTemplate("{{ raise_exception('roles must alternate') }}", {}, "here")
    with pytest.raises(NeurosimInputError, match=r"refuses them \(roles must alternate\)"):
        refusing.render(TALK)
    with pytest.raises(NeurosimFormatError, match="here: chat_template is no jinja template"):
        ChatTemplate("{% for %}", {}, "here")


def test_tokens_that_end_a_text(tmp_path: Path) -> None:
    assert read_ends(tmp_path, ByteTokenizer()) == frozenset()
    (tmp_path / "config.json").write_text('{"eos_token_id": 8}')
    assert read_ends(tmp_path, ByteTokenizer()) == {8}
    (tmp_path / "run").mkdir()
    copy_tokenizer(tmp_path, tmp_path / "run")
    assert read_ends(tmp_path / "run", ByteTokenizer()) == {8}
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    assert read_ends(tmp_path, ByteTokenizer()) == {7, 9}
    pytest.importorskip("tokenizers")
    words = {"<end>": 0, "<turn>": 1, "a": 2}
    added = [
        {"id": token, "content": text, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for text, token in words.items()
        if token < 2
    ]
    model = {"type": "WordLevel", "vocab": words, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": added, "model": model}))
    special = {"eos_token": "<end>", "eot_token": {"content": "<turn>"}, "pad_token": "a"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(special))
    assert read_ends(tmp_path, read_tokenizer(tmp_path, 3)) == {0, 1, 7, 9}


def test_draws_among_the_likeliest_of_a_probability() -> None:
    shares = torch.tensor([0.1, 0.5, 0.15, 0.25])

    def drawn(top_p: float) -> set[int]:
        return {draw_token(shares.log(), Sampling(1, 1.0, 0, 3, top_p), position) for position in range(200)}

    assert drawn(1.0) == {0, 1, 2, 3}
    assert drawn(0.9) == {1, 2, 3}
    assert drawn(0.7) == {1, 3}
    assert drawn(0.01) == {1}
    with pytest.raises(NeurosimInputError, match=r"Sampling\.top_p: must be > 0 and <= 1 \(got 0\)"):
        Sampling(top_p=0)


@torch.no_grad()
def test_tokens_of_the_text_are_made_unlikelier() -> None:
    """Greedy texts against logits of the whole text, divided where they are above 0 and multiplied elsewhere."""
    torch.manual_seed(0)
    model = LanguageModel(LanguageConfig((MixerSpec("gla", {"num_heads": 2}),), vocabulary=12, width=16)).eval()
    texts = {}
    for penalty in (1.0, 1.5, 100.0):
        sampling = Sampling(tokens=8, temperature=0, repetition_penalty=penalty)
        written = [token for token, _ in generate_tokens(model, [3, 7], sampling)]
        text = [3, 7]
        for _ in range(8):
            logits = model(torch.tensor([text]))[0][0, -1]
            for token in set(text):
                logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
            text.append(int(logits.argmax()))
        assert written == text[2:]
        texts[penalty] = written
    assert len(set(texts[1.0])) < 8 and len({3, 7, *texts[100.0]}) == 10
    with pytest.raises(NeurosimInputError, match=r"Sampling\.repetition_penalty: must be >= 1 \(got 0\.9\)"):
        Sampling(repetition_penalty=0.9)
