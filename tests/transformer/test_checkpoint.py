"""The directory: exact bytes of the small files, and other programs that load and run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serialformer
from serialformer import Model, SerialformerError
from serialformer.transformer.checkpoint import hugging_face_name, load_transformer
from serialformer.transformer.forward import compute_logits
from tests.cases import every_input, small_circuits

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoint"
CASE = small_circuits()["gates of one, two and three inputs"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return serialformer.compile(CASE).save(tmp_path_factory.mktemp("checkpoint") / "model")


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "serialformer.json"]
)
def test_small_files_are_golden(model: Model, name: str) -> None:
    assert model.directory is not None
    assert (model.directory / name).read_text() == (GOLDEN / name).read_text()


def test_files_are_readable_by_others(model: Model) -> None:
    assert model.directory is not None
    modes = {path.name: path.stat().st_mode & 0o777 for path in model.directory.iterdir()}
    assert len(set(modes.values())) == 1, modes
    assert len(modes) == 9


def test_what_is_saved_is_loaded(model: Model) -> None:
    assert model.directory is not None
    again = serialformer.load(model.directory)
    assert again.provenance == model.provenance
    assert again.certificate == model.certificate
    assert again.words.to_json() == model.words.to_json()
    assert again.circuit == model.circuit
    for name in ("wire", "gate", "token_of_gate"):
        assert np.array_equal(getattr(again.schedule, name), getattr(model.schedule, name))
    assert again.transformer.architecture == model.transformer.architecture
    weights = dict(again.transformer.named_weights())
    for name, weight in model.transformer.named_weights():
        assert np.array_equal(weights[name], weight), name


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_formats_are_loaded_as_they_were_saved(tmp_path: Path, dtype: str) -> None:
    model = serialformer.compile(CASE, dtype=dtype).save(tmp_path / "model")
    weights = dict(load_transformer(tmp_path / "model").named_weights())
    for name, weight in model.transformer.named_weights():
        assert weights[name].dtype == weight.dtype
        assert np.array_equal(weights[name], weight), name


def text_of(bits: np.ndarray) -> str:
    return "".join(str(bit) for bit in bits)


def test_transformers_needs_no_argument_and_no_code_of_ours(model: Model) -> None:
    transformers = pytest.importorskip("transformers")
    hf_model = transformers.AutoModelForCausalLM.from_pretrained(model.directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.directory)
    for bits in every_input(3):
        tokens = hf_model.generate(**tokenizer(text_of(bits), return_tensors="pt"))
        transcript = model.run({"a": int(bits @ [1, 2, 4])})
        assert tokenizer.decode(tokens[0], skip_special_tokens=True) == "\n" + transcript.text
        # Asked for more than the answer, it ends by itself.
        more = hf_model.generate(**tokenizer(text_of(bits) + "=", return_tensors="pt"), max_new_tokens=100)
        assert tokenizer.decode(more[0], skip_special_tokens=True) == f"\n{transcript.text}="
        # The margin is large enough for sampling.
        sampled = hf_model.generate(**tokenizer(text_of(bits), return_tensors="pt"), do_sample=True)
        assert tokenizer.decode(sampled[0]) == "\n" + transcript.text


def test_pipeline_thinks_and_answers(model: Model) -> None:
    transformers = pytest.importorskip("transformers")
    pipeline = transformers.pipeline("text-generation", str(model.directory))
    # The pipeline puts the text of the new tokens right after what was typed.
    chain = model.run(a=0b011).text.removeprefix("110=")
    assert pipeline("110") == [{"generated_text": f"110\n{chain}"}]
    assert pipeline("1 1 0 =") == [{"generated_text": f"1 1 0 =\n{chain}"}]
    made = pipeline(["100", "011"], batch_size=2)
    assert [row[0]["generated_text"] for row in made] == [
        "100\n" + model.run(a=0b001).text[4:],
        "011\n" + model.run(a=0b110).text[4:],
    ]


def test_tokenizer_drops_blanks_and_marks_what_is_no_bit(model: Model) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.directory)
    assert tokenizer("01 1_0\n")["input_ids"] == [0, 1, 1, 0, 2]
    assert tokenizer("011=")["input_ids"] == [0, 1, 1, 2]
    assert tokenizer("0x1")["input_ids"] == [0, 3, 1, 2]
    assert tokenizer("")["input_ids"] == [2]
    marks = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
    assert marks == ("<s>", "</s>", "<pad>", "<unk>")
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [4, 5, 6]


def test_an_unknown_bit_ends_the_chain_where_it_is_read(model: Model) -> None:
    # Bit 2 is read by the majority gate, which the schedule puts first.
    chain = model.engine().generate(np.array([[0, 1, 3, 2]]), 10)
    assert chain.tolist() == [[2]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_logits_are_those_of_transformers(tmp_path: Path, dtype: str) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = serialformer.compile(small_circuits()["random, 3 inputs a gate"], dtype=dtype).save(tmp_path / "model")
    tokens = np.random.default_rng(1).integers(0, 4, (3, model.words.num_tokens))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model.directory, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(tokens)).logits.numpy()
    # The tokens of beginning, end and padding have the row of <unk>.
    assert expected.shape[-1] == 7 and np.allclose(expected[..., 4:], expected[..., 3:4], rtol=1e-9, atol=1e-7)
    expected = expected[..., :4]
    assert np.allclose(compute_logits(model.transformer, tokens), expected, rtol=1e-9, atol=1e-7)
    assert np.allclose(compute_logits(model.transformer, tokens, dtype=np.float32), expected, rtol=1e-3, atol=1e-3)


def test_any_gpt2_is_loaded_not_only_compiled_ones(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=4, n_positions=40, n_embd=24, n_layer=3, n_head=4, eos_token_id=2, bos_token_id=2, n_inner=50
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    compiled = serialformer.compile(CASE).save(tmp_path / "model")
    assert compiled.directory is not None
    (tmp_path / "tokenizer.json").write_text((GOLDEN.parent / "one_mark/circuit/tokenizer.json").read_text())
    ours = load_transformer(tmp_path)
    tokens = np.random.default_rng(0).integers(0, 4, (2, 40))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(tokens)).logits.numpy()
    assert np.allclose(compute_logits(ours, tokens), expected, atol=1e-5)


# In a process of its own: after hundreds of other tests in one process, CTranslate2 now and then made a wrong token,
# which it never did in 480 runs of a fresh one.
CTRANSLATE2 = """
import sys
import ctranslate2
from ctranslate2.converters import TransformersConverter
directory, converted, num_tokens, *prompts = sys.argv[1:]
TransformersConverter(directory).convert(converted)
generator = ctranslate2.Generator(converted)
for prompt in prompts:
    # It would take the prompt's own "=" for the end, so the end is given by the length.
    made = generator.generate_batch(
        [list(prompt)], max_length=int(num_tokens), sampling_topk=1, include_prompt_in_result=False, end_token="<unk>"
    )
    print(prompt + "".join(made[0].sequences[0]))
"""


def test_ctranslate2_makes_the_same_chain(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed")
    pytest.importorskip("transformers")
    prompts = [text_of(bits) + "=" for bits in every_input(3)]
    arguments = [str(model.directory), str(tmp_path / "converted"), str(model.num_new_tokens), *prompts]
    run = subprocess.run([sys.executable, "-c", CTRANSLATE2, *arguments], capture_output=True, text=True, check=True)
    expected = [model.run({"a": int(bits @ [1, 2, 4])}).text for bits in every_input(3)]
    assert run.stdout.split() == expected


def test_compiling_and_running_need_neither_torch_nor_transformers(tmp_path: Path) -> None:
    program = f"""
import sys
for name in ("torch", "transformers", "tokenizers", "hypothesis", "networkx", "pyosys"):
    sys.modules[name] = None
import serialformer
build = serialformer.CircuitBuilder()
build.output("y", build.xor(*build.inputs("a", 2)))
serialformer.compile(build.circuit(), dtype="bfloat16").save({str(tmp_path / "model")!r})
print(serialformer.load({str(tmp_path / "model")!r}).run(a=2)["y"])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "1\n"


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    for name, change in changes.items():
        old = content.get(name)
        content[name] = {**old, **change} if isinstance(old, dict) and isinstance(change, dict) and change else change
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("config.json", None, "config.json: no such file"),
        ("config.json", b"{", "config.json: is not JSON"),
        ("config.json", b"[]", "config.json: expected a JSON object"),
        ("config.json", {"model_type": "mamba"}, "expected model_type 'gpt2', 'llama', 'mistral', 'qwen2' or"),
        ("config.json", {"n_embd": 54}, r"is \[.*\], not \["),
        ("config.json", {"n_embd": "wide"}, "a field is missing or wrong"),
        ("config.json", {"eos_token_id": []}, "a field is missing or wrong"),
        ("config.json", {"n_head": 7}, "not a multiple of 7 heads"),
        ("config.json", {"n_layer": 2}, "no weight 'transformer.h.1"),
        ("config.json", {"vocab_size": 9}, "the tokenizer's vocabulary"),
        ("config.json", {"activation_function": "silu"}, "no activation 'silu'"),
        ("config.json", {"scale_attn_by_inverse_layer_idx": True}, "is not supported"),
        ("config.json", {"dtype": "float16"}, "is float32.*, not float16"),
        ("tokenizer.json", {"model": {}}, "a field is missing or wrong"),
        ("model.safetensors", None, "no weights"),
        ("model.safetensors", b"\xff" * 100, "is not a safetensors file"),
        ("serialformer.json", {"format": 99}, "expected format 2, or the older format 1, found 99"),
        ("serialformer.json", {"protocol": {"inputs": 3}}, "a field is missing or wrong"),
        ("serialformer.json", {"protocol": {"num_chain_tokens": 1000}}, "tokens do not fit"),
        (
            "serialformer.json",
            {"kind": "novel"},
            "a field is missing or wrong: .*no kind 'novel'; known are circuit, task",
        ),
        (
            "serialformer.json",
            {"provenance": {"kind": "dreamt"}},
            "no provenance 'dreamt'; known are unknown, compiled",
        ),
        ("serialformer.json", {"provenance": {"depth": None, "deep": 3}}, "a field is missing or wrong"),
        ("serialformer.json", {"names": {"directions": ["a"]}}, r"names for 1 directions, not \d+$"),
        (
            "serialformer.json",
            {"names": {"heads": [["a"], []]}},
            "names for 2 layers of heads, not 1; ",
        ),
        (
            "serialformer.json",
            {"names": {"units": [[{"name": "a", "count": 0}]]}},
            "a field of the names is missing",
        ),
        ("certificate.json", {"prompts": "most"}, "expected the prompts 'all ...', found 'most'"),
        ("certificate.json", {"holds": False}, "holds is False and the failure is None"),
        ("circuit.tensors", None, "circuit.tensors: no such file"),
        ("circuit.tensors", b"", "is not the circuit of this model"),
    ],
)
def test_damaged_directories(tmp_path: Path, file: str, damage: Any, message: str) -> None:
    directory = tmp_path / "model"
    serialformer.compile(CASE).save(directory)
    if damage is None:
        (directory / file).unlink()
    elif isinstance(damage, bytes):
        (directory / file).write_bytes(damage)
    else:
        edit(directory / file, **damage)
    with pytest.raises(SerialformerError, match=message):
        serialformer.load(directory)


def test_a_truncated_weights_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model" / "model.safetensors"
    serialformer.compile(CASE).save(tmp_path / "model")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SerialformerError, match="is not a safetensors file"):
        serialformer.load(tmp_path / "model")


def test_names_are_hugging_faces(model: Model) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model.directory)
    expected = {name for name in theirs.state_dict() if name != "lm_head.weight"}
    assert {hugging_face_name(name) for name, _ in model.transformer.named_weights()} == expected
