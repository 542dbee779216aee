"""One GGUF file for llama.cpp and what is built on it (Ollama, LM Studio ...): weights, tokenizer, chat template.

    general.architecture = llama, llama.block_count = 30, tokenizer.ggml.model = gpt2, tokenizer.ggml.pre = gpt-2,
    tokenizer.ggml.eot_token_id = 2, token_embd.weight (49152, 576) Q8_0, blk.0.attn_q.weight ...

Matrices are written as `quantise` says, vectors (norms, biases) in fp32. Q8_0 has blocks of 32 along a row; a matrix with other rows
is written as F16. Llama and Mistral rotate pairs of neighbours where transformers rotates halves, so the rows of their q and k
weights change places. An embedding that is also the head is written once. What cannot be written faithfully is refused.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import EnvironmentProblem
from tunewright.core.optional import require
from tunewright.release.export import gguf_tokenizer
from tunewright.release.export.source import Options, Source

ARCHITECTURES = {"llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}  # model_type -> gguf's
PERMUTED = ("llama", "mistral")
QUANTISATIONS = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
ROW = 32  # elements in a block of Q8_0


def write(source: Source, directory: Path, how: Options) -> list[str]:
    """Write `NAME-QUANTISATION.gguf`. Raises `EnvironmentProblem` for a model that it cannot express."""
    path = directory / f"{source.name}-{how.quantise}.gguf"
    write_file(source, path, how)
    return [f"llama-server -m {path.name} --jinja"]


def write_file(source: Source, path: Path, how: Options) -> None:
    gguf, config = require("gguf", "train"), source.model.config
    check(config)
    name = ARCHITECTURES[config.model_type]
    arch = getattr(gguf.MODEL_ARCH, name)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    _describe(writer, source, gguf, how)
    _shape(writer, config)
    gguf_tokenizer.add(writer, source, config.vocab_size, gguf)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    kind = getattr(gguf.GGMLQuantizationType, how.quantise.upper())
    how.say(f"writing {path.name}")
    for key, tensor in source.model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        target = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise EnvironmentProblem(f"GGUF has no name for the weight {key} of a {config.model_type} model. Use --format merged.")
        _add(writer, target, _arranged(key, tensor.float().numpy(), config), kind, gguf)
    factors = _rope_factors(config)
    if factors is not None:
        _add(writer, "rope_freqs.weight", factors, kind, gguf)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check(config: Any) -> None:
    """Raises `EnvironmentProblem` unless GGUF can say what this model computes."""
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise EnvironmentProblem(
            f"A GGUF file is written for models of these families: {known}; this one is {config.model_type}. Use --format merged."
        )
    rope = _rope(config)
    if rope["rope_type"] not in ("default", "linear", "llama3"):
        raise EnvironmentProblem(f"The rotary scaling {rope['rope_type']!r} of this model is not written to GGUF. Use --format merged.")
    if config.hidden_act != "silu":
        raise EnvironmentProblem(
            f"llama.cpp computes {config.model_type} with silu, but this model has {config.hidden_act}. Use --format merged."
        )
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None) or []
    sliding = window is not None and ("sliding_attention" in layers or not layers)
    if sliding and window < config.max_position_embeddings and getattr(config, "use_sliding_window", True):
        raise EnvironmentProblem(
            f"llama.cpp computes {config.model_type} without the sliding window of {window} tokens that this model has."
        )


def _describe(writer: Any, source: Source, gguf: Any, how: Options) -> None:
    base = source.manifest["base_model"]
    writer.add_type("model")
    writer.add_name(source.name)
    writer.add_description(f"{base['name']} tuned with {source.manifest['technique']}; {source.manifest['status']}")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base["name"])
    writer.add_string("tunewright.release", str(source.manifest.get("fingerprint", "")))
    writer.add_file_type(getattr(gguf.LlamaFileType, QUANTISATIONS[how.quantise]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _shape(writer: Any, config: Any) -> None:
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = _rope(config)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        gguf = require("gguf", "train")
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _rope(config: Any) -> dict[str, Any]:
    told = dict(getattr(config, "rope_parameters", None) or {})
    return {"rope_type": "default", "rope_theta": getattr(config, "rope_theta", 10000.0)} | told


def _rope_factors(config: Any) -> np.ndarray[Any, Any] | None:
    """Llama 3.1's scaling as llama.cpp takes it: what each frequency is divided by. Low ones by `factor`, high ones by 1, smoothly between."""
    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    factors = []
    for place in range(0, head, 2):
        turns = rope["original_max_position_embeddings"] / (2 * math.pi * rope["rope_theta"] ** (place / head))
        share = min(max((turns - low) / (high - low), 0.0), 1.0)
        factors.append(1 / ((1 - share) / rope["factor"] + share))
    return np.array(factors, dtype=np.float32)


def _arranged(key: str, weight: np.ndarray[Any, Any], config: Any) -> np.ndarray[Any, Any]:
    """The rows of q and k in the order that llama.cpp's rotation expects."""
    found = re.search(r"self_attn\.([qk])_proj\.(weight|bias)$", key)
    if config.model_type not in PERMUTED or found is None:
        return weight
    heads = config.num_attention_heads if found[1] == "q" else config.num_key_value_heads
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def _add(writer: Any, name: str, weight: np.ndarray[Any, Any], kind: Any, gguf: Any) -> None:
    kinds = gguf.GGMLQuantizationType
    if weight.ndim == 1:
        kind = kinds.F32
    elif kind == kinds.Q8_0 and weight.shape[-1] % ROW:
        kind = kinds.F16
    if kind == kinds.F16 and np.abs(weight).max(initial=0.0) > np.finfo(np.float16).max:
        raise EnvironmentProblem(f"{name} holds values beyond half precision. Use --quantise bf16 or f32.")
    writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
