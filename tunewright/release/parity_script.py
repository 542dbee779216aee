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


def load(release: str, base: str | None = None) -> tuple[Any, Any]:
    """The model (with its adapter on `base`, if the release is one) and the tokenizer."""
    read = transformers.AutoModelForCausalLM.from_pretrained
    if (Path(release) / "adapter_config.json").exists():
        base = base or peft.PeftConfig.from_pretrained(release).base_model_name_or_path
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
    before = sorted({tuple(label[:-1]) for label in labels}, key=lambda ids: (len(ids), ids))  # what a label's last token follows
    width = len(start) + len(before[-1])
    ids = torch.tensor([start + list(line) + [0] * (width - len(start) - len(line)) for line in before])
    mask = torch.tensor([[1] * (len(start) + len(line)) + [0] * (width - len(start) - len(line)) for line in before])
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=width - len(start) + 1).logits  # from the prompt's last token on
    scores = []
    for label in labels:
        likelihood = logits[before.index(tuple(label[:-1])), : len(label)].double().log_softmax(-1)
        scores.append(float(likelihood[torch.arange(len(label)), torch.tensor(label)].sum()))
    return scores


@torch.no_grad()
def greedy(model: Any, tokenizer: Any, prompt: dict[str, Any], text: str, tokens: int) -> str:
    """The free answer to `text`: the likeliest token each time, until the end of the turn or `tokens`."""
    start = torch.tensor([prompt_tokens(tokenizer, prompt, text)])
    end = prompt["end_token_id"]
    how = {"do_sample": False, "max_new_tokens": tokens, "eos_token_id": end, "pad_token_id": end}
    made = model.generate(input_ids=start, attention_mask=torch.ones_like(start), **how)[0, start.shape[1] :]
    return str(tokenizer.decode(made, skip_special_tokens=True)).strip()


if __name__ == "__main__":
    job = json.load(sys.stdin)
    clock = time.perf_counter()
    loaded, own_tokenizer = load(job["release"])
    found = [answer(loaded, own_tokenizer, job["prompt"], one) for one in job["texts"]]
    longest = 1 + max(map(len, job["prompt"]["answers"].values()))
    said = [greedy(loaded, own_tokenizer, job["prompt"], one, longest) for one in job["texts"]]
    versions = {library.__name__: library.__version__ for library in (torch, transformers, peft)}
    seconds = round(time.perf_counter() - clock, 2)
    print(json.dumps({"log_likelihood": found, "greedy": said, "versions": versions, "seconds": seconds}))
