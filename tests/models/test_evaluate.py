"""Evaluation: exact models score all, others what transformers' own logits say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serialformer.errors import TaskError
from serialformer.models.construct import construct
from serialformer.models.evaluate import evaluate
from serialformer.models.load import load
from serialformer.models.score import Score
from serialformer.tasks.layout import SETTINGS, lay_out
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import ParameterValue
from serialformer.transformer.transformer import weights_to_transformer
from tests.task_models import exact_parity, random_model


@pytest.mark.parametrize("engine", ["auto", "dense", "hf"])
def test_an_exact_model_is_always_right(engine: str) -> None:
    if engine == "hf":
        pytest.importorskip("transformers")
    seen: list[int] = []
    result = evaluate(exact_parity(7), num_samples=128, engine=engine, progress=seen.append)
    assert set(result.score.accuracies.values()) == {1.0}
    assert (result.score.samples, result.score.tokens, result.score.generated_tokens) == (128, 7 * 128, 7 * 128)
    assert result.engine == ("indexed" if engine == "auto" else engine) and result.length == 7
    assert sum(seen) == 128 and result.seconds > 0


def test_an_evaluator_is_judged_on_its_task(tmp_path: Path) -> None:
    """Of every length up to its own it is right, teacher-forced and generating."""
    directory = tmp_path / "evaluator"
    construct("circuit-value", 6).save(directory)
    model = load(directory)
    assert (model.task.name, model.length, model.setting) == ("circuit-value", 6, "cot")
    for length in range(model.task.min_length, 7):
        score = evaluate(model, length=length, num_samples=40, seed=length).score
        assert set(score.accuracies.values()) == {1.0}, length
    with pytest.raises(TaskError, match="ask for no more"):
        evaluate(model, length=7, num_samples=1)


def test_an_exact_model_at_other_lengths() -> None:
    """A circuit of 7 inputs reads = as 0 and its first gates from the wrong places: right at its own length alone."""
    result = evaluate(exact_parity(7), length=6, num_samples=200)
    assert result.length == 6 and result.score.chains < 200


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("name", "given", "length"),
    [("iterated-squaring", {"bound": 6}, 4), ("permutation-composition", {"degree": 2}, 2)],
)
def test_counts_from_transformers_logits(
    tmp_path: Path, name: str, given: dict[str, ParameterValue], length: int, setting: str
) -> None:
    """Counted again sample by sample from what Hugging Face's model says, of the first random model that is so-so."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    task = make_task(name, given)
    for seed in range(50):
        model = random_model(task, length, setting, seed=seed)
        result = evaluate(model, num_samples=60, seed=5, engine="dense")
        found = result.score
        if 0 < found.tokens_right < found.tokens and 0 < found.generated_tokens_right < found.generated_tokens:
            break
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model.save(tmp_path / "m").directory)

    def say(sequences: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return theirs(torch.tensor(sequences)).logits.argmax(dim=-1).numpy()

    examples = task.sample(np.random.default_rng([5, length]), length, 60)
    layout = lay_out(task, examples, setting, length)
    end, width = examples.end_token, layout.tokens.shape[1]
    # Generating: what the model says goes where the next token is read, but not over what is given.
    starts = np.zeros(60) if setting == "aligned" else examples.prompt_lengths - 1
    made = layout.has_loss & (np.arange(width) >= starts[:, None])
    tokens, own, ended = layout.tokens.copy(), np.full(layout.tokens.shape, -1), np.zeros(60, dtype=bool)
    for place in range(width):
        now = made[:, place]
        ended &= made[:, place - 1] if place else False
        own[now, place] = np.where(ended, end, say(tokens[:, : place + 1])[:, -1])[now]
        ended = now & (own[:, place] == end)
        if place + 1 < width:
            tokens[now, place + 1] = own[now, place]
    predicted = say(layout.tokens)
    counts = dict.fromkeys(Score().counts, 0) | {"samples": 60}
    for row in range(60):
        labels = layout.labels[row].tolist()
        places = [place for place, label in enumerate(labels) if label != -1]
        answer = layout.answer_positions[row].tolist()
        for prefix, said, among in (
            ("", predicted[row].tolist(), places),
            ("generated_", own[row].tolist(), [place for place in places if made[row, place]]),
        ):
            right = {place: said[place] == labels[place] for place in among}
            counts[f"{prefix}tokens"] += len(among)
            counts[f"{prefix}tokens_right"] += sum(right.values())
            counts[f"{prefix}chains"] += all(right.values())
            counts[f"{prefix}answer_tokens_right"] += sum(right[place] for place in answer)
            counts[f"{prefix}answers"] += all(right[place] for place in answer)
        counts["answer_tokens"] += len(answer)
    assert found.counts == counts
    assert 0 < counts["tokens_right"] < counts["tokens"]


def test_seeds() -> None:
    model = random_model(make_task("parity"), 6)
    first, again, other = (evaluate(model, num_samples=300, seed=seed).score for seed in (1, 1, 2))
    assert first == again != other
    assert first.samples == other.samples == 300


def test_many_samples_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows are read together, and the engine, change no count."""
    model = random_model(make_task("iterated-squaring", {"bound": 12}), 5)
    whole = evaluate(model, num_samples=1100, engine="dense").score
    monkeypatch.setattr("serialformer.models.evaluate.TEACHING_BYTES", 1 << 20)
    assert evaluate(model, num_samples=1100, engine="dense").score == whole
    assert evaluate(model, num_samples=1100).score == whole


def test_right_answers_by_wrong_chains() -> None:
    """An exact model whose first three positions are confused: answers can still come out right."""
    exact = exact_parity(6)
    weights = {name: weight.copy() for name, weight in exact.transformer.named_weights()}
    positions = weights["position_embedding"]
    positions[[7, 8]] = positions[[8, 7]]
    broken = replace(exact, transformer=weights_to_transformer(exact.transformer.architecture, weights))
    score = evaluate(broken, num_samples=400).score
    assert score.generated_chains < score.generated_answers
    assert score.chains < 400


def test_errors() -> None:
    model = random_model(make_task("parity"), 3)
    with pytest.raises(TaskError, match="samples: expected at least one sample, found 0"):
        evaluate(model, num_samples=0)
    with pytest.raises(TaskError, match="parity of length 9: takes 18 positions, the model has 6"):
        evaluate(model, length=9)
