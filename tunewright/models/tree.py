"""One pass for many rows that begin alike: the shared prefix once, each row after it, answers hanging from each row.

    prefix   <system> ... Classify the text.        computed once
      row 1    I love it <assistant>                 sees the prefix and itself
                 positive <end>                      sees the prefix, row 1 and itself
                 negative <end>
      row 2    It broke <assistant> ...

Positions continue from the prefix, attention follows the tree, and the head is computed only where an answer token is
predicted, so values and gradients equal those of a padded batch at a fraction of the work. Attention is registered through
transformers' `AttentionInterface`: rows of similar length share one `scaled_dot_product_attention`. Models that cannot
be walked layer by layer (see `anatomy.py`) take `padded`, slower and with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from tunewright.core.optional import require
from tunewright.models.anatomy import Anatomy, anatomy, soft_prompt, walks

if TYPE_CHECKING:
    from tunewright.models.frozen import LowerStates

ATTENTION = "tunewright_tree"
HEAD_CHUNK = 512  # head positions at a time when no gradient is needed: 100 MB for a vocabulary of 49,152
Answers = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Tree:
    """Rows packed behind one prefix. Indices count tokens after the prefix."""

    prefix: tuple[int, ...]
    rows: list[RowTokens]
    tokens: torch.Tensor  # (T,) all rows, one after another
    heads: torch.Tensor  # (h,) tokens after which something is predicted
    target_head: torch.Tensor  # (t,) which of `heads` predicts each target
    targets: torch.Tensor  # (t,) answer tokens, branch by branch
    branch: torch.Tensor  # (t,) running number of the branch of each target
    last: torch.Tensor  # (t,) bool: the end token of its branch
    weights: torch.Tensor | None = None  # (branches,) how much each answer counts in training; None is 1 for all


@dataclass(frozen=True)
class RowTokens:
    """One row of a tree: the body's tokens and then the nodes of its branches, with their distance from the prefix."""

    tokens: tuple[int, ...]
    depth: tuple[int, ...]
    body: int
    branches: _Branches


@dataclass(frozen=True)
class _Branches:
    """Answers as a trie, so that labels that begin alike share tokens. Place 0 is the body's last token, the nodes follow."""

    answers: Answers
    tokens: tuple[int, ...]
    depth: tuple[int, ...]  # 1 for a child of the body's last token
    sees: torch.Tensor  # (m, m) bool: node i sees node j
    targets: torch.Tensor  # (4, t): place where it is predicted, token, branch, whether it ends the branch


@lru_cache(maxsize=4096)
def _branches(answers: Answers) -> _Branches:
    places: dict[tuple[int, ...], int] = {(): 0}
    targets = []
    for branch, answer in enumerate(answers):
        for cut, token in enumerate(answer):
            place = places.setdefault(answer[:cut], len(places))
            targets.append((place, token, branch, cut == len(answer) - 1))
    paths = list(places)[1:]
    sees = torch.tensor([[path[: len(other)] == other for other in paths] for path in paths], dtype=torch.bool)
    tokens, depth = tuple(path[-1] for path in paths), tuple(len(path) for path in paths)
    return _Branches(answers, tokens, depth, sees, torch.tensor(targets).T)


def pack(prefix: Sequence[int], bodies: Sequence[Sequence[int]], answers: Sequence[Sequence[Sequence[int]]]) -> Tree:
    """Lay `bodies` behind `prefix`, each with its `answers` (at least one, each with its end token)."""
    rows: list[RowTokens] = []
    pieces: list[tuple[torch.Tensor, ...]] = []
    start = heads = branches = 0
    for body, choices in zip(bodies, answers, strict=True):
        trie, size = _branches(tuple(map(tuple, choices))), len(body)
        depth = (*range(size), *(size - 1 + step for step in trie.depth))
        rows.append(RowTokens((*body, *trie.tokens), depth, size, trie))
        place, token, branch, last = trie.targets
        here = torch.arange(start + size - 1, start + len(depth))
        pieces.append((here, place + heads, token, branch + branches, last.bool()))
        start, heads, branches = start + len(depth), heads + len(here), branches + len(choices)
    tokens = torch.tensor([token for row in rows for token in row.tokens])
    return Tree(tuple(prefix), rows, tokens, *(torch.cat(column) for column in zip(*pieces, strict=True)))


@dataclass(frozen=True)
class PrefixStates:
    """Keys and values of a prefix of `length` tokens in each layer, for passes that need no gradient."""

    length: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]]


def answer_log_probs(model: Any, tree: Tree, *, lower: LowerStates | None = None, prefix: PrefixStates | None = None) -> torch.Tensor:
    """log p of each answer token (t,), in the order of `tree.targets`; gradients flow.

    `lower` supplies what the frozen lower layers say, so only the layers above run. `prefix` is what `prefix_states`
    returned for this model, prefix and `lower`.
    """
    if not walks(model, len(tree.prefix) + max(max(row.depth) for row in tree.rows) + 1):
        return padded(model, tree)
    head, hidden = anatomy(model).head, _hidden(model, tree, lower, prefix)
    if hidden.requires_grad:
        return _pick(head(hidden), tree.target_head, tree.targets)
    out = torch.empty(len(tree.targets))
    for start in range(0, len(hidden), HEAD_CHUNK):
        mine = ((tree.target_head >= start) & (tree.target_head < start + HEAD_CHUNK)).nonzero()[:, 0]
        logits = head(hidden[start : start + HEAD_CHUNK])
        out[mine] = _pick(logits, tree.target_head[mine] - start, tree.targets[mine])
    return out


@torch.no_grad()
def prefix_states(model: Any, prefix: Sequence[int], lower: LowerStates | None = None) -> PrefixStates | None:
    """Run `prefix` (and the soft prompt before it) alone and keep its keys and values. None where the tree cannot be used."""
    if not walks(model, len(prefix)):
        return None
    parts = anatomy(model)
    front = _front(model, parts, tuple(prefix), lower)
    plan = Plan([], front.shape[1])
    walk(parts, front, plan, 0 if lower is None else lower.layer, len(parts.layers))
    return PrefixStates(front.shape[1], plan.prefix)


def padded(model: Any, tree: Tree) -> torch.Tensor:
    """The same as `answer_log_probs` from plain padded sequences, one for each answer, through the model's own forward."""
    lines, found = [], []
    for row in tree.rows:
        start = [*tree.prefix, *row.tokens[: row.body]]
        lines += [(start, answer) for answer in row.branches.answers]
    for first in range(0, len(lines), 8):
        some = lines[first : first + 8]
        sequences = [torch.tensor([*start, *answer[:-1]]) for start, answer in some]
        ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids in sequences], batch_first=True)
        logits = model(input_ids=ids, attention_mask=mask).logits
        logits = logits[:, logits.shape[1] - ids.shape[1] :]  # without the virtual tokens that PEFT puts before
        for line, (start, answer) in enumerate(some):
            places = torch.arange(len(start) - 1, len(start) - 1 + len(answer))
            found.append(_pick(logits[line], places, torch.tensor(answer)))
    return torch.cat(found)


def _pick(logits: torch.Tensor, places: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return -F.cross_entropy(logits.float()[places], tokens, reduction="none")


def _hidden(model: Any, tree: Tree, lower: LowerStates | None, prefix: PrefixStates | None) -> torch.Tensor:
    """Final hidden states (h, d) at `tree.heads`, after the last norm."""
    parts = anatomy(model)
    hidden = parts.embed(tree.tokens)[None] if lower is None else lower.rows(model, tree)
    if prefix is None:
        front = _front(model, parts, tree.prefix, lower)
        plan, hidden = Plan(tree.rows, front.shape[1]), torch.cat([front, hidden], 1)
    else:
        plan = Plan(tree.rows, prefix.length, prefix.layers)
    hidden = walk(parts, hidden, plan, 0 if lower is None else lower.layer, len(parts.layers))
    final: torch.Tensor = parts.norm(hidden[0, plan.first + tree.heads])
    return final


def _front(model: Any, parts: Anatomy, prefix: tuple[int, ...], lower: LowerStates | None) -> torch.Tensor:
    """What enters the first layer to run before any row: soft prompt and prefix (1, n, d)."""
    if lower is not None:
        return lower.prefix(model, prefix)
    soft = soft_prompt(model)
    embedded: torch.Tensor = parts.embed(torch.tensor(prefix, dtype=torch.long))[None]
    return embedded if soft is None else torch.cat([soft.to(embedded.dtype), embedded], 1)


def walk(parts: Anatomy, hidden: torch.Tensor, plan: Plan, start: int, stop: int) -> torch.Tensor:
    """Run layers start..stop-1 on one packed sequence (1, T, d)."""
    parts.causal.set_attn_implementation(ATTENTION)
    where = parts.rotary(hidden, position_ids=plan.positions)
    for layer in parts.layers[start:stop]:
        hidden = layer(hidden, position_ids=plan.positions, position_embeddings=where, use_cache=False, tree=plan)
    return hidden


class Plan:
    """Who attends to whom in one packed sequence: `length` prefix tokens (in the sequence unless `stored`), then the rows.

    Rows are gathered into groups of similar length; each group is one batched attention over prefix and row.
    """

    def __init__(self, rows: list[RowTokens], length: int, stored: dict[int, Any] | None = None) -> None:
        self.stored, self.prefix = stored, dict[int, tuple[torch.Tensor, torch.Tensor]]()
        self.first = length if stored is None else 0
        depth = torch.tensor([step for row in rows for step in row.depth], dtype=torch.long)
        self.positions = torch.cat([torch.arange(self.first), length + depth])[None]
        sizes = [len(row.tokens) for row in rows]
        starts = [self.first + sum(sizes[:i]) for i in range(len(sizes))]
        self.order = torch.arange(self.positions.shape[1])  # sequence position -> place in the pieces' outputs
        self.groups: list[tuple[torch.Tensor, torch.Tensor]] = []
        done = self.first
        for members in _groups(sizes):
            width = max(sizes[i] for i in members)
            gather = torch.zeros(len(members), width, dtype=torch.long)
            allowed = torch.ones(width, width, dtype=torch.bool).tril().repeat(len(members), 1, 1)
            for line, i in enumerate(members):
                here = torch.arange(starts[i], starts[i] + sizes[i])
                gather[line, : sizes[i]] = here
                self.order[here] = done + line * width + torch.arange(sizes[i])
                nodes = slice(rows[i].body, sizes[i])
                if sizes[i] > rows[i].body:  # branches do not see each other, only their own ancestors
                    allowed[line, nodes, nodes] = rows[i].branches.sees
            done += gather.numel()
            mask = torch.zeros(len(members), 1, width, length + width)
            mask[:, 0, :, length:].masked_fill_(~allowed, float("-inf"))
            self.groups.append((gather, mask))

    def attend(self, layer: int, query: Any, key: Any, value: Any, **options: Any) -> torch.Tensor:
        """Attention of all tokens: (1, heads, T, d) in, (1, T, heads, d) out."""
        attention, pieces = F.scaled_dot_product_attention, []
        options["enable_gqa"] = query.shape[1] != key.shape[1]
        if self.stored is None:
            front = key[:, :, : self.first], value[:, :, : self.first]
            pieces.append(attention(query[:, :, : self.first], *front, is_causal=True, **options))
            if not torch.is_grad_enabled():
                self.prefix[layer] = front
        else:
            front = self.stored[layer]
        for gather, mask in self.groups:
            keys, values = (
                torch.cat([ahead.expand(len(gather), -1, -1, -1), _rows(states, gather)], 2)
                for ahead, states in zip(front, (key, value), strict=True)
            )
            pieces.append(attention(_rows(query, gather), keys, values, attn_mask=mask.to(query.dtype), **options))
        flat = [piece.transpose(1, 2).flatten(0, 1) for piece in pieces]
        return torch.cat(flat)[self.order][None]


def _groups(sizes: list[int]) -> list[list[int]]:
    """Rows by length, a new group where padding would exceed half of the shortest row."""
    groups: list[list[int]] = []
    for i in sorted(range(len(sizes)), key=sizes.__getitem__):
        if groups and sizes[i] <= 1.5 * sizes[groups[-1][0]]:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _rows(states: torch.Tensor, gather: torch.Tensor) -> torch.Tensor:
    """(1, heads, T, d) -> (rows, heads, width, d)."""
    return states[0][:, gather].transpose(0, 1)


def _attention(module: Any, query: Any, key: Any, value: Any, mask: Any, *, tree: Plan | None = None, **rest: Any) -> Any:
    """What transformers calls; passes without a tree go to its own implementation."""
    if tree is None:
        return transformers.AttentionInterface()["sdpa"](module, query, key, value, mask, **rest)
    scale, dropout = rest.get("scaling"), rest.get("dropout", 0.0)
    return tree.attend(module.layer_idx, query, key, value, scale=scale, dropout_p=dropout), None


transformers = require("transformers", "train")
transformers.AttentionInterface.register(ATTENTION, _attention)
transformers.AttentionMaskInterface.register(ATTENTION, transformers.AttentionMaskInterface()["sdpa"])
