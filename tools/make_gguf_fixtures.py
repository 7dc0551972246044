#!/usr/bin/env python3
"""Writes tests/fixtures/gguf: GGUF files as the gguf package (of llama.cpp) writes them.

    pip install gguf safetensors numpy tokenizers      # made with gguf 0.19
    python tools/make_gguf_fixtures.py

  types.gguf           a tensor [2, 256] of each type, and types.safetensors, its values in float32
                       as the package computes them; a value of every metadata type
  llama.gguf           tests/fixtures/models/llama, q and k permuted as llama.cpp's converter does
  tokenizer.json       a small byte-level tokenizer with Llama 3's pre-tokenizer
  tokenizer.gguf       the same, as llama.cpp's converter writes it
  tokenizer_cases.json texts and the ids that the tokenizers library gives for them
"""

import json
import pathlib

import gguf
import numpy as np
import tokenizers
from safetensors.numpy import load_file, save_file
from tokenizers import decoders, models, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures"
OUT = ROOT / "gguf"

Type = gguf.GGMLQuantizationType
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = "They're 12345 tokens, aren't they?\n\n  The number 99 isn't 100.\tÜber naïve café 数字 😀 the the"


def k_blocks(dtype, rows, rng):
    """Random blocks with small scales: the package reads these types and does not write them."""
    elements, size = gguf.GGML_QUANT_SIZES[dtype]
    blocks = rng.integers(0, 256, (rows * 256 // elements, size), dtype=np.uint8)
    scales = rng.uniform(0.001, 0.1, (len(blocks), 2)).astype(np.float16).view(np.uint8)
    if dtype == Type.Q4_K:
        blocks[:, :4] = scales
    else:  # Q6_K has one, last
        blocks[:, -2:] = scales[:, :2]
    return blocks.reshape(rows, -1)


def write(path, arch, keys, tensors):
    writer = gguf.GGUFWriter(path, arch)
    keys(writer)
    for name, data, dtype in tensors:
        writer.add_tensor(name, data, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_types():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, 256)).astype(np.float32)
    tensors, expected = [], {}
    for dtype in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_K, Type.Q6_K):
        if dtype in (Type.Q4_K, Type.Q6_K):
            data = k_blocks(dtype, 2, rng)
        else:
            data = gguf.quantize(values, dtype)
        tensors.append((dtype.name, data, dtype))
        expected[dtype.name] = gguf.dequantize(data, dtype).astype(np.float32).reshape(2, 256)

    def keys(writer):
        writer.add_uint8("t.u8", 200)
        writer.add_int8("t.i8", -100)
        writer.add_uint16("t.u16", 60000)
        writer.add_int16("t.i16", -30000)
        writer.add_uint32("t.u32", 4000000000)
        writer.add_int32("t.i32", -2000000000)
        writer.add_uint64("t.u64", 2**63 + 1)
        writer.add_int64("t.i64", -(2**62))
        writer.add_float32("t.f32", 0.1)
        writer.add_float64("t.f64", 0.1)
        writer.add_bool("t.bool", True)
        writer.add_string("t.string", "zwölf")
        writer.add_array("t.strings", ["a", "", "ü"])
        writer.add_array("t.integers", [1, -2, 3])
        writer.add_array("t.floats", [0.5, -1.5])

    write(OUT / "types.gguf", "types", keys, tensors)
    save_file(expected, OUT / "types.safetensors")


def make_tokenizer():
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    tokenizer.add_tokens([tokenizers.AddedToken("<think>", normalized=False)])
    bos = tokenizer.token_to_id("<|begin|>")
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B",
                special_tokens=[("<|begin|>", bos)],
            ),
        ]
    )
    tokenizer.save(str(OUT / "tokenizer.json"))
    texts = [TEXT, "", " ", "<think>\nwe'LL see 1234567<|end|>", "a  b   c\r\n", "THE the\u00a0x"]
    cases = [
        {"text": t, "ids": tokenizer.encode(t, add_special_tokens=False).ids,
         "with_special": tokenizer.encode(t).ids}
        for t in texts
    ]
    (OUT / "tokenizer_cases.json").write_text(json.dumps(cases, indent=1) + "\n")
    return tokenizer


def permute(weights, heads):
    """convert_hf_to_gguf.py, LlamaModel.permute."""
    return (
        weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


def make_tokenizer_gguf(tokenizer):
    def keys(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("llama-bpe")
        model = json.loads(tokenizer.to_str())["model"]
        tokens = {i: t for t, i in tokenizer.get_vocab().items()}
        control = ("<|begin|>", "<|end|>")
        kinds = {**{t: gguf.TokenType.CONTROL for t in control},
                 "<think>": gguf.TokenType.USER_DEFINED}
        order = [tokens[i] for i in range(len(tokens))]
        writer.add_token_list(order + ["[PAD303]"])
        types = [kinds.get(t, gguf.TokenType.NORMAL) for t in order]
        writer.add_token_types(types + [gguf.TokenType.UNUSED])
        writer.add_token_merges([" ".join(m) for m in model["merges"]])
        writer.add_bos_token_id(tokenizer.token_to_id("<|begin|>"))
        writer.add_eos_token_id(tokenizer.token_to_id("<|end|>"))
        writer.add_chat_template("{{ messages[0].content }}")

    write(OUT / "tokenizer.gguf", "llama", keys, [])


def make_llama():
    config = json.loads((ROOT / "models/llama/config.json").read_text())
    weights = load_file(ROOT / "models/llama/model.safetensors")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    tensors = []
    for name, data in weights.items():
        if name.endswith("q_proj.weight"):
            data = permute(data, config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            data = permute(data, config["num_key_value_heads"])
        tensors.append((names.get_name(name, try_suffixes=(".weight",)), data, None))

    def keys(writer):
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
        writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])

    write(OUT / "llama.gguf", "llama", keys, tensors)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    make_types()
    make_tokenizer_gguf(make_tokenizer())
    make_llama()
