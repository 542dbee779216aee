"""Load a release with transformers and peft alone and score every label for every text. Imports nothing of Tunewright.

Reads {"release": directory, "prompt": the manifest's, "texts": [...]} on stdin, writes {"log_likelihood": [[...]], ...}.
It is also the shortest example of how to serve a release: `answer` below is all there is to it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import peft
import torch
import transformers


def load(release: str) -> tuple[Any, Any]:
    """The model (with its adapter, if the release is one) and the tokenizer."""
    read = transformers.AutoModelForCausalLM.from_pretrained
    if (Path(release) / "adapter_config.json").exists():
        base = peft.PeftConfig.from_pretrained(release).base_model_name_or_path
        model: Any = peft.PeftModel.from_pretrained(read(base, dtype=torch.float32), release)
    else:
        model = read(release, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(release)


def prompt_tokens(tokenizer: Any, prompt: dict[str, Any], text: str) -> list[int]:
    """The prompt of one text through the tokenizer's own chat template; control tokens in the text stay text."""
    if tokenizer.chat_template is None:
        whole = prompt["rendered"].replace("{text}", text.strip())
        return list(tokenizer(whole, add_special_tokens=False)["input_ids"])
    user = {"role": "user", "content": prompt["user"].replace("{text}", text.strip())}
    turns = [user] if prompt["system"] is None else [{"role": "system", "content": prompt["system"]}, user]
    options = {"add_generation_prompt": True, "sanitize_control_tokens": True, "return_dict": False}
    try:
        return list(tokenizer.apply_chat_template(turns, **options))
    except Exception:
        if prompt["system"] is None:
            raise
        user["content"] = f"{prompt['system']}\n\n{user['content']}"  # a template without a system role
        return list(tokenizer.apply_chat_template([user], **options))


@torch.no_grad()
def answer(model: Any, tokenizer: Any, prompt: dict[str, Any], text: str) -> list[float]:
    """Log-likelihood of each label as the answer to `text`; the likeliest label is the answer."""
    start = prompt_tokens(tokenizer, prompt, text)
    labels = list(prompt["answers"].values())
    width = len(start) + max(map(len, labels))
    lines = [start + label for label in labels]
    ids = torch.tensor([line + [0] * (width - len(line)) for line in lines])
    mask = torch.tensor([[1] * len(line) + [0] * (width - len(line)) for line in lines])
    keep = width - len(start) + 1  # from the prompt's last token on
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=keep).logits
    scores = []
    for row, label in enumerate(labels):
        likelihood = logits[row, : len(label)].double().log_softmax(-1)
        scores.append(float(likelihood[torch.arange(len(label)), torch.tensor(label)].sum()))
    return scores


if __name__ == "__main__":
    job = json.load(sys.stdin)
    clock = time.perf_counter()
    loaded, own_tokenizer = load(job["release"])
    found = [answer(loaded, own_tokenizer, job["prompt"], one) for one in job["texts"]]
    versions = {library.__name__: library.__version__ for library in (torch, transformers, peft)}
    seconds = round(time.perf_counter() - clock, 2)
    print(json.dumps({"log_likelihood": found, "versions": versions, "seconds": seconds}))
