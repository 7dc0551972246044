#!/usr/bin/env python3
"""Writes tests/fixtures/models: tiny random models as transformers saves them, and what
transformers computes with them. tests/transformers_test.cc compares ours.

    pip install torch transformers          # made with torch 2.15, transformers 5.23 and 5.24
    python tools/make_model_fixtures.py [NAME...]

  <name>/config.json, model.safetensors, ...   save_pretrained
  <name>/golden.safetensors
      tokens [T]          the sequence
      logits [T, V]       of it, float32
      grad.<name>         of the mean next-token loss, for every parameter
      greedy [T + n]      generate(do_sample=False) from the first tokens
  sampling.json           which tokens transformers' top-k, top-p and min-p keep
"""

import json
import pathlib
import sys

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
# Widths that no vector width divides; one dense layer and one with experts.
SPARSE = {**SIZES, "hidden_size": 24, "intermediate_size": 40}
DEEPSEEK = dict(
    **{**SPARSE, "num_key_value_heads": 4},
    kv_lora_rank=10,
    qk_nope_head_dim=6,
    qk_rope_head_dim=4,
    v_head_dim=7,
    moe_intermediate_size=9,
    n_routed_experts=8,
    first_k_dense_replace=1,
    tie_word_embeddings=False,
)


def rope(theta, **scaling):
    return {"rope_type": "default", "rope_theta": theta, **scaling}


def yarn(theta, **more):
    return rope(theta, **{"rope_type": "yarn", "factor": 4.0,
                          "original_max_position_embeddings": 32, **more})


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
    # One KV head, tied, an odd count of heads of an odd width, several files.
    "llama3": transformers.LlamaConfig(
        **{**SIZES, "hidden_size": 30, "num_attention_heads": 3, "num_key_value_heads": 1},
        head_dim=14, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters=rope(5e5, rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=32),
    ),
    "qwen2_yarn": transformers.Qwen2Config(
        **{**SIZES, "num_key_value_heads": 1}, rms_norm_eps=1e-6, rope_parameters=yarn(1e4),
        tie_word_embeddings=True,
    ),
    "qwen3_moe": transformers.Qwen3MoeConfig(
        **SPARSE, head_dim=10, rms_norm_eps=1e-6, rope_parameters=rope(1e4), num_experts=6,
        num_experts_per_tok=2, moe_intermediate_size=11, norm_topk_prob=True,
        mlp_only_layers=[0], tie_word_embeddings=False,
    ),
    # As V2-Lite: queries not compressed, the best experts of all.
    "deepseek_v2": transformers.DeepseekV2Config(
        **DEEPSEEK, q_lora_rank=None, rms_norm_eps=1e-6, num_experts_per_tok=3,
        n_shared_experts=2, topk_method="greedy", routed_scaling_factor=1.0,
        rope_parameters=yarn(1e4, mscale=0.707, mscale_all_dim=0.707),
    ),
    # As V2: compressed queries, experts of the best groups, weights scaled.
    "deepseek_v2_groups": transformers.DeepseekV2Config(
        **DEEPSEEK, q_lora_rank=12, rms_norm_eps=1e-6, num_experts_per_tok=2,
        n_shared_experts=1, topk_method="group_limited_greedy", n_group=4, topk_group=2,
        routed_scaling_factor=4.0, rope_parameters=rope(1e4),
    ),
    "deepseek_v3": transformers.DeepseekV3Config(
        **DEEPSEEK, q_lora_rank=12, rms_norm_eps=1e-6, num_experts_per_tok=3,
        n_shared_experts=1, n_group=4, topk_group=2, norm_topk_prob=True,
        routed_scaling_factor=2.5, num_mtp_layers=0,
        rope_parameters=yarn(1e4, mscale=1.0, mscale_all_dim=1.3),
    ),
}
SHARDED = {"llama3": "20KB"}


def published_names(key, value):
    """Experts as they are published: transformers holds those of a layer in one tensor."""
    if key.endswith("experts.gate_up_proj"):
        for e, both in enumerate(value):
            gate, up = both.chunk(2)
            prefix = key.removesuffix("gate_up_proj")
            yield f"{prefix}{e}.gate_proj.weight", gate
            yield f"{prefix}{e}.up_proj.weight", up
    elif key.endswith("experts.down_proj"):
        for e, down in enumerate(value):
            yield f"{key.removesuffix('down_proj')}{e}.down_proj.weight", down
    else:
        yield key, value


def make_model(name, config, seed):
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager", experts_implementation="eager", dtype=torch.float32
    ).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() == 1:  # norms about one, biases about zero
                p.copy_((0.0 if key.endswith("bias") else 1.0) + 0.3 * torch.randn_like(p))
            else:  # sharp attention, logits far from uniform
                p.copy_(torch.randn_like(p) * 1.5 / p.shape[-1] ** 0.5)
        for key, b in model.named_buffers():
            if key.endswith("e_score_correction_bias"):
                b.copy_(0.2 * torch.randn_like(b))
    folder = ROOT / name
    model.save_pretrained(folder, max_shard_size=SHARDED.get(name, "1GB"))

    tokens = torch.randint(0, VOCAB, (1, TOKENS))
    output = model(input_ids=tokens, labels=tokens)
    output.loss.backward()
    greedy = model.generate(
        tokens[:, :PROMPT], do_sample=False, min_new_tokens=NEW, max_new_tokens=NEW
    )
    golden = {"tokens": tokens[0], "logits": output.logits[0].detach(), "greedy": greedy[0]}
    for key, p in model.named_parameters():
        for published, grad in published_names(key, p.grad):
            golden["grad." + published] = grad
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
    wanted = sys.argv[1:] or MODELS
    for seed, (name, config) in enumerate(MODELS.items()):
        if name in wanted:
            make_model(name, config, seed)
    if not sys.argv[1:]:
        make_sampling()
