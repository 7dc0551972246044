#!/usr/bin/env python3
"""Writes tests/fixtures/rl_losses.json: rollouts, and what each policy loss gives for them by
torch's autograd in float64. src/rl/loss_test.cc compares ours.

    pip install torch          # made with torch 2.15
    python tools/make_rl_fixtures.py

Formulas are written from TRL's definitions (GRPOTrainer's `loss_type` and
`importance_sampling_level`, RLOOTrainer), over padded tensors and a mask as there, so that nothing
is shared with the C++ that walks tokens by offsets:

  our name   TRL
  grpo       loss_type "grpo"
  dr_grpo    loss_type "dr_grpo"
  dapo       loss_type "dapo" (over one device and one batch: the same as "bnpo")
  gspo       loss_type "grpo", importance_sampling_level "sequence"
  cispo      loss_type "cispo", whose epsilon_high is our 1 + epsilon_high (as in MiniMax-M1's paper)
  rloo       RLOOTrainer; with the KL term in the loss, token by token (TRL: in the reward)

A case's `skipped` completions (groups without variance, advantage 0) are part of TRL's batch but
not of ours: they count in rollout_size and rollout_tokens alone.

clip_ratio is the share of unmasked tokens whose ratio, or whose sequence's ratio, is clipped. kl is
the mean of the k3 estimate over unmasked tokens.
"""

import json
import pathlib

import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "rl_losses.json"
LOSSES = ["grpo", "dr_grpo", "dapo", "gspo", "cispo", "rloo"]

torch.set_default_dtype(torch.float64)


def padded(rows, length, fill):
    return torch.tensor([row + [fill] * (length - len(row)) for row in rows])


def compute(name, case):
    lengths = [len(row) for row in case["logprob"]] + case["skipped"]
    batch, longest = len(lengths), max(lengths)
    skipped = [[-1.0] * n for n in case["skipped"]]
    logprob = padded(case["logprob"] + skipped, longest, -7.0).requires_grad_()
    old = padded(case["old_logprob"] + skipped, longest, -3.0)
    mask = padded([[1.0] * n for n in lengths], longest, 0.0)
    mask = mask * torch.tensor(case["mask"] + [1.0] * len(skipped)).unsqueeze(1)
    advantage = torch.tensor(case["advantage"] + [0.0] * len(skipped)).unsqueeze(1)
    low, high, beta = case["epsilon"], case["epsilon_high"] or case["epsilon"], case["beta"]

    log_weight = logprob - old
    if name == "gspo":
        log_weight = ((log_weight * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).unsqueeze(-1)
    if name == "rloo":
        log_weight = ((logprob * mask).sum(-1) - (old * mask).sum(-1)).unsqueeze(-1)
    ratio = torch.exp(log_weight)
    if name == "cispo":
        term = -torch.clamp(ratio, max=1 + high).detach() * advantage * logprob
        clipped = (ratio > 1 + high) & (advantage > 0)
    else:
        bounded = torch.clamp(ratio, 1 - low, 1 + high)
        term = -torch.min(ratio * advantage, bounded * advantage)
        clipped = ((ratio < 1 - low) & (advantage < 0)) | ((ratio > 1 + high) & (advantage > 0))

    kl = torch.zeros_like(logprob)
    if beta:
        gap = padded(case["ref_logprob"] + skipped, longest, -5.0) - logprob
        kl = torch.exp(gap) - gap - 1

    if name == "rloo":
        sequence_mask = (mask.sum(-1) > 0).double()
        loss = (term.squeeze(-1) * sequence_mask).mean() + beta * (kl * mask).sum(-1).mean()
    else:
        per_token = term + beta * kl
        if name in ("grpo", "gspo"):
            loss = ((per_token * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
        elif name == "dr_grpo":
            loss = (per_token * mask).sum() / (batch * case["length_normalizer"])
        else:
            loss = (per_token * mask).sum() / mask.sum().clamp(min=1.0)
    loss.backward()

    ours = range(len(case["logprob"]))
    tokens = mask[: len(ours)].sum().clamp(min=1.0)
    clipped = clipped.double().expand_as(mask)
    return {
        "loss": loss.item(),
        "dlogprob": [logprob.grad[i, : lengths[i]].tolist() for i in ours],
        "kl": ((kl * mask)[: len(ours)].sum() / tokens).item(),
        "clip_ratio": ((clipped * mask)[: len(ours)].sum() / tokens).item(),
    }


def float32(values):
    return values.float().double().tolist()


def make_case(name, lengths, spread, drift, **options):
    """Log-probabilities whose per-token gap to the old ones has deviation `spread`, around a value
    of its own for each completion, of deviation `drift`."""
    n = len(lengths)
    case = {
        "name": name,
        "epsilon": 0.2,
        "epsilon_high": 0.0,
        "beta": 0.0,
        "length_normalizer": 16,
        "skipped": [],
        "advantage": (torch.randn(n) * 0.8).tolist(),
        "mask": [1.0] * n,
    } | options
    old = [-0.05 - 2.5 * torch.rand(k) for k in lengths]
    gaps = [drift * torch.randn(1) + spread * torch.randn(k) for k in lengths]
    case["old_logprob"] = [float32(row) for row in old]
    case["logprob"] = [float32(row + gap) for row, gap in zip(old, gaps)]
    case["ref_logprob"] = []
    if case["beta"]:
        case["ref_logprob"] = [float32(row + 0.4 * torch.randn(len(row))) for row in old]
    counted = [k for k, m in zip(lengths, case["mask"]) if m]
    case["rollout_size"] = n + len(case["skipped"])
    case["rollout_tokens"] = sum(counted) + sum(case["skipped"])
    case["expected"] = {loss: compute(loss, case) for loss in LOSSES}
    return case


def main():
    torch.manual_seed(20250122)
    lengths = [5, 1, 9, 3, 12, 7]
    signs = [0.7, -1.2, 0.0, 1.5, -0.3, 0.25]
    shut_out = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    cases = [
        make_case("first_update", lengths, 0.0, 0.0, advantage=signs),
        make_case("inside_the_clip", lengths, 0.01, 0.01),
        make_case("some_clipped", lengths, 0.3, 0.1, advantage=signs),
        make_case("sequences_clipped", [4] * 12, 0.05, 0.5),
        make_case("clip_higher", [4] * 12, 0.2, 0.3, epsilon=0.15, epsilon_high=0.4),
        make_case("masks", lengths, 0.2, 0.2, mask=shut_out),
        make_case("skipped_groups", lengths, 0.2, 0.2, skipped=[6, 2, 11]),
        make_case("kl_first_update", lengths, 0.0, 0.0, beta=0.04, advantage=signs),
        make_case("kl_clipped_masked", lengths, 0.2, 0.2, beta=0.04, mask=shut_out),
        make_case("all_masked", [3, 4], 0.1, 0.1, mask=[0.0, 0.0]),
    ]
    # Each loss is seen clipped and not, and with a KL term.
    for loss in LOSSES:
        ratios = [case["expected"][loss]["clip_ratio"] for case in cases]
        assert min(ratios) == 0 and max(ratios) > 0.15, (loss, ratios)
        assert any(case["expected"][loss]["kl"] > 0.01 for case in cases)
    OUT.write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
    print(f"{OUT}: {len(cases)} cases, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
