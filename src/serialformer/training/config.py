"""What shapes a training run: frozen values, from and to JSON, which refuse what they do not know."""

from __future__ import annotations

import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from serialformer.architecture import Activation, Architecture, NormName
from serialformer.errors import TrainingError
from serialformer.python_file import split_reference
from serialformer.tasks.curriculum import Curriculum
from serialformer.tasks.layout import check_setting, num_positions
from serialformer.tasks.registry import make_task
from serialformer.tasks.task import EQUALS, ParameterValue, Task

T = TypeVar("T")

LATER = {"later": True}
"""Of a field that older configurations do not have: at its default it is left out of the JSON, and their ids stay."""

OLD_NAMES = {"sampling": "curriculum", "room": "max_length"}
"""Fields of TrainingConfig by the names that they had in version 0.1; read for one more release."""

MAX_PARAMETERS = 1 << 31
"""Of a model: a configuration that asks for more is taken for a slip."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of the decoder and what its weights are drawn from. The defaults are a stock GPT-2, small.

    Attributes:
        num_layers: the paper's depth.
        num_heads: attention heads a layer.
        width: dimensions of the residual stream.
        hidden_width: hidden units of a feed-forward layer; four times the width if None.
        activation: the feed-forward non-linearity.
        norm: ``none`` is the paper's own transformer.
        relative_bias: whether heads add a learned number for each distance, beside the learned positions.
        initial_deviation: standard deviation of matrices and token embedding; biases start at 0, gains at 1.
        position_deviation: of the position embedding; the same if None.
        position_start: how the learned position embedding begins: ``normal``, or ``sinusoidal``: wavelengths from 3
            items to twice the context, evenly spaced on a logarithmic scale, and a random vector for each place
            within an item.
        position_item: tokens of an item, for a sinusoidal start.
        scale_residual: whether what writes into the residual stream starts smaller, by sqrt(2 layers), as in GPT-2.
    """

    num_layers: int = 1
    num_heads: int = 4
    width: int = 128
    hidden_width: int | None = None
    activation: Activation = "gelu_new"
    norm: NormName = "layer_norm"
    relative_bias: bool = False
    initial_deviation: float = 0.02
    position_deviation: float | None = None
    position_start: Literal["normal", "sinusoidal"] = "normal"
    position_item: int = 1
    scale_residual: bool = True


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """The optimiser: its learning rate rises along a line, stays, and falls along a line to ``final_rate`` at the end.

    A run that was extended has more than one such schedule: each extension starts at a rate of its own, without a
    warm-up, and falls like the first.

    Attributes:
        num_steps: steps at most.
        batch_size: samples per step.
        learning_rate: the highest.
        first_rate: the learning rate at step 0 of the warm-up.
        final_rate: the learning rate at the end.
        warmup_steps: how long it rises.
        decay_fraction: the share of all steps, at the end, over which it falls.
        betas: of AdamW.
        weight_decay: of matrices and embeddings.
        epsilon: of AdamW.
        clip_norm: gradients longer than this are shortened to it; None for no clipping.
        position_rate: the share of the learning rate that position embeddings get; 0 leaves them as they start.
        method: ``adamw``; or ``muon``, which gives the matrices of every layer a step with all its singular values near
            1, and everything else the step of AdamW.
        matrix_rate: the highest learning rate of the matrices under ``muon``; it rises and falls like the other.
        precision: what products are computed in; weights and optimiser stay in float32.
        extended_at: the steps at which a schedule ended and the run was extended, in order.
        extension_rates: the highest learning rate of each extension.
    """

    num_steps: int = 3000
    batch_size: int = 64
    learning_rate: float = 3e-3
    first_rate: float = 0.0
    final_rate: float = 0.0
    warmup_steps: int = 100
    decay_fraction: float = 0.35
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    epsilon: float = 1e-8
    clip_norm: float | None = 1.0
    position_rate: float = field(default=1.0, metadata=LATER)
    method: Literal["adamw", "muon"] = field(default="adamw", metadata=LATER)
    matrix_rate: float = field(default=4e-3, metadata=LATER)
    precision: Literal["float32", "bfloat16"] = "float32"
    extended_at: tuple[int, ...] = field(default=(), metadata=LATER)
    extension_rates: tuple[float, ...] = field(default=(), metadata=LATER)

    @property
    def matrix_share(self) -> float:
        """The share of the learning rate that is the rate of the matrices under ``muon``."""
        return self.matrix_rate / self.learning_rate if self.learning_rate else 0.0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0.

        >>> config = OptimiserConfig(num_steps=100, warmup_steps=10, decay_fraction=0.5, learning_rate=1.0)
        >>> [config.rate(step) for step in (0, 5, 10, 50, 75, 99)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.02]
        >>> extended = replace(config, num_steps=200, extended_at=(100,), extension_rates=(0.1,))
        >>> [extended.rate(step) for step in (50, 99, 100, 150, 175)]
        [1.0, 0.02, 0.1, 0.1, 0.05]
        """
        if step < self.warmup_steps:
            return self.first_rate + (self.learning_rate - self.first_rate) * step / self.warmup_steps
        number = sum(step >= end for end in self.extended_at)
        begin = self.extended_at[number - 1] if number else 0
        end = (*self.extended_at, self.num_steps)[number]
        highest = self.extension_rates[number - 1] if number else self.learning_rate
        num_falling = self.decay_fraction * (end - begin)
        left = end - step
        if left >= num_falling:
            return highest
        return self.final_rate + (highest - self.final_rate) * left / num_falling


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """When and on how much a run is evaluated; always on the task's own distribution.

    Attributes:
        every: steps between evaluations.
        num_samples: samples that are teacher-forced, each time.
        num_generated: samples that are generated, each time.
        num_final_samples: samples that are teacher-forced at the end, and to confirm that the target is reached.
        num_final_generated: samples that are generated at the end.
        target: the run ends once this share of samples has every labelled token right; None: it never ends early.
        pointers: whether to measure how much attention goes where the task's construction reads.
    """

    every: int = 100
    num_samples: int = 512
    num_generated: int = 64
    num_final_samples: int = 4096
    num_final_generated: int = 256
    target: float | None = 0.999
    pointers: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that shapes the numbers of a run; a run is a pure function of it.

    Attributes:
        task: the task's name, a short name of the paper's, or ``FILE.py:Class``.
        parameters: its parameters; those left out have their defaults.
        length: the number of items, at which it is evaluated as well.
        shortest: each batch has a length of its own, drawn evenly from ``shortest`` to ``length``; None: all have
            ``length``.
        max_length: the most items that the model has positions and tokens for, at least ``length``, so that it can be
            asked about longer prompts than it was trained on; ``length`` if None.
        setting: ``base``, ``cot``, ``hint``, ``aligned`` or ``filler``; see ``tasks.layout``.
        seed: decides initial weights, batches and evaluation samples.
        model: the decoder.
        optimiser: how it is trained.
        curriculum: how batches start out easier; None for the task's own distribution throughout.
        evaluation: how it is judged.
        initial: SHA-256 of the weights of the checkpoint that the run starts from; None for random ones. The model's
            shape is the checkpoint's then.
        hinted_steps: of ``base``: the number of first steps with the labels of ``hint``; later steps have the
            answer's label alone.

    >>> config = TrainingConfig(task="parity", length=8, setting="cot")
    >>> TrainingConfig.from_json(config.to_json()) == config
    True
    """

    task: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    length: int
    shortest: int | None = None
    max_length: int | None = None
    setting: str
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    curriculum: Curriculum | None = None
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    initial: str | None = None
    hinted_steps: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        task = self.make_task()
        if split_reference(self.task) is None:
            object.__setattr__(self, "task", task.name)  # of a short name the task's own
        object.__setattr__(self, "parameters", dict(task.parameters))
        for length in {self.shortest or self.length, self.length, self.max_length or self.length}:
            task.check_size(length, max(1, self.optimiser.batch_size))
        check_setting(self.setting)
        if self.setting == "aligned" and task.aligned_items(self.length) is None:
            raise TrainingError("the chain does not go along with the prompt", where=task.name, hint="--setting cot")
        if self.hinted_steps and self.setting != "base":
            raise TrainingError("is for models without a chain", where="hinted_steps", hint="--setting base")
        if self.curriculum is not None:
            self.curriculum.check(task)
        problems = [
            f"{name} must be {rule}, found {value!r}" for name, value, holds, rule in self._rules() if not holds
        ]
        if problems:
            raise TrainingError("; ".join(problems), where="configuration")

    def _rules(self) -> list[tuple[str, Any, bool, str]]:
        model, optimiser, evaluation = self.model, self.optimiser, self.evaluation
        at_least_one = {
            "model.num_layers": model.num_layers,
            "model.num_heads": model.num_heads,
            "model.width": model.width,
            "model.hidden_width": model.hidden_width or 1,
            "model.position_item": model.position_item,
            "optimiser.num_steps": optimiser.num_steps,
            "optimiser.batch_size": optimiser.batch_size,
            "evaluation.every": evaluation.every,
            "evaluation.num_samples": evaluation.num_samples,
            "evaluation.num_final_samples": evaluation.num_final_samples,
        }
        not_negative = {
            "seed": self.seed,
            "model.initial_deviation": model.initial_deviation,
            "model.position_deviation": model.position_deviation or 0,
            "optimiser.learning_rate": optimiser.learning_rate,
            "optimiser.first_rate": optimiser.first_rate,
            "optimiser.final_rate": optimiser.final_rate,
            "optimiser.warmup_steps": optimiser.warmup_steps,
            "optimiser.weight_decay": optimiser.weight_decay,
            "optimiser.position_rate": optimiser.position_rate,
            "optimiser.matrix_rate": optimiser.matrix_rate,
            "hinted_steps": self.hinted_steps,
            "evaluation.num_generated": evaluation.num_generated,
            "evaluation.num_final_generated": evaluation.num_final_generated,
        }
        rules: list[tuple[str, Any, bool, str]] = [
            (name, value, value >= 1, "at least 1") for name, value in at_least_one.items()
        ]
        rules += [(name, value, value >= 0, "0 or more") for name, value in not_negative.items()]
        shares = {"optimiser.decay_fraction": optimiser.decay_fraction, "evaluation.target": evaluation.target or 0}
        rules += [(name, value, 0 <= value <= 1, "from 0 to 1") for name, value in shares.items()]
        for place, beta in enumerate(optimiser.betas):
            rules.append((f"optimiser.betas[{place}]", beta, 0 <= beta < 1, "from 0 to below 1"))
        rules.append(("optimiser.epsilon", optimiser.epsilon, optimiser.epsilon > 0, "above 0"))
        clip = optimiser.clip_norm
        rules.append(("optimiser.clip_norm", clip, clip is None or clip > 0, "above 0, or none"))
        ends = (0, *optimiser.extended_at, optimiser.num_steps)
        rises = all(first < second for first, second in pairwise(ends))
        rules.append(("optimiser.extended_at", optimiser.extended_at, rises, "ascending, and less than num_steps"))
        matches = len(optimiser.extension_rates) == len(optimiser.extended_at)
        rules.append(("optimiser.extension_rates", optimiser.extension_rates, matches, "one for each extension"))
        whole = model.num_heads >= 1 and model.width % model.num_heads == 0
        shortest, max_length = self.shortest, self.max_length
        fits = shortest is None or 1 <= shortest <= self.length
        rules.append(("shortest", shortest, fits, f"from 1 to the length, {self.length}"))
        holds = max_length is None or max_length >= self.length
        rules.append(("max_length", max_length, holds, f"at least the length, {self.length}"))
        rules.append(("model.width", model.width, whole, f"a multiple of {model.num_heads} heads"))
        size = model.num_layers * model.width * (4 * model.width + 2 * (model.hidden_width or 4 * model.width))
        rules.append(("model", f"{size:,} weights", size <= MAX_PARAMETERS, f"at most {MAX_PARAMETERS:,} weights"))
        return rules

    def make_task(self) -> Task:
        """The task with its parameters."""
        return make_task(self.task, self.parameters)

    def architecture(self) -> Architecture:
        """The shape of a model that starts from random weights."""
        task, model, max_length = self.make_task(), self.model, self.max_length or self.length
        vocabulary = task.vocabulary(max_length)
        return Architecture(
            vocabulary=vocabulary,
            num_positions=num_positions(task, self.setting, max_length),
            width=model.width,
            num_layers=model.num_layers,
            num_heads=model.num_heads,
            hidden_width=model.hidden_width or 4 * model.width,
            activation=model.activation,
            norm_epsilon=1e-5 if model.norm == "layer_norm" else 0.0,
            end_token=vocabulary.index(EQUALS),
            dtype="float32",
            norm=model.norm,
            # The paper's transformer has no layer norm, and does not scale its scores.
            scaled_scores=model.norm == "layer_norm",
            relative_bias=model.relative_bias,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and objects."""
        return cast(dict[str, Any], _plain(self))

    @staticmethod
    def from_json(content: object) -> TrainingConfig:
        """The inverse of ``to_json``.

        Raises:
            TrainingError: no object, a key unknown or missing, or a value of the wrong kind; says all that are.
        """
        problems: list[str] = []
        config = _build(TrainingConfig, content, "", problems)
        if problems:
            raise TrainingError("; ".join(problems), where="configuration")
        assert config is not None
        return config

    def with_values(self, values: Mapping[str, str]) -> TrainingConfig:
        """The configuration with some fields changed, named as ``optimiser.learning_rate`` and given as text.

        >>> config = TrainingConfig(task="parity", length=8, setting="cot").with_values({"model.width": "64"})
        >>> config.model.width
        64
        """
        content = self.to_json()
        for name, text in values.items():
            first, dot, rest = name.partition(".")
            *path, last = f"{OLD_NAMES.get(first, first)}{dot}{rest}".split(".")
            place: Any = content
            for part in path:
                if isinstance(place, dict) and place.get(part) is None and part == "curriculum":
                    place[part] = {}  # none so far
                place = place.get(part) if isinstance(place, dict) else None
            if not isinstance(place, dict):
                raise TrainingError(f"no field {name!r}", where="configuration", hint=f"such as {_FIELD_EXAMPLE}")
            # Of a norm, ``none`` is the name of one.
            place[last] = text if name == "model.norm" else _parse_text(text)
        return TrainingConfig.from_json(content)

    def curriculum_amount(self, step: int) -> float:
        """The remaining part of the curriculum after a number of steps; 0 is the task's own distribution.

        >>> curriculum = Curriculum(name="neutral", start=0.5, num_steps=400)
        >>> config = TrainingConfig(task="parity", length=8, setting="cot", curriculum=curriculum)
        >>> config.curriculum_amount(100), config.curriculum_amount(400)
        (0.375, 0.0)
        """
        return 0.0 if self.curriculum is None else self.curriculum.value(step)

    def with_steps(self, num_steps: int, *, scaled: bool) -> TrainingConfig:
        """The same run with another number of steps.

        The decay is a share of all steps, so it always follows.

        Args:
            num_steps: steps at most.
            scaled: whether the warm-up, the curriculum and the hinted steps shrink with a run that becomes shorter, so
                that it still ends on the task's own distribution and labels. They never grow.
        """
        optimiser, curriculum = replace(self.optimiser, num_steps=num_steps), self.curriculum
        share, hinted_steps = num_steps / self.optimiser.num_steps, self.hinted_steps
        if scaled and share < 1:
            hinted_steps = round(share * hinted_steps)
            optimiser = replace(optimiser, warmup_steps=round(share * optimiser.warmup_steps))
            if curriculum is not None:
                curriculum = replace(curriculum, num_steps=round(share * curriculum.num_steps))
        return replace(self, optimiser=optimiser, curriculum=curriculum, hinted_steps=hinted_steps)

    def extended(self, num_steps: int, rate: float | None = None) -> TrainingConfig:
        """The same run with additional steps, which have a separate schedule from a lower learning rate.

        Args:
            num_steps: steps at most, the earlier ones included.
            rate: the highest learning rate of the extension; if None, the final rate of the schedule so far, or a tenth
                of its highest if that is more.

        Raises:
            TrainingError: it has as many steps already.
        """
        optimiser = self.optimiser
        if num_steps <= optimiser.num_steps:
            raise TrainingError(f"has {optimiser.num_steps:,} steps already", where="--steps")
        if rate is None:
            rate = max(optimiser.final_rate, optimiser.learning_rate / 10)
        return replace(
            self,
            optimiser=replace(
                optimiser,
                num_steps=num_steps,
                extended_at=(*optimiser.extended_at, optimiser.num_steps),
                extension_rates=(*optimiser.extension_rates, rate),
            ),
        )


def rename_fields(content: object) -> object:
    """The JSON of a configuration of version 0.1, with today's names.

    >>> rename_fields({"room": 8, "sampling": None})
    {'max_length': 8, 'curriculum': None}
    """
    if not isinstance(content, Mapping):
        return content
    return {OLD_NAMES.get(name, name): value for name, value in content.items()}


_FIELD_EXAMPLE = "model.width, optimiser.learning_rate, evaluation.every"


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        values = {part: getattr(value, part.name) for part in fields(value)}
        return {
            part.name: _plain(found)
            for part, found in values.items()
            if not (part.metadata.get("later") and found == part.default)
        }
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _parse_text(text: str) -> Any:
    """What a text on the command line means: none, true, false, a number, numbers between commas, or itself."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    if "," in text:
        return [_parse_text(part.strip()) for part in text.split(",")]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


@cache
def _type_hints(kind: Hashable) -> dict[str, Any]:
    """Annotations, read once: that takes longer than all else here."""
    return get_type_hints(kind)


def _build(kind: type[T], content: Any, where: str, problems: list[str]) -> T | None:
    """A dataclass from an object, each value checked against the field's type; adds what is wrong to ``problems``."""
    if not isinstance(content, Mapping):
        problems.append(f"{where or 'the whole'} must be an object, found {content!r}")
        return None
    hints = _type_hints(cast(Hashable, kind))
    values = {}
    for name in content:
        if name not in hints:
            near = get_close_matches(str(name), hints, n=1)
            problems.append(f"unknown key {where}{name}" + (f" (did you mean {where}{near[0]}?)" if near else ""))
    for part in fields(kind):  # type: ignore[arg-type]  # kind is a dataclass
        if part.name in content:
            values[part.name] = _fit(content[part.name], hints[part.name], f"{where}{part.name}", problems)
        elif part.default is MISSING and part.default_factory is MISSING:
            problems.append(f"{where}{part.name} is missing")
    return None if problems else kind(**values)


def _fit(value: Any, kind: Any, name: str, problems: list[str]) -> Any:
    """A value as its field's type wants it."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        (kind,) = (part for part in parts if part is not type(None))
        return _fit(value, kind, name, problems)
    if is_dataclass(kind):
        return _build(cast(type[Any], kind), value, f"{name}.", problems)
    if origin is Literal:
        if value not in parts:
            problems.append(f"{name} must be {' or '.join(map(str, parts))}, found {value!r}")
        return value
    if origin is tuple and parts[-1] is Ellipsis:
        if isinstance(value, list):
            return tuple(_fit(part, parts[0], name, problems) for part in value)
        problems.append(f"{name} must be numbers, found {value!r}")
        return value
    if origin is tuple:
        if isinstance(value, list) and len(value) == len(parts):
            return tuple(_fit(*pair, name, problems) for pair in zip(value, parts, strict=True))
        problems.append(f"{name} must be {len(parts)} numbers, found {value!r}")
        return value
    if kind is float and type(value) is int:
        return float(value)
    fits = type(value) is kind if origin is None else isinstance(value, Mapping)
    if not fits:
        problems.append(f"{name} must be {getattr(kind, '__name__', 'an object')}, found {value!r}")
    return value
