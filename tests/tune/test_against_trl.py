"""Our loss and gradient against TRL's SFTTrainer on the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tune.small_loop import Small
from tunewright.core.files import read_jsonl


@pytest.mark.parametrize("technique", ["full", {"name": "lora", "trainable_layers": 1.0}])
@pytest.mark.filterwarnings("ignore")
def test_loss_and_gradient_equal_trls_on_the_same_rows(place: Path, technique: object) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    ours = Small(place / "ours", technique, per_device_train_batch_size=24, max_steps=1)
    theirs = Small(place / "theirs", technique)
    rows = [
        {
            "input_ids": [*ours.encoded.prefix, *body, *answer],
            "completion_mask": [0] * (len(ours.encoded.prefix) + len(body)) + [1] * len(answer),
        }
        for body, answer in zip(ours.encoded.bodies, ours.answers, strict=True)
    ]
    config = SFTConfig(
        output_dir=str(place / "trl"),
        per_device_train_batch_size=24,
        max_steps=1,
        logging_steps=1,
        completion_only_loss=True,
        max_length=None,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(theirs.model, config, train_dataset=Dataset.from_list(rows), processing_class=theirs.base.tokenizer)
    trainer.train()
    logged = trainer.state.log_history[0]
    ours.loop().run()
    step = next(record for record in read_jsonl(ours.folder / "history.jsonl") if record["kind"] == "train")
    assert step["loss"] == pytest.approx(float(logged["loss"]), abs=1e-5)
    assert step["grad_norm"] == pytest.approx(float(logged["grad_norm"]), rel=1e-4)
