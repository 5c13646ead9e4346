"""The environments of ``benchmarks/engines``: one for each adapter and server, with every version fixed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.engines.run import ENVIRONMENTS, HERE, WITHOUT, make_environment
from benchmarks.engines.serve import SERVERS, fill, parse, version_of, wait_for

from serialformer.engines.adapters.registry import ADAPTERS

NAMES = {*ENVIRONMENTS.values(), *(server.environment for server in SERVERS.values())}


def test_every_adapter_has_an_environment() -> None:
    assert set(ENVIRONMENTS) == set(ADAPTERS)
    files = {path.stem for path in (HERE / "environments").iterdir()}
    assert files == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_versions_are_fixed(name: str) -> None:
    lines = (HERE / "environments" / f"{name}.txt").read_text().splitlines()
    wanted = [line for line in lines if not line.startswith("#")]
    assert wanted and all(line.count("==") == 1 for line in wanted)
    assert lines[0].startswith("# ") and not lines[0].startswith(WITHOUT)


@pytest.mark.parametrize("name", SERVERS)
def test_commands_of_servers(name: str) -> None:
    server = SERVERS[name]
    places: dict[str, object] = {"bin": "b", "servers": "s", "program": "b/p", "model": "m", "gguf": "g", "port": 1}
    words = fill(server.command, places)
    assert words[0].startswith("b/") and "1" in words and {"m", "g"} & set(words)
    assert all("=" in word for word in fill(server.variables, places))


def test_options_of_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["llama-server", "--program", "bin/llama-server", "--model", "m", "--", "--set", "stream=True", "--"]
    arguments, options = parse(words)
    assert (arguments.program, options) == (Path("bin/llama-server"), ["--set", "stream=True", "--"])
    assert parse(["vllm", "--model", "m"])[1] == []
    for wrong in (["llama-server", "--model", "m"], ["vllm", "--model", "m", "--program", "p"]):
        with pytest.raises(SystemExit):
            parse(wrong)
        assert "--program is needed for llama-server, and for no other server" in capsys.readouterr().err


def test_what_a_program_says_of_its_version(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho 'version: 7 (abc)\nbuilt with care' >&2\n")
    program.chmod(0o755)
    assert version_of(program) == "7 (abc)"


def test_a_server_that_ends_at_once() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process,
        pytest.raises(SystemExit, match="it has ended with status 3"),
    ):
        process.wait()
        wait_for("http://127.0.0.1:9", process)


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    """One that was made of the same list is used as it is."""
    folder = tmp_path / "llamacpp"
    folder.mkdir()
    (folder / "made-of.txt").write_text((HERE / "environments" / "llamacpp.txt").read_text())
    assert make_environment("llamacpp", tmp_path) == folder / "bin" / "python"
    assert not (folder / "bin").exists()
