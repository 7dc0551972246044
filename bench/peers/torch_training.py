#!/usr/bin/env python3
"""Times PyTorch's training step on a model of random weights, for compare.py. Prints JSON lines.

    r1 bench --shape countdown --config | torch_training.py --tokens 2048 --length 128 --dtype bf16

A step is what `r1 bench --train` times: forward with the loss of every next token, backward, clipping
to norm 1, fused AdamW. Weights are float32; bf16 means autocast. SDPA attention. Needs torch and
transformers.
"""
import argparse
import json
import statistics
import sys
import time

import torch
import transformers


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tokens", type=int, default=2048)
    p.add_argument("--length", type=int, default=512, help="tokens of a sequence")
    p.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
    p.add_argument("--threads", type=int, default=torch.get_num_threads())
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--compile", action="store_true")
    o = p.parse_args()

    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    fields = json.load(sys.stdin)
    config = transformers.AutoConfig.for_model(**fields)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    ids = torch.randint(0, config.vocab_size, (o.tokens // o.length, o.length))

    def loss_of():
        with torch.autocast("cpu", torch.bfloat16, enabled=o.dtype == "bf16"):
            return model(input_ids=ids, labels=ids, use_cache=False).loss

    if o.compile:
        loss_of = torch.compile(loss_of)

    def step():
        begin = time.perf_counter()
        loss_of().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - begin

    step()
    seconds = statistics.median(step() for _ in range(o.steps))
    print(json.dumps({"test": f"train {o.tokens}", "seconds": seconds, "tokens_per_second": o.tokens / seconds,
                      "torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
