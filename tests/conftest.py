"""What all tests share: which run by default, how many examples they try, checked shapes, circuits from elsewhere."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# One worker a core, so one thread a worker; read when numpy and torch are imported, here and in what tests start.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Loops are compiled with less effort, and compute the same. Their cache is another, since numba's does not note the
# effort. Where a level is set, as in CI, or shapes are checked, they are compiled as users have them.
if not os.environ.keys() & {"NUMBA_OPT", "NUMBA_CACHE_DIR", "CHECK_SHAPES"}:
    os.environ |= {"NUMBA_OPT": "2", "NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"}
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "numba")

# Each process of xdist and each of the command lines that tests start would otherwise compile every source file anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Until everything is collected; see below. The first process of xdist, which collects nothing, does without.
gc.disable()

# Ctrl-C must reach what the tests start, also where a shell has started them in the background, which ignores it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "serialformer"
REAL_CIRCUITS = ROOT.parent / "shared" / "circuits"

NO_REAL_CIRCUITS = f"needs circuits from elsewhere, in {REAL_CIRCUITS}"

WHERE_REAL_CIRCUITS_ARE = """\
The same is tested on circuits that are generated here. Those from elsewhere have licences of their own and are public:
    epfl      the EPFL combinational benchmark suite, as AIGER
    iscas85   the ISCAS '85 circuits, as BENCH
    iscas89   the ISCAS '89 circuits, as BENCH
    bristol   the circuits of the Bristol Fashion and the old Bristol format
    aiger     the examples that come with the AIGER tools
Put each collection's files into a folder of that name."""


def _checked_modules() -> list[str]:
    """Every module but the kernels, which numba compiles, and the strategies, whose ``draw`` has no checkable type."""
    return [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.stem not in ("__init__", "__main__", "strategies") and not path.stem.endswith("kernels")
    ]


if os.environ.get("CHECK_SHAPES"):
    # A lane of its own: it takes twice the time. jaxtyping's annotations are used since it is imported here first.
    from jaxtyping import install_import_hook

    install_import_hook(_checked_modules(), "beartype.beartype")

# With CHECK_SHAPES=few two cases of each test are run and few examples are tried, since arrays have the same shapes in
# all of them, and integration tests are left out as they are by default.
FEW_CASES = os.environ.get("CHECK_SHAPES") == "few"

# `pytest --hypothesis-profile nightly` tries many more examples; see `tests.effort`.
settings.register_profile("few", max_examples=5, deadline=None)
settings.register_profile("default", max_examples=20, deadline=None)
settings.register_profile("nightly", max_examples=1000, deadline=None)
settings.load_profile("few" if FEW_CASES else "default")


def pytest_configure(config: pytest.Config) -> None:
    from tests.integration import ALL_BUT_SLOW, BY_DEFAULT

    # Whoever names a file wants all of it. The processes of xdist are given the same arguments, and do the same.
    is_named = config.args_source is pytest.Config.ArgsSource.ARGS
    if is_named and not FEW_CASES and config.option.markexpr == BY_DEFAULT:
        config.option.markexpr = ALL_BUT_SLOW
    # The run-time checks look at random items of lists, also inside hypothesis strategies, where that changes nothing.
    config.addinivalue_line(
        "filterwarnings", "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files all of whose tests would be left out are not imported."""
    from tests.integration import BY_DEFAULT, is_whole

    is_left_out = config.option.markexpr == BY_DEFAULT and collection_path.is_relative_to(ROOT)
    return True if is_left_out and is_whole(collection_path.relative_to(ROOT).as_posix()) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Marks the tests of other programs before pytest takes those that it was asked for; perhaps few cases of these."""
    from tests.effort import first_and_last
    from tests.integration import mark

    mark(items)
    yield
    if FEW_CASES:
        kept = first_and_last([item.nodeid for item in items])
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
        items[:] = [item for item in items if item.nodeid in kept]


def pytest_collection_finish() -> None:
    """What has been imported and collected stays until the end, so the search for garbage need not go through it.

    Nor need it be made for every 700 objects, of which numba makes millions.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file at a time, and those together that need the same compilation."""
    from tests.scheduling import make_scheduler

    return make_scheduler(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which tests were left out, how many had no circuits, and where those are."""
    from tests.integration import BY_DEFAULT, LEFT_OUT

    if terminalreporter.config.option.markexpr == BY_DEFAULT:
        terminalreporter.line(LEFT_OUT)
    skipped = [report for report in terminalreporter.getreports("skipped") if NO_REAL_CIRCUITS in str(report.longrepr)]
    if skipped:
        terminalreporter.section("circuits from elsewhere")
        terminalreporter.line(f"{len(skipped)} tests were skipped: no folder {REAL_CIRCUITS}")
        terminalreporter.line(WHERE_REAL_CIRCUITS_ARE)


@pytest.fixture(autouse=True)
def _little_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which engine ``auto`` takes depends on the test alone, and not on the tests before it."""
    from serialformer.decode import auto

    monkeypatch.setattr(auto.dense_work, "done", 0)


@pytest.fixture(scope="session")
def real_circuits() -> Path:
    """The folder of real benchmark circuits; tests that need it skip where it is absent."""
    if not REAL_CIRCUITS.is_dir():
        # They are benchmark files under licences of their own, which this repository does not carry.
        pytest.skip(NO_REAL_CIRCUITS)
    return REAL_CIRCUITS
