"""Which tests are marked `integration`: those that run other programs, browsers or whole trainings.

`pytest` alone leaves them out, as long as no file is named on the command line; `make test` and `.ci/run` run them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

BY_DEFAULT = "not slow and not integration"
"""What `pytest` runs without further arguments (`addopts` in pyproject.toml)."""
ALL_BUT_SLOW = "not slow"

PATHS = {
    "simulators of Verilog": (
        "tests/circuits/verilog/test_against_simulators.py",
        "tests/circuits/verilog/test_jumps.py::test_agrees",
        "tests/circuits/verilog/test_jumps.py::test_random_designs_with_jumps",
        "tests/circuits/verilog/test_progress.py::test_agrees",
        "tests/circuits/verilog/test_progress.py::test_random_designs",
        "tests/circuits/verilog/test_progress.py::test_words_of_systemverilog",
        "tests/cli/test_compile.py::test_verify_against_the_source",
        "tests/cli/test_compile.py::test_verify_against_the_source_with_verilator",
    ),
    "trainings": (
        "tests/cli/test_train.py",
        "tests/interp/test_realism.py",
        "tests/training/test_loop.py",
        "tests/transformer/test_narrow_attention.py",
        "tests/training/test_optimiser.py",
        "tests/training/test_stacked.py",
    ),
    "models as shallow circuits, by loops that take numba half a minute to compile": (
        "docs/concepts/bounds.md",
        "src/serialformer/bounds/bound.py",
        "src/serialformer/bounds/rewrite.py",
        "src/serialformer/bounds/sums.py",
        "tests/bounds",
        "tests/cli/test_bound.py",
    ),
    "sweeps, and the recipes that are sweeps": (
        "tests/cli/test_sweep.py",
        "tests/recipes",
        "tests/sweeps",
    ),
    "examples and notebooks": ("tests/examples",),
    "pictures": ("tests/cli/test_plot.py", "tests/figures/test_plot.py", "tests/figures/test_sheet.py"),
    "whole suites of models": (
        "tests/interp/test_check.py",
        "tests/interp/test_suite.py",
        "tests/models/test_rotate.py::test_every_model_of_the_suite_is_certified_rotated_and_writes_the_same",
    ),
    "documents, the reference and the built site": (
        "tests/test_documents.py::test_consoles",
        "tests/test_plain_english.py",
        "tests/test_reference.py",
    ),
    "proofs by ABC": (
        "tests/bounds/test_extract.py::test_abc_proves_it_equal_to_the_deep_simulation",
        "tests/bounds/test_writers.py::test_abc_finds_the_formats_equal",
        "tests/cli/test_compile.py::test_levels",
        "tests/proofs/test_decompile.py::test_abc_proves_the_multiplier",
        "tests/test_generated_circuits.py::test_abc_proves_its_files_equal",
        "tests/test_generated_circuits.py::test_abc_proves_that_mapping_changed_nothing",
    ),
    "engines in processes of their own, and other people's": (
        "tests/cli/test_engine_test.py",
        "tests/engines/test_adapters.py",
        "tests/engines/test_examples.py::test_c",
        "tests/engines/test_examples.py::test_javascript",
        "tests/engines/test_export.py",
        "tests/engines/test_run.py",
        "tests/engines/test_server.py",
        "tests/engines/test_session.py",
        "tests/engines/test_zoo.py",
        "tests/interp/test_tools.py",
        "tests/transformer/test_checkpoint.py::test_ctranslate2_makes_the_same_chain",
    ),
    "stock transformers, which reads and runs what we write": (
        "tests/engines/test_known_tasks.py::test_cases_are_right_for_the_weights_and_for_transformers",
        "tests/interp/test_patch.py::test_one_head_of_a_llama_hears_what_transformers_would_give_it",
        "tests/models/test_card.py::test_its_lines_run",
        "tests/models/test_circuit_prompt.py::test_transformers_generates_the_same_tokens",
        "tests/models/test_circuit_prompt.py::test_transformers_in_narrow_formats",
        "tests/models/test_construct.py::test_transformers_generates_the_chain",
        "tests/models/test_construct_base.py::test_transformers_gives_the_same_answers",
        "tests/models/test_construct_llama.py::test_transformers_generates_the_chain",
        "tests/models/test_depth.py::test_transformers_gives_the_same_answer",
        "tests/models/test_llama_without_a_chain.py::test_transformers_answers_prompts_of_several_lengths",
        "tests/models/test_llama_without_a_chain.py::test_transformers_generates_the_answer",
        "tests/targets/test_llama.py::test_transformers_generates_the_chain",
        "tests/targets/test_llama_tied.py::test_transformers_generates_the_chain",
        "tests/test_levels.py::test_random_circuits_in_transformers",
        "tests/test_levels.py::test_small_circuits_in_transformers",
        "tests/test_levels_without_a_chain.py::test_every_level_of_small_circuits",
    ),
    "hundreds of models with altered weights or witnesses": (
        "tests/decode/test_group_kernels.py::test_one_altered_weight",
        "tests/decode/test_token_index.py::test_one_altered_weight",
        "tests/models/test_construct_llama.py::test_no_wrong_checkpoint_is_certified",
        "tests/models/test_llama_without_a_chain.py::test_no_wrong_checkpoint_is_certified",
        "tests/models/test_llama_without_a_chain.py::test_no_wrong_model_of_prompts_of_several_lengths_is_certified",
        "tests/proofs/test_constructions.py::test_an_altered_witness_never_helps",
        "tests/proofs/test_constructions.py::test_codes_that_are_not_all_compared_certify_nothing_wrong",
        "tests/proofs/test_constructions.py::test_no_altered_paper_s_transformer_without_a_chain_is_wrongly_certified",
        "tests/proofs/test_constructions.py::test_no_altered_weights_are_wrongly_certified",
        "tests/proofs/test_constructions.py::test_weights_of_an_altered_construction_are_refused",
        "tests/proofs/test_distances.py::test_no_wrong_checkpoint_is_certified",
        "tests/proofs/test_llama.py::test_no_wrong_checkpoint_is_certified",
        "tests/proofs/test_packed.py::test_an_altered_construction_is_refused",
        "tests/proofs/test_packed.py::test_no_altered_weights_are_wrongly_certified",
        "tests/targets/test_llama_tied.py::test_no_wrong_checkpoint_is_certified",
    ),
    "circuits and files so large that the loops which read and map gates are compiled": (
        "tests/circuits/formats/aiger/test_aiger.py::test_a_large_file_is_read_in_linear_time",
        "tests/circuits/formats/test_memory.py::test_a_large_file",
        "tests/circuits/function/test_arithmetic.py::test_whole_adders_map_better",
        "tests/circuits/mapping/test_mapping.py::test_a_long_chain",
    ),
    "commands in processes and terminals of their own": (
        "tests/cli/test_batch.py::test_a_disk_that_fills_up",
        "tests/cli/test_batch.py::test_from_pipe_to_pipe",
        "tests/cli/test_batch.py::test_memory_does_not_grow_with_the_rows",
        "tests/cli/test_closed_output.py",
        "tests/cli/test_control.py",
        "tests/cli/test_clock.py::test_interrupted",
        "tests/cli/test_explore.py::test_serving_says_where_and_ends_with_ctrl_c",
        "tests/cli/test_main.py::test_completion_in_bash",
        "tests/cli/test_main.py::test_errors_are_coloured_on_a_terminal_only",
        "tests/cli/test_user_task.py::test_it_is_found_by_a_process_that_has_not_seen_it",
        "tests/cli/test_user_task.py::test_mistakes_are_refused_before_torch_is_imported",
        "tests/test_testing.py",
    ),
    "distributions, and the page's bundle": (
        "tests/explorer/test_build.py::test_the_committed_files_are_what_the_sources_build_to",
        "tests/test_distribution.py",
    ),
}
"""Folders, files and test functions, by what makes them expensive."""

_LISTED = frozenset(path for group in PATHS.values() for path in group)

FIXTURES = ("browser",)
"""Pages in a browser: whatever asks for one of these fixtures."""


def is_whole(path: str) -> bool:
    """Whether all tests of a file or folder are integration tests; then it need not even be imported without them.

    >>> [is_whole(path) for path in ("tests/sweeps", "tests/sweeps/test_local.py", "tests/cli/test_compile.py")]
    [True, True, False]
    """
    parts = path.split("/")
    return any("/".join(parts[:count]) in _LISTED for count in range(1, len(parts) + 1))


def is_integration(name: str, fixtures: Sequence[str] = ()) -> bool:
    """Whether a test of this name, as pytest writes it, is one.

    >>> [is_integration(name) for name in ("tests/sweeps/test_local.py::test_a[2]", "tests/sweeps2/test.py::test")]
    [True, False]
    >>> is_integration("tests/explorer/test_tour.py::test_escape", ["browser", "tmp_path"])
    True
    """
    function = name.partition("[")[0]
    return any(f in fixtures for f in FIXTURES) or is_whole(function) or is_whole(function.partition("::")[0])


def mark(items: Sequence[pytest.Item]) -> None:
    """Marks those among some tests that are."""
    for item in items:
        if is_integration(item.nodeid, getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)


LEFT_OUT = (
    "Tests of browsers, simulators, trainings, altered weights, documents and other programs were left out; "
    'all tests: pytest -m "not slow"'
)
"""What the end of a run that left them out says."""
