"""A real but tiny language model for tests: random weights, a real byte-level tokenizer, a chat template.

    directory = tiny_model(tmp_path / "tiny")          # a two-layer Llama, 100 KB, made in a fraction of a second
    directory = tiny_model(tmp_path / "q", "qwen2")    # the same tokenizer around another family

The directory is laid out as any Hugging Face model, so `model: {base: DIRECTORY}` in a recipe takes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.core.optional import require

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ROLES = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
CORPUS = [
    "Classify the text. Answer with exactly one of: negative, neutral, positive.",
    "system user assistant You are a helpful assistant. spam ham yes no good bad",
    "The battery lasts all day and the screen is bright, I love it.",
    "It broke after two weeks. Do not buy this phone, the worst one that I have had.",
    "It is a phone. It makes calls and sends messages, nothing more and nothing less.",
]


def tiny_tokenizer() -> Any:
    """A byte-level BPE of 384 tokens with `<|endoftext|>`, `<|im_start|>` and `<|im_end|>` (the end of a turn)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=384, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(CORPUS, trainer)
    return require("transformers", "train").PreTrainedTokenizerFast(tokenizer_object=core, **ROLES, chat_template=CHAT_TEMPLATE)


def tiny_model(directory: Path | str, family: str = "llama", *, layers: int = 2, seed: int = 0) -> Path:
    """Write a random model of `family` (any causal family of transformers with Llama-like settings) and its
    tokenizer to `directory`; an existing one is kept. Returns the directory."""
    import torch

    transformers = require("transformers", "train")
    directory = Path(directory)
    if (directory / "model.safetensors").exists():
        return directory
    tokenizer = tiny_tokenizer()
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
