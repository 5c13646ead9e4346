"""Training: seconds per step beside peers.

    python benchmarks/training.py [--num-steps 40] [--widths 128 512] [--settings cot base] [--json FILE]

One step of ``serialformer train``, of the same model in plain torch in the manner of nanoGPT, and of transformers'
GPT2LMHeadModel, in turns on the same batches; drawing the batch is counted for all three. All start from the same
weights and must have the same loss. Seconds are process CPU seconds; one thread. What learning takes, and where models
look while they learn, is measured by ``recipes/training``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import torch
from torch import Tensor
from torch.nn import functional

from serialformer.tasks.layout import lay_out
from serialformer.training.config import EvaluationConfig, ModelConfig, OptimiserConfig, TrainingConfig
from serialformer.training.initial import draw_weights, make_generator
from serialformer.training.loop import Execution, Report, train
from serialformer.transformer.checkpoint import save_transformer
from serialformer.transformer.transformer import Transformer

SETTINGS = ("cot", "base", "hint")

HEADS = {128: 4, 512: 8}
"""Of a model of some width; others have heads of 32."""

UNCOUNTED = 5
"""Steps at the beginning that are not timed."""

SAME_LOSS = 1e-4
"""How far the losses of the three may be apart before any of them has changed its weights."""


class Block(torch.nn.Module):
    """One layer: every position, fused query-key-value projection, causal attention, feed-forward."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_1, self.norm_2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.attention_in, self.attention_out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.mlp_in, self.mlp_out = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        rows, tokens, width = x.shape
        split = self.attention_in(self.norm_1(x)).split(width, dim=2)
        queries, keys, values = (part.view(rows, tokens, self.num_heads, -1).transpose(1, 2) for part in split)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(rows, tokens, width))
        return x + self.mlp_out(functional.gelu(self.mlp_in(self.norm_2(x)), approximate="tanh"))


class PlainTransformer(torch.nn.Module):
    """A GPT-2 as one writes it down: logits at every position, the output tied to the token embedding."""

    def __init__(self, start: Transformer) -> None:
        super().__init__()
        shape = start.architecture
        assert shape.hidden_width == 4 * shape.width
        self.tokens = torch.nn.Embedding(len(shape.vocabulary), shape.width)
        self.positions = torch.nn.Embedding(shape.num_positions, shape.width)
        self.blocks = torch.nn.ModuleList(Block(shape.width, shape.num_heads) for _ in range(shape.num_layers))
        self.final_norm = torch.nn.LayerNorm(shape.width)
        self._take(start)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return functional.linear(self.final_norm(x), self.tokens.weight)

    def _take(self, start: Transformer) -> None:
        """The weights of a transformer; it multiplies rows by its matrices, torch by their transposes."""
        weights = {name: torch.from_numpy(weight.copy()) for name, weight in start.named_weights()}
        pairs = {"tokens.weight": weights["token_embedding"], "positions.weight": weights["position_embedding"]}
        pairs |= {"final_norm.weight": weights["final_norm_gain"], "final_norm.bias": weights["final_norm_bias"]}
        for layer in range(len(self.blocks)):
            ours, theirs = f"layers.{layer}.", f"blocks.{layer}."
            for name in ("attention_in", "attention_out", "mlp_in", "mlp_out"):
                pairs[f"{theirs}{name}.weight"] = weights[f"{ours}{name}_weight"].T
                pairs[f"{theirs}{name}.bias"] = weights[f"{ours}{name}_bias"]
            for name, norm in (("norm_1", "attention_norm"), ("norm_2", "mlp_norm")):
                pairs[f"{theirs}{name}.weight"] = weights[f"{ours}{norm}_gain"]
                pairs[f"{theirs}{name}.bias"] = weights[f"{ours}{norm}_bias"]
        self.load_state_dict(pairs)


class Peer:
    """A plain training loop around a module that gives logits at every position."""

    def __init__(self, module: torch.nn.Module, config: TrainingConfig) -> None:
        self._module, self._config, self._task = module.train(), config, config.make_task()
        optimiser = config.optimiser
        self._optimiser = torch.optim.AdamW(
            module.parameters(),
            betas=optimiser.betas,
            eps=optimiser.epsilon,
            weight_decay=optimiser.weight_decay,
            fused=True,
        )

    def step(self, step: int) -> float:
        """One step on the batch that ``train`` draws for it; the loss."""
        config, optimiser = self._config, self._config.optimiser
        random = make_generator(config.seed, "batch", step)
        examples = self._task.sample(random, config.length, optimiser.batch_size)
        layout = lay_out(self._task, examples, config.setting, config.length)
        tokens, labels = torch.from_numpy(layout.tokens), torch.from_numpy(layout.labels)
        for group in self._optimiser.param_groups:
            group["lr"] = optimiser.rate(step)
        logits = self._module(tokens)
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        assert optimiser.clip_norm is not None
        torch.nn.utils.clip_grad_norm_(self._module.parameters(), optimiser.clip_norm)
        self._optimiser.step()
        return loss.item()


class Logits(torch.nn.Module):
    """A model of transformers as a function from tokens to logits."""

    def __init__(self, directory: Path) -> None:
        from transformers import GPT2LMHeadModel
        from transformers.utils.logging import disable_progress_bar

        super().__init__()
        disable_progress_bar()
        self.model = GPT2LMHeadModel.from_pretrained(directory)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens, use_cache=False).logits


def measure_steps(width: int, setting: str, num_steps: int) -> dict[str, Any]:
    """Median seconds per step of each, the steps taken in turns; raises if the losses differ at the start."""
    config = TrainingConfig(
        task="permutation-composition",
        parameters={"format": "token"},
        length=16,
        setting=setting,
        model=ModelConfig(width=width, num_heads=HEADS.get(width, max(1, width // 32)), initial_deviation=0.08),
        optimiser=OptimiserConfig(num_steps=UNCOUNTED + num_steps, batch_size=64),
        evaluation=EvaluationConfig(
            every=UNCOUNTED + num_steps + 1, num_final_samples=1, num_final_generated=0, target=None
        ),
    )
    start = draw_weights(config.architecture(), config.model, config.seed)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "start").mkdir()
        save_transformer(start, Path(folder, "start"), num_new_tokens=1)
        peers = {"plain torch": PlainTransformer(start), "transformers": Logits(Path(folder, "start"))}
        loops = {name: Peer(module, config) for name, module in peers.items()}
        times: dict[str, list[float]] = {"serialformer": [], **{name: [] for name in loops}}
        apart = []
        started = 0.0

        def take_turns(report: Report) -> None:
            nonlocal started
            times["serialformer"].append(time.process_time() - started)
            losses = {"serialformer": report.loss}
            for name, loop in loops.items():
                before = time.process_time()
                losses[name] = loop.step(report.step - 1)
                times[name].append(time.process_time() - before)
            apart.append(max(losses.values()) - min(losses.values()))
            if report.step == 1 and apart[0] > SAME_LOSS:
                raise AssertionError(f"the same weights, and different losses: {losses}")
            started = time.process_time()

        quiet = Execution(num_threads=1, save_seconds=math.inf, log_every=1 << 30)
        train(config, Path(folder, "run"), execution=quiet, progress=take_turns)
    seconds = {name: median(taken[UNCOUNTED:]) for name, taken in times.items()}
    return {
        "width": width,
        "heads": config.model.num_heads,
        "setting": setting,
        "batch": config.optimiser.batch_size,
        "tokens": config.architecture().num_positions,
        "steps": num_steps,
        "seconds": seconds,
        "times_faster": {name: seconds[name] / seconds["serialformer"] for name in loops},
        "losses_apart_at_first": apart[0],
        "losses_apart_at_last": apart[-1],
    }


def compare_steps(widths: list[int], settings: list[str], num_steps: int) -> list[dict[str, Any]]:
    """Measures and prints a table, row by row."""
    names = ("serialformer", "plain torch", "transformers")
    print(f"| width | setting | tokens | {' | '.join(f'{name}, ms a step' for name in names)} ", end="")
    print("| plain torch / ours | transformers / ours | losses apart, step 1 |\n|" + "---|" * 9)
    rows = []
    for width in widths:
        for setting in settings:
            row = measure_steps(width, setting, num_steps)
            rows.append(row)
            milliseconds = " | ".join(f"{1000 * row['seconds'][name]:.1f}" for name in names)
            faster = " | ".join(f"{ratio:.2f}" for ratio in row["times_faster"].values())
            print(
                f"| {width} | {setting} | {row['tokens']} | {milliseconds} | {faster} "
                f"| {row['losses_apart_at_first']:.1e} |",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--settings", nargs="+", default=["cot", "base"], choices=SETTINGS)
    parser.add_argument("--num-steps", type=int, default=40)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = compare_steps(arguments.widths, arguments.settings, arguments.num_steps)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
