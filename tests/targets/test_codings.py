"""Codings: what every code promises to layer norms, heads and hidden units."""

from __future__ import annotations

import numpy as np
import pytest

from serialformer.targets.codings import (
    Coding,
    bit_coding,
    choice_coding,
    number_coding,
    position_coding,
    spread_coding,
    weight_coding,
)
from tests.effort import later

NEUTRAL = {
    "two positions": position_coding(2, signed_labels=True),
    "120 positions": position_coding(120),
    "97 spread": spread_coding(97),
    "1023 spread": spread_coding(1023),
    "bits": bit_coding(),
}
SIGNS = {
    "2 numbers": number_coding(2),
    "9 numbers": number_coding(9),
    "16 numbers": number_coding(16),
    "two choices": choice_coding(("TRUE", "FALSE")),
    "seven choices": choice_coding(tuple("abcdefg")),
}
CODINGS = [*NEUTRAL, *SIGNS]


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_codes_add_up_to_nothing_and_have_one_square_norm(name: str) -> None:
    coding = NEUTRAL[name]
    codes = coding.codes.astype(int)
    assert not codes.sum(axis=1).any()
    assert set(np.square(codes).sum(axis=1).tolist()) == {coding.square_norm}
    assert len(np.unique(codes, axis=0)) == coding.num_values == len(codes)
    assert not coding.nothing.any()


@pytest.mark.parametrize("name", SIGNS)
def test_every_coordinate_of_signs_is_a_sign_and_pairs_are_opposite(name: str) -> None:
    coding = SIGNS[name]
    for codes in (coding.codes, coding.nothing[None]):
        assert set(np.unique(codes)) == {-1, 1}
        assert np.array_equal(codes[:, ::2], -codes[:, 1::2])
    assert len(np.unique(coding.codes, axis=0)) == coding.num_values


@pytest.mark.parametrize("name", CODINGS)
def test_carriers_determine_a_code(name: str) -> None:
    coding = (NEUTRAL | SIGNS)[name]
    carried = coding.codes[:, coding.carriers]
    assert np.array_equal(carried[:, coding.carrier] * coding.signs, coding.codes)
    assert len(coding.labels) == coding.length and len(set(coding.labels)) == coding.length


def probed(coding: Coding) -> np.ndarray:
    """For each value that is probed and each that is held the product."""
    return coding.probes.astype(int) @ coding.codes[:, coding.carriers].astype(int).T


@pytest.mark.parametrize("name", CODINGS)
def test_the_gap_is_that_of_the_closest_two_values(name: str) -> None:
    coding = (NEUTRAL | SIGNS)[name]
    products = probed(coding)
    looked_for = coding.probes.any(axis=1)  # "none of these" is not looked for
    own = np.diag(products).copy()
    np.fill_diagonal(products, -(10**6))
    gaps = (own - products.max(axis=1))[looked_for]
    assert gaps.min() >= coding.gap
    if "spread" not in name:
        assert gaps.min() == coding.gap
    assert looked_for.sum() >= coding.num_values - ("choices" in name)


@pytest.mark.parametrize("name", later(CODINGS, [name for name in CODINGS if name != "1023 spread"]))
def test_an_answer_outweighs_every_code_that_stood_there(name: str) -> None:
    """Eight times the answer, as units write it, and whichever code was there: the written value is the likest."""
    coding = (NEUTRAL | SIGNS)[name]
    codes = coding.codes.astype(int)
    among_codes, wrong = codes @ codes.T, 0
    for value, answer in enumerate(coding.answers.astype(int)):
        if not answer.any():
            continue
        products = among_codes + 8 * (answer @ codes.T)
        own = products[:, value].copy()
        products[:, value] = -(10**6)
        wrong += int((own <= products.max(axis=1)).sum())
    assert wrong == 0


@pytest.mark.parametrize("name", CODINGS)
def test_nothing_is_no_value(name: str) -> None:
    coding = (NEUTRAL | SIGNS)[name]
    values = np.array([coding.num_values - 1, -1, 0])
    expected = np.stack([coding.codes[-1], coding.nothing, coding.codes[0]])
    assert np.array_equal(coding.rows(values), expected)
    assert np.array_equal(coding.rows(np.array([1, 0], dtype=np.uint8)), coding.codes[[1, 0]])


def test_filled_pairs_stand_for_no_value() -> None:
    for nothing in (-1, 1):
        assert position_coding(2, nothing=nothing).nothing.tolist() == [nothing, nothing]


def test_companions_make_up_for_what_is_missing() -> None:
    for spread in (spread_coding(97), spread_coding(2000)):
        weight = weight_coding(spread.square_norm)
        assert not weight.codes[0].any() and not weight.codes.sum(axis=1).any()
        assert np.square(weight.codes[1].astype(int)).sum() == spread.square_norm
    with pytest.raises(AssertionError):
        weight_coding(63)


def test_units_tell_two_spread_values_from_all_others() -> None:
    coding = spread_coding(97)
    watched = coding.codes[:, coding.watched].astype(int)
    assert len(coding.watched) == coding.length - 2
    for one in range(0, 97, 7):
        for other in range(one + 1, 97, 11):
            products = (watched[one] + watched[other]) @ watched.T
            assert products[one] == products[other]
            assert products[one] - np.delete(products, [one, other]).max() >= 8
