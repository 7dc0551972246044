#!/usr/bin/env python3
"""Writes tests/fixtures/models: tiny random models as transformers saves them, and what
transformers computes with them. tests/transformers_test.cc compares ours.

    pip install torch transformers          # made with torch 2.15, transformers 5.23
    python tools/make_model_fixtures.py

  <model_type>/config.json, model.safetensors, ...   save_pretrained
  <model_type>/golden.safetensors
      tokens [T]          the sequence
      logits [T, V]       of it, float32
      grad.<name>         of the mean next-token loss, for every parameter
      greedy [T + n]      generate(do_sample=False) from the first tokens
  sampling.json           which tokens transformers' top-k, top-p and min-p keep
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers.generation import logits_process as warpers

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "models"
VOCAB, TOKENS, PROMPT, NEW = 64, 48, 20, 24

SIZES = dict(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=VOCAB,
    max_position_embeddings=128,
    bos_token_id=None,
    eos_token_id=None,
    pad_token_id=None,
)


def rope(theta):
    return {"rope_type": "default", "rope_theta": theta}


MODELS = {
    "llama": transformers.LlamaConfig(
        **SIZES, rms_norm_eps=1e-5, rope_parameters=rope(10000.0), tie_word_embeddings=False
    ),
    "qwen2": transformers.Qwen2Config(
        **SIZES, rms_norm_eps=1e-6, rope_parameters=rope(1e6), tie_word_embeddings=False
    ),
    "qwen3": transformers.Qwen3Config(
        **SIZES, head_dim=12, rms_norm_eps=1e-6, rope_parameters=rope(5e5),
        tie_word_embeddings=True,
    ),
}


def make_model(name, config, seed):
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", dtype=torch.float32
    ).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() == 1:  # norms about one, biases about zero
                p.copy_((0.0 if key.endswith("bias") else 1.0) + 0.3 * torch.randn_like(p))
            else:  # sharp attention, logits far from uniform
                p.copy_(torch.randn_like(p) * 1.5 / p.shape[1] ** 0.5)
    folder = ROOT / name
    model.save_pretrained(folder)

    tokens = torch.randint(0, VOCAB, (1, TOKENS))
    output = model(input_ids=tokens, labels=tokens)
    output.loss.backward()
    greedy = model.generate(
        tokens[:, :PROMPT], do_sample=False, min_new_tokens=NEW, max_new_tokens=NEW
    )
    golden = {"tokens": tokens[0], "logits": output.logits[0].detach(), "greedy": greedy[0]}
    for key, p in model.named_parameters():
        golden["grad." + key] = p.grad
    save_file({k: v.contiguous() for k, v in golden.items()}, folder / "golden.safetensors")
    print(f"{name}: loss {output.loss.item():.4f}")


def make_sampling():
    torch.manual_seed(10)
    cases = []
    for i in range(60):
        row = 2.0 * torch.randn(1, VOCAB)
        temperature = round(float(0.3 + 1.5 * torch.rand(())), 2)
        top_k = int(torch.randint(1, 40, ())) if i % 2 else 0
        top_p = round(float(0.3 + 0.65 * torch.rand(())), 3) if i // 2 % 2 else 1.0
        min_p = round(float(0.3 * torch.rand(())), 3) if i // 4 % 2 else 0.0
        out = warpers.TemperatureLogitsWarper(temperature)(None, row)
        # The order of GenerationMixin._get_logits_processor.
        if top_k:
            out = warpers.TopKLogitsWarper(top_k)(None, out)
        if top_p < 1.0:
            out = warpers.TopPLogitsWarper(top_p)(None, out)
        if min_p > 0.0:
            out = warpers.MinPLogitsWarper(min_p)(None, out)
        kept = torch.nonzero(torch.isfinite(out[0])).flatten().tolist()
        cases.append(
            dict(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
                 logits=[float(f"{x:.9g}") for x in row[0].tolist()], kept=kept)
        )
    text = "[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n"
    (ROOT / "sampling.json").write_text(text)


if __name__ == "__main__":
    ROOT.mkdir(parents=True, exist_ok=True)
    for seed, (name, config) in enumerate(MODELS.items()):
        make_model(name, config, seed)
    make_sampling()
