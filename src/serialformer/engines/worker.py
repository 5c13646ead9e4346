"""The process in which an engine runs: reads requests, a JSON object a line, and writes a reply to each.

It is started by its path, with the interpreter of the engine's environment, where serialformer need not be installed:
``python worker.py NAME``. What the engine prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


def main() -> None:
    """Serves requests until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print must not disturb the replies
    if "serialformer" not in sys.modules:
        # Of the package only this room: its first module would need what the engine's environment may not have.
        package = ModuleType("serialformer")
        package.__path__ = [str(Path(__file__).resolve().parents[1])]
        sys.modules["serialformer"] = package
    registry = import_module("serialformer.engines.adapters.registry")
    module = import_module(f"serialformer.engines.adapters.{registry.ADAPTERS[sys.argv[1]]}")
    adapter = module.ADAPTER()
    refusal = import_module("serialformer.engines.adapters.adapter").Refusal
    for line in sys.stdin:
        try:
            reply = {"result": answer(adapter, json.loads(line))}
        except refusal as error:
            reply = {"refused": str(error)}
        except ImportError as error:
            reply = {"missing": str(error), "requires": adapter.requires}
        except Exception as error:  # whatever an engine raises is a finding
            detail = "".join(traceback.format_exception(error)[-6:])
            reply = {"error": f"{type(error).__name__}: {error}", "detail": detail}
        print(json.dumps(reply), file=replies, flush=True)
    adapter.close()


def answer(adapter: Any, request: Mapping[str, Any]) -> Any:
    """What the adapter says to one request."""
    match request["do"]:
        case "facts":
            return adapter.facts()
        case "open":
            return adapter.open(request["directory"], request["options"])
        case "generate":
            return adapter.generate(request["prompts"], request["num_tokens"], request["draft"])
        case "score":
            return adapter.score(request["tokens"])
        case "script":
            return adapter.script(request["options"])
    raise ValueError(f"no request {request['do']!r}")


if __name__ == "__main__":
    main()
