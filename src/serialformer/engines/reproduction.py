"""A reproduction of a failure: a short script and one small file, which need only the engine."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from serialformer.engines.adapters.adapter import Refusal
from serialformer.engines.blame import Blame
from serialformer.engines.run import describe_options
from serialformer.engines.session import Session
from serialformer.errors import SerialformerError
from serialformer.files import new_file, write_file

MODEL_FILES = (
    *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json"),
    "tokenizer_config.json",
)

CALLS_FILE = "calls.json"

SCRIPT = '''"""{title}"""

import json, tempfile, zipfile
from pathlib import Path
{engine}
folder = tempfile.mkdtemp()
zipfile.ZipFile(Path(__file__).with_suffix(".zip")).extractall(folder)
generate = open_engine(folder)
for call in json.loads((Path(folder) / "{calls}").read_text()):
    made = generate(call["prompts"], call["num_tokens"])
    for row, (found, expected) in enumerate(zip(made, call["expected"])):
        right = list(found[: len(expected)]) == expected
        print("right" if right else f"WRONG row {{row}}: expected {{expected}}, found {{list(found)}}")
'''


def write_reproduction(session: Session, blame: Blame, folder: Path, number: int) -> Path | None:
    """Writes ``failure-N.py`` and ``failure-N.zip`` for a failure.

    Args:
        session: the engine.
        blame: the failure.
        folder: where to, made if it is not there.
        number: N.

    Returns:
        The script; None where there is none for this engine, or the failure needs a draft model.

    Raises:
        SerialformerError: it cannot be written.
    """
    calls = blame.calls if not blame.right_alone and blame.calls else blame.calls[-1:]
    if blame.right_alone is False and blame.wrong is not None:
        # The case alone fails as well.
        calls = tuple((case,) for case in blame.calls[-1] if case.id == blame.wrong.case)
    elif blame.right_alone and len(blame.calls[-1]) == 1:
        calls = blame.calls
    if any(case.draft is not None for call in calls for case in call):
        return None
    try:
        engine = session.script(blame.options)
    except Refusal:
        return None
    content = [
        {
            "prompts": [list(case.prompt) for case in call],
            "num_tokens": call[0].num_tokens,
            "expected": [list(case.expected) for case in call],
        }
        for call in calls
    ]
    versions = ", ".join(f"{name} {version}" for name, version in session.versions.items())
    options = describe_options(blame.options)
    title = f"Wrong tokens of {session.name} ({versions}; {options}): {blame.verdict}".replace('"', "'").replace(
        "\\", "/"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SerialformerError(f"cannot be made: {error.strerror}", where=str(folder)) from None
    path = folder / f"failure-{number}.py"
    with new_file(path.with_suffix(".zip")) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in MODEL_FILES:
            if (blame.model.directory / name).is_file():
                _add(archive, name, (blame.model.directory / name).read_bytes())
        _add(archive, CALLS_FILE, json.dumps(content).encode())
    write_file(path, SCRIPT.format(title=title, engine=engine, calls=CALLS_FILE).encode())
    return path


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Adds a file with a fixed time, so that the same failure gives the same bytes."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)
