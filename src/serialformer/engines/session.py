"""A session with an engine: one interface to an adapter's process, a program or a server."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serialformer.engines.adapters.adapter import Options, Refusal, Value
from serialformer.errors import EngineError

WORKER = Path(__file__).with_name("worker.py")

DETAIL_BYTES = 2000
"""How much of what an engine printed last goes into a report."""

SECONDS_TO_END = 5.0

WORKER_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
"""What a worker's environment has beside ours.

Threads of OpenMP sleep while they wait. By default they spin, which takes most of the time on busy processors.
"""


class Breakdown(Exception):
    """The engine has failed where it should have answered: an error, a signal, or no answer in time.

    Attributes:
        kind: ``error``, ``signal``, ``exit`` or ``timeout``.
        detail: what it printed last.
    """

    def __init__(self, kind: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Call:
    """Prompts that go to an engine together.

    Attributes:
        prompts: the token ids of each row.
        num_tokens: how many tokens to ask for.
        draft: the directory of a draft model; None for none.
    """

    prompts: tuple[tuple[int, ...], ...]
    num_tokens: int
    draft: Path | None = None


class Session(ABC):
    """An engine that can be asked.

    Attributes:
        name: of the engine, for reports.
        versions: of what runs it, as far as known.
        options: what can be configured and to which values, the default first.
        keeps_running: whether it stays as it is when a model is opened, as a server does.
    """

    name: str
    versions: Mapping[str, str]
    options: Mapping[str, tuple[Value, ...]]
    keeps_running: bool = False

    @abstractmethod
    def open(self, directory: Path, options: Options) -> dict[str, str]:
        """Opens a model in a configuration; returns what is in effect.

        Raises:
            Refusal: the engine does not take it.
            Breakdown: it fails.
        """

    @abstractmethod
    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: Path | None) -> list[list[int]]:
        """The tokens after each prompt of one call; see ``Adapter.generate``."""

    def num_at_once(self, options: Options) -> int:
        """How many requests it answers at the same time in a configuration; 1 if calls go one after the other."""
        return 1

    def generate_at_once(self, calls: Sequence[Call]) -> list[list[list[int]]]:
        """The answers to several calls, whose requests are made at the same time where ``num_at_once`` is not 1."""
        return [self.generate(call.prompts, call.num_tokens, call.draft) for call in calls]

    def score(self, tokens: Sequence[int]) -> list[int]:
        """The token that follows after each token of a sequence; see ``Adapter.score``."""
        raise Refusal("does not score sequences")

    def script(self, options: Options) -> str:
        """Lines for a reproduction; see ``Adapter.script``."""
        raise Refusal("has no reproduction")

    def close(self) -> None:  # noqa: B027  # a server that others started stays as it is
        """Ends what was started."""


class Child:
    """A process that answers lines with lines. It may crash, hang and print what it likes.

    Args:
        command: what to start.
        timeout: how many seconds an answer may take.
        environment: variables beside those of this process.
    """

    def __init__(self, command: Sequence[str], *, timeout: float, environment: Mapping[str, str] | None = None) -> None:
        self._timeout = timeout
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  # closed in ``close``
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._printed,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            self._printed.close()
            raise EngineError(f"cannot be started: {error.strerror}", where=command[0], hint="check the path") from None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._lines.put(line)
        finally:
            self._lines.put(None)

    def send(self, text: str) -> None:
        """Writes a line.

        Raises:
            Breakdown: the process has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._ended() from None

    def receive(self) -> str:
        """Reads a line.

        Raises:
            Breakdown: the process has ended, or takes too long, which ends it.
        """
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            detail = self._last_words()
            self.stop()
            raise Breakdown("timeout", f"no answer in {self._timeout:g} seconds", detail) from None
        if line is None:
            raise self._ended()
        return line

    def _ended(self) -> Breakdown:
        try:
            status = self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.stop()
            return Breakdown("exit", "closed its output and went on", self._last_words())
        if status < 0:
            return Breakdown("signal", f"ended by {signal.Signals(-status).name}", self._last_words())
        return Breakdown("exit", f"ended with status {status} instead of an answer", self._last_words())

    def _last_words(self) -> str:
        self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(0, self._printed.tell() - DETAIL_BYTES))
        return self._printed.read().decode("utf-8", "replace")

    def stop(self) -> None:
        """Ends the process and whatever it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Ends the process, kindly at first, and closes its files."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS_TO_END)
        self.stop()
        self._reader.join(SECONDS_TO_END)
        self._process.stdout.close()
        if not self._printed.closed:
            self._printed.close()


class AdapterSession(Session):
    """An engine that runs through an adapter, in a process that is started again whenever it has ended.

    Args:
        name: of the engine, one of ``engines.adapters.registry.ADAPTERS``.
        python: the interpreter of the engine's environment.
        timeout: how many seconds an answer may take.

    Raises:
        EngineError: there is no such adapter, or the engine is not installed there.
    """

    def __init__(self, name: str, *, python: str | None = None, timeout: float = 300.0) -> None:
        from serialformer.engines.adapters.registry import ADAPTERS

        if name not in ADAPTERS:
            raise EngineError(f"no adapter for {name!r}", hint=f"one of {', '.join(ADAPTERS)}, or --command, or --url")
        self.name = name
        self._python, self._timeout = python or sys.executable, timeout
        self._child: Child | None = None
        try:
            facts = self._ask({"do": "facts"})
        except Breakdown as error:
            self.close()
            raise EngineError(f"engine {name} cannot be started: {error}\n{error.detail}".rstrip()) from None
        except BaseException:
            self.close()
            raise
        self.versions = facts["versions"]
        self.options = {option: tuple(values) for option, values in facts["options"].items()}

    def open(self, directory: Path, options: Options) -> dict[str, str]:
        effects: dict[str, str] = self._ask({"do": "open", "directory": str(directory), "options": dict(options)})
        return effects

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int, draft: Path | None) -> list[list[int]]:
        made: list[list[int]] = self._ask(
            {
                "do": "generate",
                "prompts": [list(prompt) for prompt in prompts],
                "num_tokens": num_tokens,
                "draft": None if draft is None else str(draft),
            }
        )
        return made

    def score(self, tokens: Sequence[int]) -> list[int]:
        said: list[int] = self._ask({"do": "score", "tokens": list(tokens)})
        return said

    def script(self, options: Options) -> str:
        return str(self._ask({"do": "script", "options": dict(options)}))

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _ask(self, request: Mapping[str, Any]) -> Any:
        if self._child is None:
            command = [self._python, str(WORKER), self.name]
            self._child = Child(command, timeout=self._timeout, environment=WORKER_ENVIRONMENT)
        try:
            self._child.send(json.dumps(request))
            reply = json.loads(self._child.receive())
        except Breakdown:
            self.close()
            raise
        if "missing" in reply:
            self.close()
            raise EngineError(
                f"engine {self.name} is not installed in {self._python}: {reply['missing']}",
                hint=f"pip install {reply['requires']}; --python PATH names the interpreter of its environment",
            )
        if "refused" in reply:
            raise Refusal(reply["refused"])
        if "error" in reply:
            raise Breakdown("error", reply["error"], reply["detail"])
        return reply["result"]
