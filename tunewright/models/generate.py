"""Free answers of a causal language model: greedy or sampled, many questions at a time, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tunewright.core.progress import Task
from tunewright.models.chat import PLAIN
from tunewright.models.load import LoadedModel, quiet

BATCH = 8


@torch.no_grad()
def generate(
    base: LoadedModel, questions: Sequence[str], max_new_tokens: int, temperature: float, seed: int, task: Task | None = None
) -> list[str]:
    """The answer to each question through the model's chat template. `temperature` 0 takes the likeliest token each time.

    Questions of like length share a batch, padded on the left; the random state outside is left as it was.
    """
    tokenizer, model = base.tokenizer, base.model.eval()
    template = tokenizer.chat_template or PLAIN
    turns = [[{"role": "user", "content": one}] for one in questions]
    prompts = [
        tokenizer.apply_chat_template(one, chat_template=template, add_generation_prompt=True, tokenize=True, return_dict=False)
        for one in turns
    ]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers = [""] * len(prompts)
    how = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 0.95} if temperature > 0 else {"do_sample": False}
    pad = tokenizer.pad_token_id
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            longest = max(len(prompts[index]) for index in some)
            ids = torch.tensor([[pad] * (longest - len(prompts[index])) + list(prompts[index]) for index in some])
            mask = torch.tensor([[0] * (longest - len(prompts[index])) + [1] * len(prompts[index]) for index in some])
            out = model.generate(ids, attention_mask=mask, max_new_tokens=max_new_tokens, pad_token_id=pad, **how)
            for index, tokens in zip(some, out[:, longest:].tolist(), strict=True):
                answers[index] = tokenizer.decode(tokens, skip_special_tokens=True).strip()
            if task is not None:
                task.advance(len(some))
    return answers
