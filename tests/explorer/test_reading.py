"""What a served page is told agrees with the reference forward pass and with the engines."""

from __future__ import annotations

import numpy as np
import pytest
from tests.explorer.models import compiled_adder
from tests.task_models import random_model

from serialformer.errors import SerialformerError
from serialformer.explorer import reading
from serialformer.explorer.reading import MADE, Reading
from serialformer.tasks.registry import make_task
from serialformer.transformer.forward import compute_attention, compute_logits


def test_a_view_is_the_forward_pass_at_its_position() -> None:
    transformer = random_model(make_task("parity"), 6).transformer
    tokens = np.array([0, 1, 1, 0, 1, 0, 2, 1, 1], dtype=np.int64)
    read = Reading(transformer, tokens)
    attention, logits = compute_attention(transformer, tokens[None]), compute_logits(transformer, tokens[None])[0]
    np.testing.assert_array_equal(read.said, logits.argmax(axis=-1))
    for position in range(len(tokens)):
        view = read.view(position)
        np.testing.assert_allclose(view["logits"], logits[position], rtol=1e-12, atol=1e-12)
        for layer, heads in enumerate(view["attention"]):
            for head, looks in enumerate(heads):
                expected = attention[layer][0, head, position]
                assert len(looks) == position + 1
                for look in looks:
                    assert look["weight"] == pytest.approx(expected[look["position"]], rel=1e-12)
                weights = [look["weight"] for look in looks]
                assert weights == sorted(weights, reverse=True)
                assert view["others"][layer][head] == pytest.approx(1 - weights[0], abs=1e-12)
                top = expected.argmax() if expected.max() > 0.5 else -1
                assert read.tops[position, layer, head] == top


def test_made_tokens_are_those_of_the_engines() -> None:
    model = compiled_adder()
    tokens = np.array([1, 0, 1, 1, 2] + [MADE] * model.num_new_tokens, dtype=np.int64)
    chain = model.run(a=1, b=3, engine="dense").chain
    np.testing.assert_array_equal(Reading(model.transformer, tokens).tokens[5:], chain)


def test_given_tokens_between_made_ones_are_read_as_given() -> None:
    transformer = random_model(make_task("parity"), 6).transformer
    tokens = np.array([0, MADE, 1, MADE, MADE, 0], dtype=np.int64)
    found = Reading(transformer, tokens).tokens
    for place in np.flatnonzero(tokens == MADE):
        assert found[place] == compute_logits(transformer, found[None, :place])[0, -1].argmax()
    np.testing.assert_array_equal(found[tokens != MADE], tokens[tokens != MADE])


def test_long_sequences_are_read_without_attending_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled_adder()
    tokens = np.array([1, 0, 1, 1, 2] + [MADE] * model.num_new_tokens, dtype=np.int64)
    dense = Reading(model.transformer, tokens)
    monkeypatch.setattr(reading, "MAX_DENSE_POSITIONS", 4)
    sparse = Reading(model.transformer, tokens)
    assert (sparse.tops == -1).all()
    np.testing.assert_array_equal(sparse.tokens, dense.tokens)
    assert sparse.view(7) == dense.view(7)
    np.testing.assert_array_equal(sparse.said[4:], dense.said[4:])


@pytest.mark.parametrize("tokens", [[], [MADE, 0], [0, 99], [0, -2], [0] * 500])
def test_what_is_no_sequence_is_refused(tokens: list[int]) -> None:
    with pytest.raises(SerialformerError):
        Reading(compiled_adder().transformer, np.array(tokens, dtype=np.int64))


def test_positions_and_heat_maps_have_limits() -> None:
    read = Reading(compiled_adder().transformer, np.array([0, 1, 0, 1, 2], dtype=np.int64))
    with pytest.raises(SerialformerError, match="no position 5"):
        read.view(5)
    assert np.array(read.attention_rows(50)).shape == (1, 2, 25)
    with pytest.raises(SerialformerError, match="50 attention weights, at most 49 are shown"):
        read.attention_rows(49)
