"""A training step of ours against one of TRL's SFTTrainer: the same rows, model, LoRA, batch and one thread for both.

    python benchmarks/training_step.py            # about five minutes; prints a table, writes benchmarks/results/training_step.json

TRL runs at its best setting for a processor: fp32, no gradient checkpointing, loss on the answer only. Arms take turns on the same
batches inside one process, so that a busy machine slows all of them alike; times are CPU seconds of that process. Peak memory
is measured in a fresh process for each arm. Tokens are the rows' own: prompt and answer, no padding, the shared beginning counted in each row.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

HERE = Path(__file__).parent
ROWS, BATCH, ROUNDS = 160, 8, 3
LABELS = ["negative", "neutral", "positive"]
ARMS = {  # name -> (whose, share of the layers that learn, are the frozen layers' states kept)
    "TRL, LoRA on all layers": ("trl", 1.0, False),
    "tunewright, LoRA on all layers": ("ours", 1.0, False),
    "TRL, LoRA on the top half": ("trl", 0.5, False),
    "tunewright, LoRA on the top half, first epoch": ("ours", 0.5, False),
    "tunewright, LoRA on the top half, later epochs": ("ours", 0.5, True),
}
PAIRS = [(1, 0), (3, 2), (4, 2), (4, 0)]
Step = Callable[[list[int]], float]


class Task:
    """The rows as tokens."""

    def __init__(self) -> None:
        import polars as pl

        from tunewright.core.recipe import ModelSettings
        from tunewright.models.chat import ChatFormat
        from tunewright.models.load import load_base

        rows = pl.read_csv(HERE.parent / "examples/reviews/reviews.csv").sample(ROWS, seed=1)
        self.load = lambda: load_base(ModelSettings())
        fmt = ChatFormat(self.load().tokenizer, None, None, 512, labels=LABELS)
        self.encoded = fmt.encode(rows["text"].to_list())
        self.answers = [fmt.answer(label) for label in rows["label"]]

    def tokens(self, rows: list[int]) -> int:
        return sum(len(self.encoded.prefix) + len(self.encoded.bodies[row]) + len(self.answers[row]) for row in rows)


def make(task: Task, arm: str, place: Path) -> Step:
    """A function that trains one step on given rows and returns its loss."""
    import torch

    from tunewright.core.plugins import build

    whose, share, kept = ARMS[arm]
    base = task.load()
    torch.manual_seed(0)
    model = build("techniques", {"name": "lora", "trainable_layers": share}).apply(base.model, base.tokenizer)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.0)
    forward_backward = _trl(task, base, model, place) if whose == "trl" else _ours(task, base, model, share, kept, place)

    def step(rows: list[int]) -> float:
        model.train()
        loss = forward_backward(rows)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return step


def _ours(task: Task, base: Any, model: Any, share: float, kept: bool, place: Path) -> Step:
    from tunewright.models.frozen import LowerStates
    from tunewright.models.tree import answer_log_probs, pack

    layers = 15 if share < 1 else 0
    lower = LowerStates(place / "states", base.fingerprint, layers) if layers else None

    def run(rows: list[int]) -> float:
        nonlocal lower
        if lower is not None and not kept:
            lower = LowerStates(place / f"states-{time.monotonic_ns()}", base.fingerprint, layers)
        tree = pack(task.encoded.prefix, [task.encoded.bodies[row] for row in rows], [[task.answers[row]] for row in rows])
        loss = -answer_log_probs(model, tree, lower=lower).mean()
        loss.backward()
        return float(loss.detach())

    return run


def _trl(task: Task, base: Any, model: Any, place: Path) -> Step:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    def row(index: int) -> dict[str, list[int]]:
        prompt, answer = [*task.encoded.prefix, *task.encoded.bodies[index]], task.answers[index]
        return {"input_ids": [*prompt, *answer], "completion_mask": [0] * len(prompt) + [1] * len(answer)}

    config = SFTConfig(
        output_dir=str(place / "trl"),
        per_device_train_batch_size=BATCH,
        completion_only_loss=True,
        max_length=None,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    data = Dataset.from_list([row(index) for index in range(ROWS)])
    trainer = SFTTrainer(model, config, train_dataset=data, processing_class=base.tokenizer)
    trainer.current_gradient_accumulation_steps = 1  # what `train` sets before it calls `training_step`

    def run(rows: list[int]) -> float:
        batch = trainer.data_collator([trainer.train_dataset[index] for index in rows])
        return float(trainer.training_step(trainer.model, batch))

    return run


def peak_memory() -> int:
    """Highest resident bytes of this process. Not `ru_maxrss`, which a child inherits from the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def timed(step: Step, rows: list[int]) -> tuple[float, float]:
    clock = time.process_time()
    loss = step(rows)
    return time.process_time() - clock, loss


def batches(count: int) -> list[list[int]]:
    return [list(range(start, start + BATCH)) for start in range(0, count * BATCH, BATCH)]


def peak(arm: str, rows: int) -> dict[str, float]:
    """Peak memory and CPU seconds of two passes over `rows` rows in a fresh process."""
    command = [sys.executable, __file__, "--arm", arm, str(rows)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def one_arm(arm: str, rows: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        step = make(Task(), arm, Path(place))
        step(batches(1)[0])
        clock = time.process_time()
        for batch in batches(rows // BATCH):
            step(batch)
        seconds = time.process_time() - clock
    memory = peak_memory()
    print(json.dumps({"rows": rows, "seconds": seconds, "peak_memory_bytes": memory}))


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        task = Task()
        steps = {arm: make(task, arm, Path(place, str(index))) for index, arm in enumerate(ARMS)}
        speed: dict[str, list[float]] = {arm: [] for arm in ARMS}
        losses: dict[str, float] = {}
        for turn, rows in enumerate([batches(1)[0], *batches(ROUNDS)]):  # the first turn warms up
            for arm, step in steps.items():
                if ARMS[arm][2] and turn:
                    step(rows)  # fills what later epochs find
                seconds, loss = timed(step, rows)
                losses.setdefault(arm, loss)
                if turn:
                    speed[arm].append(task.tokens(rows) / seconds)
        del steps
    memory = {arm: peak(arm, BATCH)["peak_memory_bytes"] for arm in ARMS}
    growth = [peak("tunewright, LoRA on all layers", rows) for rows in (BATCH * 2, BATCH * 20)]
    names = list(ARMS)
    result = {
        "rows": ROWS,
        "batch": BATCH,
        "threads": 1,
        "load_average": os.getloadavg(),
        "first_loss": losses,
        "tokens_per_cpu_second": speed,
        "peak_memory_bytes": memory,
        "ratios": {f"{names[a]} / {names[b]}": [x / y for x, y in zip(speed[names[a]], speed[names[b]], strict=True)] for a, b in PAIRS},
        "growth": growth,
    }
    print(f"{'arm':<48} {'tokens/CPU s':>12} {'peak GiB':>9} {'first loss':>11}")
    for arm in ARMS:
        print(f"{arm:<48} {median(speed[arm]):>12.0f} {memory[arm] / 2**30:>9.2f} {losses[arm]:>11.5f}")
    for pair, values in result["ratios"].items():
        print(f"{pair}: {median(values):.2f}x ({min(values):.2f} to {max(values):.2f} in {ROUNDS} rounds)")
    small, large = growth
    each = large["seconds"] / large["rows"] / (small["seconds"] / small["rows"])
    more = large["peak_memory_bytes"] / small["peak_memory_bytes"]
    print(f"10 times the rows: {each:.2f} times the seconds a row, {more:.2f} times the memory")
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "training_step.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        one_arm(sys.argv[2], int(sys.argv[3]))
    else:
        main()
