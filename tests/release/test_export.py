"""Every format answers as the release does, in the program that it is for, or it is not there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.release.go_template import render
from tests.release.winner import TEXTS
from tunewright.cli import main
from tunewright.core.errors import EnvironmentProblem, RunError
from tunewright.core.files import read_json
from tunewright.core.run import Context
from tunewright.registry import Registry
from tunewright.release import gate
from tunewright.release.export import Exported, export, gguf, gguf_tokenizer, ollama
from tunewright.release.export.source import Source
from tunewright.release.gate.llama import LlamaArm
from tunewright.release.gate.plain import PlainArm
from tunewright.testing.tiny import tiny_model, tiny_tokenizer

Releases = Callable[..., Context]
HARD = [
    *TEXTS,
    "12345 67 8,901.5",
    "it's  WE'LL\n\n\n  don't",
    "¿qué?  ünïcödé — 中文 🙂🙂",
    "tab\there\r\nnew",
    "a" * 60,
    "!!! ... (x) [y]",
]


def copied(context: Context, folder: Path) -> Path:
    shutil.copytree(context.run.path("release"), folder)
    return folder


def exported(context: Context, folder: Path, kind: str, **how: str) -> Exported:
    return export(copied(context, folder / "release"), "reviews", kind, folder / "out", **how)


def test_an_adapter_is_what_peft_reads(release_of: Releases, tmp_path: Path) -> None:
    done = exported(release_of("lora"), tmp_path, "adapter")
    assert done.arm["passed"]
    assert {one["path"] for one in done.files} >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    told = read_json(tmp_path / "out" / "export.json")
    assert (told["format"], told["approved"], told["parity"]["passed"]) == ("adapter", True, True)
    with pytest.raises(RunError, match="is a whole model.*--format merged"):
        exported(release_of("full"), tmp_path / "full", "adapter")


@pytest.mark.parametrize("technique", ["lora", "bottleneck", "full"])
def test_a_merged_model_needs_no_peft(release_of: Releases, tmp_path: Path, technique: str) -> None:
    done = exported(release_of(technique), tmp_path, "merged")
    assert done.arm["likelihoods"]["largest"] < 1e-4
    assert done.arm["score"]["other_answers"] == 0
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    assert not (tmp_path / "out" / "reference.parquet").exists()  # rows of the data set stay in the house
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")


@pytest.mark.parametrize("kind", ["merged", "gguf", "ollama", "vllm"])
def test_prompt_tuning_cannot_be_merged_and_says_so(release_of: Releases, tmp_path: Path, kind: str) -> None:
    with pytest.raises(RunError, match=r"prompt_tuning \(PROMPT_TUNING\)"):
        exported(release_of("prompt_tuning"), tmp_path, kind)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("technique", "family", "quantise"),
    [
        ("lora", "llama", "f32"),
        ("lora", "llama", "q8_0"),
        ("bottleneck", "llama", "f32"),
        ("full", "mistral", "f16"),
        ("full", "qwen2", "f32"),
        ("full", "qwen3", "f32"),
    ],
)
def test_llama_cpp_answers_like_the_release(release_of: Releases, tmp_path: Path, technique: str, family: str, quantise: str) -> None:
    done = exported(release_of(technique, family), tmp_path, "gguf", quantise=quantise)
    assert done.arm["name"] == f"gguf {quantise} (llama.cpp)"
    assert done.arm["tokens"] == {"rows": 4, "left_out": 1, "only_counted": False}  # one text holds a control token
    assert done.arm["likelihoods"]["largest"] < {"f32": 1e-3, "f16": 0.1, "q8_0": 0.3}[quantise]
    assert done.arm["likelihoods"]["mean_from_untuned"] > 3 * done.arm["likelihoods"]["mean"]


@pytest.mark.parametrize("quantise", ["f32", "f16", "q8_0"])
def test_transformers_reads_the_same_weights_back(release_of: Releases, tmp_path: Path, quantise: str) -> None:
    source = Source(copied(release_of("lora"), tmp_path / "release"), "reviews")
    from tunewright.release.export.source import Options

    gguf.write(source, tmp_path, Options(quantise))
    back = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=f"reviews-{quantise}.gguf", dtype=torch.float32)
    largest = {"f32": 0.0, "f16": 2e-3, "q8_0": 2e-2}[quantise]
    for name, weight in source.model.state_dict().items():
        assert (back.state_dict()[name] - weight).abs().max() <= largest * weight.abs().max(), name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, gguf_file=f"reviews-{quantise}.gguf")
    assert tokenizer.chat_template == source.tokenizer.chat_template
    assert tokenizer.eos_token_id == source.tokenizer.eos_token_id
    arm = PlainArm.of_gguf("gguf", tmp_path / f"reviews-{quantise}.gguf", source.manifest["prompt"], source.model.config)
    told = gate.compare(arm, gate.read(tmp_path / "release", tokenizer=source.tokenizer), gate.TOLERANCES[quantise])
    assert told["passed"]


def test_matrices_whose_rows_do_not_fill_blocks_are_written_in_half_precision(release_of: Releases, tmp_path: Path) -> None:
    from gguf import GGUFReader

    exported(release_of("lora"), tmp_path, "gguf", quantise="q8_0")
    kinds = {one.name: one.tensor_type.name for one in GGUFReader(tmp_path / "out" / "reviews-q8_0.gguf").tensors}
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # rows of 64
    assert kinds["blk.0.attn_q.weight"] == "F16"  # rows of 48
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert "output.weight" not in kinds  # the embedding is the head


def cutting(kind: str) -> object:
    """The tiny tokenizer, cutting texts before it merges as `kind` does."""
    from tokenizers import Regex, pre_tokenizers

    tokenizer = tiny_tokenizer()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind in ("gpt-2", "smollm"))
    split = {name: pattern for pattern, name in gguf_tokenizer.SPLITS.items()}
    steps = {"gpt-2": [], "smollm": [pre_tokenizers.Digits(individual_digits=True)]}.get(kind)
    if steps is None:
        steps = [pre_tokenizers.Split(Regex(split[kind]), "isolated")]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, byte_level]) if steps else byte_level
    if kind == "llama-bpe":
        tokenizer.backend_tokenizer.model.ignore_merges = True
    return tokenizer


@pytest.mark.parametrize("kind", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_llama_cpp_cuts_texts_as_the_tokenizer_does(release_of: Releases, tmp_path: Path, kind: str) -> None:
    from tunewright.release.export.source import Options

    release = copied(release_of("full"), tmp_path / "release")
    tokenizer = cutting(kind)
    tokenizer.save_pretrained(release)
    assert gguf_tokenizer.pre_tokenizer(json.loads(tokenizer.backend_tokenizer.to_str())) == kind
    source = Source(release, "reviews")
    gguf.write(source, tmp_path, Options("f32"))
    probes = gate.read(release, tokenizer=source.tokenizer)
    arm = LlamaArm("gguf", tmp_path / "reviews-f32.gguf", probes, source.tokenizer, 512)
    try:
        plain = PlainArm("plain", None, source.tokenizer, probes.prompt)
        fair = [text for text in HARD if "<|" not in text]
        assert arm.tokens(fair) == plain.tokens(fair)
    finally:
        arm.close()


def test_a_tokenizer_that_llama_cpp_would_cut_otherwise_is_refused() -> None:
    from tokenizers import Regex, models, pre_tokenizers

    for change in (
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\d+"), "isolated"), pre_tokenizers.ByteLevel(use_regex=False)]),
        pre_tokenizers.ByteLevel(add_prefix_space=True),
        pre_tokenizers.Whitespace(),
    ):
        tokenizer = tiny_tokenizer()
        tokenizer.backend_tokenizer.pre_tokenizer = change
        with pytest.raises(EnvironmentProblem, match="no name that is known here for how this tokenizer cuts text"):
            gguf_tokenizer.pre_tokenizer(json.loads(tokenizer.backend_tokenizer.to_str()))
    tokenizer.backend_tokenizer.model = models.WordLevel({"a": 0}, "a")
    with pytest.raises(EnvironmentProblem, match="WordLevel"):
        gguf_tokenizer.pre_tokenizer(json.loads(tokenizer.backend_tokenizer.to_str()))


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    ],
    ids=lambda one: one["rope_type"],
)  # fmt: skip
def test_rotary_scaling_is_written(release_of: Releases, tmp_path: Path, scaling: dict) -> None:
    from tunewright.release.export.source import Options

    release = copied(release_of("full"), tmp_path / "release")
    config = read_json(release / "config.json")
    config["rope_parameters"] = scaling
    (release / "config.json").unlink()
    (release / "config.json").write_text(json.dumps(config))
    source = Source(release, "reviews")
    assert source.model.config.rope_parameters["rope_type"] == scaling["rope_type"]
    gguf.write(source, tmp_path, Options("f32"))
    probes = gate.read(release, tokenizer=source.tokenizer)
    arm = LlamaArm("gguf", tmp_path / "reviews-f32.gguf", probes, source.tokenizer, 512)
    try:
        plain = PlainArm("plain", source.model, source.tokenizer, probes.prompt)
        ours, theirs = plain.scores(TEXTS), arm.scores(TEXTS)
    finally:
        arm.close()
    assert np.abs(ours - theirs).max() < 2e-3
    assert np.abs(ours[:4] - probes.log_likelihood).max() > 1e-2  # scaling does change the answers


def test_what_gguf_cannot_say_is_refused(release_of: Releases) -> None:
    config = Source(release_of("full").run.path("release"), "reviews").model.config
    for key, value, words in (
        ("model_type", "gpt_neox", "llama, mistral, qwen2, qwen3; this one is gpt_neox"),
        ("hidden_act", "gelu", "with silu, but this model has gelu"),
        ("sliding_window", 64, "without the sliding window of 64 tokens"),
    ):
        with pytest.raises(EnvironmentProblem, match=words):
            gguf.check(SimpleNamespace(**config.to_dict() | {key: value}))
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0}
    with pytest.raises(EnvironmentProblem, match="rotary scaling 'yarn'"):
        gguf.check(SimpleNamespace(**config.to_dict() | {"rope_parameters": rope}))


def test_ollamas_template_makes_the_chat_templates_prompts(release_of: Releases, tmp_path: Path) -> None:
    done = exported(release_of("full"), tmp_path, "ollama")
    text = (tmp_path / "out" / "Modelfile").read_text()
    assert text.startswith("FROM ./reviews-f16.gguf\nTEMPLATE ")
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert "PARAMETER temperature 0" in text
    assert "SYSTEM" not in text.split("PARAMETER")[0].split('"""')[2]
    assert done.notes == ["ollama create reviews -f Modelfile && ollama run reviews"]
    template = text.split('TEMPLATE """')[1].split('"""')[0]
    source = Source(tmp_path / "release", "reviews")
    chats = [[("user", "It is fine.")], [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "It {{ is }} fine.")]]
    for chat in chats:
        turns = [{"role": role, "content": content} for role, content in chat]
        assert render(template, chat) == source.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


def test_a_default_system_message_goes_into_the_modelfile(release_of: Releases, tmp_path: Path) -> None:
    release = copied(release_of("full"), tmp_path / "release")
    source = Source(release, "reviews")
    lead = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are kind.<|im_end|>\\n' }}{% endif %}"
    source.tokenizer.chat_template = lead + source.tokenizer.chat_template
    pieces = ollama.pieces_of(source)
    assert pieces.default == "You are kind."
    text = ollama.modelfile(source, pieces, "./x.gguf")
    assert 'SYSTEM """You are kind."""' in text
    made = render(text.split('TEMPLATE """')[1].split('"""')[0], [("system", "You are kind."), ("user", "Hi")])
    assert made == source.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)


def test_a_chat_template_that_go_cannot_say_is_refused(release_of: Releases) -> None:
    source = Source(release_of("full").run.path("release"), "reviews")
    source.tokenizer.chat_template = "{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}"
    with pytest.raises(EnvironmentProblem, match="cannot be written as one of Ollama's"):
        ollama.pieces_of(source)


@pytest.mark.parametrize("technique", ["lora", "full"])
def test_vllm_gets_a_command_line_that_a_shell_can_run(release_of: Releases, tmp_path: Path, technique: str) -> None:
    exported(release_of(technique), tmp_path, "vllm")
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "vllm").write_text('#!/bin/sh\nfor one in "$@"; do echo "$one"; done\n')
    (fake / "vllm").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "out" / "serve.sh", "--dtype", "bfloat16"], env={"PATH": f"{fake}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    words = done.stdout.split("\n")[:-1]
    where = str(tmp_path / "out")
    assert words[0] == "serve"
    assert words[words.index("--chat-template") + 1] == f"{where}/chat_template.jinja"
    assert words[-2:] == ["--dtype", "bfloat16"]
    if technique == "lora":
        assert words[1] == read_json(tmp_path / "release" / "manifest.json")["base_model"]["path"]
        assert words[words.index("--lora-modules") + 1] == f"reviews={where}"
        assert words[words.index("--max-lora-rank") + 1] == "8"
    else:
        assert words[1:4] == [where, "--served-model-name", "reviews"]


def test_an_export_that_answers_otherwise_is_not_there_and_stops_promotion(
    release_of: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = gguf._arranged
    monkeypatch.setattr(gguf, "_arranged", lambda key, weight, config: weight if "q_proj" in key else honest(key, weight, config))
    context = release_of("lora")
    with pytest.raises(
        gate.ParityError, match=r"gguf f32 \(llama.cpp\) is not the release that was tested: .* probe row \d .* label '\w+' has"
    ):
        exported(context, tmp_path, "gguf", quantise="f32")
    assert not (tmp_path / "out").exists()
    assert [one["passed"] for one in gate.kept(tmp_path / "release")] == [False]
    registry = Registry(tmp_path / "registry" / "reviews")
    registry.register(tmp_path / "release", reason="a test", by="ana")
    with pytest.raises(RunError, match=r"parity of gguf f32 \(llama.cpp\)"):
        registry.promote(1, reason="a test", by="ana", force=True)


def test_a_lost_adapter_is_called_the_untuned_model(release_of: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunewright.models.load import load_weights
    from tunewright.release.export import source

    monkeypatch.setattr(source.Source, "model", property(lambda self: load_weights(self.base)))
    with pytest.raises(gate.ParityError, match="it answers like the untuned model: 0.0000 nats from that"):
        exported(release_of("lora"), tmp_path, "merged")


def test_another_base_model_is_noticed_before_anything_is_written(release_of: Releases, tmp_path: Path) -> None:
    from tunewright.core.files import write_json

    release = copied(release_of("lora"), tmp_path / "release")
    manifest = read_json(release / "manifest.json")
    manifest["base_model"]["path"] = str(tiny_model(tmp_path / "other", seed=1))
    write_json(release / "manifest.json", manifest)
    with pytest.raises(RunError, match="is not the base model that"):
        export(release, "reviews", "merged", tmp_path / "out")


def test_what_is_no_export_is_never_replaced(release_of: Releases, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="holds something that is no export"):
        exported(release_of("full"), tmp_path, "merged")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
    (tmp_path / "out" / "thesis.txt").unlink()
    shutil.rmtree(tmp_path / "release")
    exported(release_of("full"), tmp_path, "merged")
    shutil.rmtree(tmp_path / "release")
    assert exported(release_of("full"), tmp_path, "merged").arm["passed"]  # an older export is replaced


def test_the_command_exports_a_run_and_a_version(
    release_of: Releases, tmp_path: Path, here: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(release_of("full").run.directory, tmp_path / "runs" / "reviews")
    assert main(["export", "runs/reviews", "--format", "merged", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["directory"] == "runs/reviews/exports/merged"
    assert told["parity"]["passed"]
    assert "The same model elsewhere" in Path("runs/reviews/report.html").read_text()
    assert main(["verify", "runs/reviews", "parity"]) == 0
    assert "merged was alike on" in capsys.readouterr().out
    assert main(["promote", "runs/reviews", "--reason", "first"]) == 0
    assert main(["export", "reviews", "--format", "merged"]) == 0
    assert "merged in exports/reviews@1/merged" in capsys.readouterr().out
    registry = Registry("registry/reviews")
    assert [(one["name"], one["passed"]) for one in registry.state().versions[1].gates] == [("parity of merged", True)]
    assert registry.verify(1)
    assert main(["verify", "reviews@1"]) == 0
    assert "5 probe rows give the tokens of training" in capsys.readouterr().out
    assert main(["verify", "reviews@1", "seal"]) == 2
    assert main(["export", "runs/nothing", "--format", "merged"]) == 2
    assert "is no run, no release and no model" in capsys.readouterr().err
