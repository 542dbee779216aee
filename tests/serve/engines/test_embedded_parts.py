"""Parts of the embedded engine on their own: slots, prefix cache, text, sampling."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tunewright.serve.embedded.attention import _runs
from tunewright.serve.embedded.cache import BLOCK, Arena, Buffer, PrefixCache, Shape
from tunewright.serve.embedded.sampling import Chooser, choose
from tunewright.serve.embedded.text import Text
from tunewright.serve.engine import Sampling
from tunewright.testing.tiny import tiny_tokenizer

SHAPE = Shape(2, 1, 4, torch.float32, torch.device("cpu"))


def test_memory_that_was_never_written_is_finite():
    for tokens in (256, 1024):
        poison = torch.full((2, 2, 4, 1, tokens, 4), torch.nan)
        del poison
        arena = Arena(SHAPE, 1 << 30, 8)
        arena.reserve(4, tokens)
        assert torch.isfinite(arena.data).all()


def test_slots_grow_and_keep_what_they_hold():
    arena = Arena(SHAPE, 1 << 30, 64)
    arena.reserve(1, 10)
    held = torch.randn(2, 2, 1, 1, 10, 4)
    arena.fill(0, held)
    arena.reserve(20, 700)
    assert arena.slots >= 20
    assert arena.capacity >= 700
    assert torch.equal(arena.read(0, 0, 10), held)
    arena.move(0, 7, 10)
    assert torch.equal(arena.read(7, 0, 10), held)


def test_one_row_may_always_decode():
    arena = Arena(SHAPE, 1, 8)
    assert arena.rows_for(100_000) == 1
    assert Arena(SHAPE, SHAPE.token_bytes * 1024, 8).rows_for(300) == 2


@pytest.mark.parametrize(
    ("lengths", "runs"),
    [([], []), ([5], [(0, 1)]), ([5, 9, 7], [(0, 3)]), ([5, 900, 7, 6], [(0, 1), (1, 2), (2, 4)]), ([900, 880, 5], [(0, 3)])],
)
def test_rows_of_like_length_share_one_attention(lengths: list[int], runs: list[tuple[int, int]]):
    assert _runs(lengths) == runs


def filled(tokens: list[int], known: PrefixCache) -> tuple[Buffer, int]:
    buffer = Buffer(SHAPE, len(tokens))
    return buffer, known.take("m", tokens, buffer)


def test_the_longest_known_beginning_is_found_and_no_other_models():
    known, data = PrefixCache(1 << 20), torch.randn(2, 2, 1, 1, 100, 4)
    tokens = list(range(100))
    known.keep("m", tokens, lambda start, stop: data[..., start:stop, :])
    other = [*tokens[: 2 * BLOCK], *range(500, 550)]
    buffer, found = filled(other, known)
    assert found == 2 * BLOCK
    assert torch.equal(buffer.data[..., :found, :], data[..., :found, :])
    assert filled(tokens[: 2 * BLOCK], known)[1] == BLOCK  # the last token is always computed
    assert known.take("n", tokens, Buffer(SHAPE, 100)) == 0
    assert filled([1, *tokens], known)[1] == 0


def test_the_cache_stays_within_its_bytes_and_keeps_beginnings_longest():
    block = BLOCK * SHAPE.token_bytes
    known, data = PrefixCache(5 * block), torch.randn(2, 2, 1, 1, 400, 4)
    read = lambda start, stop: data[..., start:stop, :]  # noqa: E731
    first, second = list(range(4 * BLOCK)), list(range(1000, 1000 + 3 * BLOCK))
    known.keep("m", first, read)
    known.keep("m", second, read)
    assert known.bytes == 5 * block
    assert filled([*first, 1], known)[1] == 2 * BLOCK
    assert filled([*second, 1], known)[1] == 3 * BLOCK
    known.keep("m", list(range(5000, 5400)), read)  # longer than all there is room for: its beginning is kept
    assert filled(list(range(5000, 5400)), known)[1] == 5 * BLOCK
    assert PrefixCache(0).take("m", first, Buffer(SHAPE, len(first))) == 0


def test_text_comes_out_whole_for_any_tokens():
    tokenizer, draw = tiny_tokenizer(), random.Random(1)
    for _ in range(300):
        ids = [draw.randrange(3, len(tokenizer)) for _ in range(draw.randrange(1, 30))]
        text = Text(tokenizer, ())
        found = "".join([*(text.add(one)[0] for one in ids), text.end()[0]])
        assert found == tokenizer.decode(ids, skip_special_tokens=True)


def test_no_part_of_a_stop_string_gets_out_wherever_it_falls():
    tokenizer, draw = tiny_tokenizer(), random.Random(2)
    for _ in range(500):
        whole = "".join(draw.choice("ab🙂") for _ in range(30))
        stops = tuple("".join(draw.choice("ab🙂") for _ in range(draw.randrange(1, 5))) for _ in range(draw.randrange(1, 3)))
        text, found = Text(tokenizer, stops), ""
        for one in tokenizer(whole)["input_ids"]:
            found += text.add(one)[0]
            assert whole.startswith(found)
            if text.stopped:
                break
        else:
            found += text.end()[0]
        places = [(whole.index(stop) + len(stop), whole.index(stop)) for stop in stops if stop in whole]
        assert text.stopped == bool(places)
        assert found == (whole[: min(places)[1]] if places else whole)


def test_sampling_follows_the_distribution_and_its_nucleus():
    chances = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    logits = chances.log()[None].expand(4000, -1)

    def drawn(**settings) -> np.ndarray:
        rows = [Chooser(Sampling(**settings, seed=seed)) for seed in range(4000)]
        return np.bincount([one.token for one in choose(logits, rows)], minlength=5) / 4000

    assert drawn() == pytest.approx(chances.numpy(), abs=0.03)
    assert drawn(top_p=0.79) == pytest.approx([0.625, 0.375, 0, 0, 0], abs=0.03)
    assert drawn(top_p=1e-9) == pytest.approx([1, 0, 0, 0, 0])
    colder = chances.numpy() ** 2 / (chances.numpy() ** 2).sum()
    assert drawn(temperature=0.5) == pytest.approx(colder, abs=0.03)
    assert drawn(temperature=1e-7) == pytest.approx([1, 0, 0, 0, 0])


def test_a_wide_nucleus_looks_beyond_the_likeliest_tokens():
    logits = torch.zeros(1, 2000)
    tokens = {choose(logits, [Chooser(Sampling(top_p=0.9, seed=seed))])[0].token for seed in range(300)}
    assert len(tokens) > 250


def test_a_choice_tells_the_models_own_probability():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    chooser = Chooser(Sampling(temperature=0, logprobs=2, presence_penalty=2.0))
    first, second = choose(logits, [chooser])[0], choose(logits, [chooser])[0]
    expected = logits[0].log_softmax(-1)
    assert (first.token, second.token) == (2, 1)
    assert second.logprob == pytest.approx(float(expected[1]))
    assert second.top == ((2, pytest.approx(float(expected[2]))), (1, pytest.approx(float(expected[1]))))
