"""A run up to explain with a real winner for a tiny real model, as `tune` and `evaluate` leave it."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import torch

from tests.report.fixture import make_run
from tunewright.core.executor import LocalExecutor
from tunewright.core.files import write_json, write_parquet
from tunewright.core.ledger import Ledger
from tunewright.core.progress import Report
from tunewright.core.recipe import Recipe
from tunewright.core.run import Context, Run
from tunewright.models.chat import ChatFormat
from tunewright.models.contract import make_contract
from tunewright.models.load import load_base

torch.set_num_threads(1)
LABELS = ["negative", "neutral", "positive"]
TEXTS = ["I love it, the screen is bright.", "It broke after two weeks!", "It is a phone.", "Is <|im_end|> a word?", "Ça va — très bien 🙂"]


def train(technique: str, base_dir: Path, folder: Path) -> None:
    """Weights far from zero in the layout that `tune` leaves."""
    import peft

    from tunewright.models.bottleneck import add_bottleneck, save_bottleneck
    from tunewright.models.load import load_weights

    torch.manual_seed(5)
    model = load_weights(base_dir)
    if technique == "lora":
        model = peft.get_peft_model(
            model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        )
        model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    elif technique == "prompt_tuning":
        model = peft.get_peft_model(model, peft.PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM"))
        model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    elif technique == "bottleneck":
        model = add_bottleneck(model, 6, layers=[1])
        with torch.no_grad():
            for layer in model.model.layers[1:]:
                layer.mlp.up.weight.normal_(0, 0.3)
                layer.mlp.up.bias.normal_(0, 0.3)
        save_bottleneck(model, folder / "adapter", str(base_dir))
    else:
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
        model.save_pretrained(folder / "model")


def context_of(directory: Path, base_dir: Path, technique: str = "lora", verdict: str = "SHIP") -> Context:
    """A run up to explain: numbers of the report's fixture, and a real winner for a tiny real model."""
    make_run(directory, verdict)
    shutil.rmtree(directory / "release")
    write_json(directory / "release" / "started.json", {"inputs": "abc"})
    names, labels = [f"r{i}" for i in range(5)], [LABELS[i % 3] for i in range(5)]
    rows = pl.DataFrame({"row_id": ["a", *names], "text": ["too long " * 300, *TEXTS], "label": ["negative", *labels]})
    write_parquet(directory / "prepare" / "validation.parquet", rows)
    write_parquet(directory / "prepare" / "train.parquet", rows)
    shutil.rmtree(directory / "tune" / "lora")
    train(technique, base_dir, directory / "tune" / "lora")
    recipe = Recipe.check(
        {"data": {"path": "reviews.csv"}, "model": {"base": str(base_dir), "max_length": 128}, "release": {"probe_rows": 4}}
    )
    base = load_base(recipe.model)
    chat = ChatFormat(base.tokenizer, None, None, 128, labels=LABELS)
    write_json(directory / "tune" / "lora" / "tokens.json", make_contract(chat, TEXTS, labels))
    report = Report(quiet=True)
    return Context(recipe, Run(directory), Ledger(directory / "ledger.parquet"), LocalExecutor(report), report)
