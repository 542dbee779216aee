"""One forward pass for many rows that begin alike: the shared prefix once, each row's own tokens after it, and answers
hanging from each row as short branches.

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
Answer = tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """Rows packed behind one prefix. Indices count tokens after the prefix."""

    prefix: tuple[int, ...]
    rows: list[RowTokens]
    tokens: torch.Tensor  # (T,) all rows, one after another
    depth: torch.Tensor  # (T,) distance from the end of the prefix
    heads: torch.Tensor  # (h,) tokens after which something is predicted
    target_head: torch.Tensor  # (t,) which of `heads` predicts each target
    targets: torch.Tensor  # (t,) answer tokens, branch by branch
    branch: torch.Tensor  # (t,) running number of the branch of each target
    last: torch.Tensor  # (t,) bool: the end token of its branch


@dataclass(frozen=True)
class RowTokens:
    """One row of a tree: the body's tokens and then the nodes of its branches."""

    tokens: tuple[int, ...]
    depth: tuple[int, ...]
    body: int
    branches: _Branches


@dataclass(frozen=True)
class _Branches:
    """Answers as a trie, so that labels that begin alike share tokens. Nodes are numbered; -1 is the body's last token."""

    tokens: tuple[int, ...]
    depth: tuple[int, ...]  # 1 for a child of the body's last token
    sees: torch.Tensor  # (m, m) bool: node i sees node j
    predictions: tuple[tuple[int, int, int, bool], ...]  # node, token predicted there, branch, is it the last


@lru_cache(maxsize=4096)
def _branches(answers: tuple[Answer, ...]) -> _Branches:
    nodes: dict[Answer, int] = {(): -1}
    predictions = []
    for branch, answer in enumerate(answers):
        for cut, token in enumerate(answer):
            node = nodes.setdefault(answer[:cut], len(nodes) - 1)
            predictions.append((node, token, branch, cut == len(answer) - 1))
    paths = list(nodes)[1:]
    sees = torch.tensor([[path[: len(other)] == other for other in paths] for path in paths], dtype=torch.bool)
    return _Branches(tuple(path[-1] for path in paths), tuple(len(path) for path in paths), sees, tuple(predictions))


def pack(prefix: Sequence[int], bodies: Sequence[Sequence[int]], answers: Sequence[Sequence[Sequence[int]]]) -> Tree:
    """Lay `bodies` behind `prefix`, each with its `answers` (at least one, each with its end token)."""
    rows: list[RowTokens] = []
    heads: list[int] = []
    target_head, targets, branch, last = [], [], [], []
    start = branches = 0
    for body, choices in zip(bodies, answers, strict=True):
        trie = _branches(tuple(tuple(answer) for answer in choices))
        size = len(body)
        depth = (*range(size), *(size - 1 + step for step in trie.depth))
        rows.append(RowTokens((*body, *trie.tokens), depth, size, trie))
        place = {node: len(heads) + i for i, node in enumerate(range(-1, len(trie.tokens)))}
        heads += [start + size + node for node in place]
        for node, token, choice, end in trie.predictions:
            target_head.append(place[node])
            targets.append(token)
            branch.append(branches + choice)
            last.append(end)
        start, branches = start + len(rows[-1].tokens), branches + len(choices)
    long = torch.long
    return Tree(
        tuple(prefix),
        rows,
        torch.tensor([token for row in rows for token in row.tokens], dtype=long),
        torch.tensor([step for row in rows for step in row.depth], dtype=long),
        torch.tensor(heads, dtype=long),
        torch.tensor(target_head, dtype=long),
        torch.tensor(targets, dtype=long),
        torch.tensor(branch, dtype=long),
        torch.tensor(last, dtype=torch.bool),
    )


@dataclass(frozen=True)
class PrefixStates:
    """Keys and values of a prefix of `length` tokens in each layer, for passes that need no gradient."""

    length: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]]


def answer_log_probs(
    model: Any, tree: Tree, *, lower: LowerStates | None = None, prefix: PrefixStates | None = None
) -> torch.Tensor:
    """log p of each answer token (t,), in the order of `tree.targets`; gradients flow.

    `lower` supplies what the frozen lower layers say, so only the layers above run. `prefix` is what `prefix_states`
    returned for this model, prefix and `lower`.
    """
    if not walks(model, _longest(tree)):
        return _pick(padded(model, tree), tree.target_head, tree.targets)
    head, hidden = anatomy(model).head, _hidden(model, tree, lower, prefix)
    if hidden.requires_grad:
        return _pick(head(hidden), tree.target_head, tree.targets)
    out = torch.empty(len(tree.targets))
    for start in range(0, len(hidden), HEAD_CHUNK):
        mine = ((tree.target_head >= start) & (tree.target_head < start + HEAD_CHUNK)).nonzero()[:, 0]
        logits = head(hidden[start : start + HEAD_CHUNK])
        out[mine] = _pick(logits, tree.target_head[mine] - start, tree.targets[mine])
    return out


def forward(
    model: Any, tree: Tree, *, lower: LowerStates | None = None, prefix: PrefixStates | None = None
) -> torch.Tensor:
    """Logits (h, vocabulary) at `tree.heads`."""
    if not walks(model, _longest(tree)):
        return padded(model, tree)
    logits: torch.Tensor = anatomy(model).head(_hidden(model, tree, lower, prefix))
    return logits


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
    """The same logits as `forward` from plain padded sequences, one for each answer, through the model's own forward."""
    sequences: list[list[int]] = []
    spots: list[tuple[int, int]] = []  # spots: for each head, the sequence and the place in it
    for row in tree.rows:
        sees = row.branches.sees
        leaves = [node for node in range(len(sees)) if sees[:, node].sum() == 1] or [-1]
        home = {-1: len(sequences)}
        for leaf in leaves:
            path = sees[leaf].nonzero()[:, 0].tolist() if leaf >= 0 else []
            home = {node: len(sequences) for node in path} | home
            sequences.append([*tree.prefix, *row.tokens[: row.body], *(row.branches.tokens[node] for node in path)])
        before = len(tree.prefix) + row.body - 1
        spots += [(home[node], before + ((0, *row.branches.depth)[node + 1])) for node in range(-1, len(sees))]
    width = max(map(len, sequences))
    tokens = torch.tensor([line + [0] * (width - len(line)) for line in sequences])
    mask = torch.tensor([[1] * len(line) + [0] * (width - len(line)) for line in sequences])
    found: dict[int, torch.Tensor] = {}
    for start in range(0, len(sequences), 8):
        logits = model(input_ids=tokens[start : start + 8], attention_mask=mask[start : start + 8]).logits
        shift = logits.shape[1] - width  # virtual tokens that PEFT put before
        for i, (sequence, place) in enumerate(spots):
            if start <= sequence < start + 8:
                found[i] = logits[sequence - start, shift + place]
    return torch.stack([found[i] for i in range(len(spots))])


def _pick(logits: torch.Tensor, rows: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return -F.cross_entropy(logits.float()[rows], tokens, reduction="none")


def _longest(tree: Tree) -> int:
    return len(tree.prefix) + int(tree.depth.max()) + 1


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
                _restrict(allowed[line], rows[i])
            done += gather.numel()
            mask = torch.zeros(len(members), 1, width, length + width)
            mask[:, 0, :, length:].masked_fill_(~allowed, float("-inf"))
            self.groups.append((gather, mask))

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any
    ) -> torch.Tensor:
        """Attention of all tokens: (1, heads, T, d) in, (1, T, heads, d) out."""
        options["enable_gqa"] = query.shape[1] != key.shape[1]
        pieces = []
        if self.stored is None:
            front = key[:, :, : self.first], value[:, :, : self.first]
            pieces.append(F.scaled_dot_product_attention(query[:, :, : self.first], *front, is_causal=True, **options))
            if not torch.is_grad_enabled():
                self.prefix[layer] = front
        else:
            front = self.stored[layer]
        for gather, mask in self.groups:
            keys, values = (
                torch.cat([ahead.expand(len(gather), -1, -1, -1), _rows(states, gather)], 2)
                for ahead, states in zip(front, (key, value), strict=True)
            )
            found = F.scaled_dot_product_attention(
                _rows(query, gather), keys, values, attn_mask=mask.to(query.dtype), **options
            )
            pieces.append(found)
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


def _restrict(allowed: torch.Tensor, row: RowTokens) -> None:
    """Take from a causal mask what the branches of `row` must not see: each other, except their own ancestors."""
    if len(row.branches.tokens) > 1:
        allowed[row.body : len(row.tokens), row.body : len(row.tokens)] = row.branches.sees


def _rows(states: torch.Tensor, gather: torch.Tensor) -> torch.Tensor:
    """(1, heads, T, d) -> (rows, heads, width, d)."""
    return states[0][:, gather].transpose(0, 1)


def _tree_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, tree: Plan | None = None, **options: Any
) -> tuple[torch.Tensor, Any]:
    """What transformers calls; passes without a tree go to its own implementation."""
    if tree is None:
        sdpa = require("transformers", "train").AttentionInterface()["sdpa"]
        found: tuple[torch.Tensor, Any] = sdpa(module, query, key, value, attention_mask, **options)
        return found
    scale, dropout = options.get("scaling"), options.get("dropout", 0.0)
    return tree.attend(module.layer_idx, query, key, value, scale=scale, dropout_p=dropout), None


def _register() -> None:
    transformers = require("transformers", "train")
    transformers.AttentionInterface.register(ATTENTION, _tree_attention)
    transformers.AttentionMaskInterface.register(ATTENTION, transformers.AttentionMaskInterface()["sdpa"])


_register()
