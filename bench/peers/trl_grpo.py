#!/usr/bin/env python3
"""Times TRL's GRPO step on a model of random weights, for compare.py. Prints JSON lines.

    r1 bench --shape countdown --config | trl_grpo.py --prompts 8 --num-generations 32 --dtype f32

A step is what `r1 bench --grpo` times: completions sampled by transformers' generate, all of full
length, a reward that is right and wrong in turn, advantages, Dr. GRPO's loss, backward, clipping to
norm 1, fused AdamW. No reference model, no gradient checkpointing, SDPA attention. Weights are
float32; bf16 means autocast. Needs trl.
"""
import argparse
import json
import statistics
import sys
import tempfile
import time

import datasets
import tokenizers
import torch
import transformers
import trl


class TimedTrainer(trl.GRPOTrainer):
    def _generate_and_score_completions(self, inputs):
        begin = time.perf_counter()
        out = super()._generate_and_score_completions(inputs)
        self.sampling_seconds = time.perf_counter() - begin
        if not out["completion_mask"].all():
            sys.exit("a completion ended early: lengths are not those of r1")
        return out


class Clock(transformers.TrainerCallback):
    """(a step's seconds, those of its sampling), step by step."""

    def __init__(self):
        self.steps = []

    def on_step_begin(self, *args, **kwargs):
        self.begin = time.perf_counter()

    def on_step_end(self, *args, **kwargs):
        self.steps.append((time.perf_counter() - self.begin, self.trainer.sampling_seconds))


def word_tokenizer(vocab_size):
    """A token is a word that names its id. End of sequence is outside the model's vocabulary: never drawn."""
    model = tokenizers.models.WordLevel({str(i): i for i in range(vocab_size)}, unk_token="0")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="0", eos_token="end")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--prompts", type=int, default=8, help="of a step")
    p.add_argument("--num-generations", type=int, default=32)
    p.add_argument("--prompt-length", type=int, default=32)
    p.add_argument("--max-completion-length", type=int, default=128)
    p.add_argument("--batch", type=int, default=16, help="completions of one forward and backward pass")
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    p.add_argument("--threads", type=int, default=torch.get_num_threads())
    p.add_argument("--steps", type=int, default=3)
    p.add_argument("--compile", action="store_true")
    o = p.parse_args()

    torch.set_num_threads(o.threads)
    config = transformers.AutoConfig.for_model(**json.load(sys.stdin))
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float()
    warm_up = 3 if o.compile else 1  # the first two steps compile
    ids = torch.randint(2, config.vocab_size, (o.prompts * (o.steps + warm_up), o.prompt_length))
    prompts = datasets.Dataset.from_dict({"prompt": [" ".join(map(str, row)) for row in ids.tolist()]})
    completions = o.prompts * o.num_generations
    batch = min(o.batch, completions)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        args = trl.GRPOConfig(
            folder, use_cpu=True, max_steps=o.steps + warm_up, per_device_train_batch_size=batch,
            gradient_accumulation_steps=completions // batch, num_generations=o.num_generations,
            max_completion_length=o.max_completion_length, beta=0.0, loss_type="dr_grpo", scale_rewards="none",
            cache_implementation="static", bf16=o.dtype == "bf16", gradient_checkpointing=False,
            torch_compile=o.compile, optim="adamw_torch_fused",
            learning_rate=1e-5, adam_beta2=0.95, max_grad_norm=1.0, lr_scheduler_type="constant",
            logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
            dataloader_pin_memory=False)
        trainer = TimedTrainer(model, lambda completions, **_: [float(i % 2) for i in range(len(completions))],
                               args=args, train_dataset=prompts, processing_class=word_tokenizer(config.vocab_size),
                               callbacks=[clock])
        trainer.remove_callback(transformers.PrinterCallback)  # prints to standard output
        clock.trainer = trainer
        trainer.train()
    seconds, sampling = (statistics.median(s) for s in zip(*clock.steps[warm_up:]))
    tokens = completions * o.max_completion_length
    versions = {"trl": trl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    for part, s in (("", seconds), (" sampling", sampling), (" training", seconds - sampling)):
        print(json.dumps({"test": f"grpo {o.prompts} x {o.num_generations}{part}", "seconds": s,
                          "tokens_per_second": tokens / s, **versions}))


if __name__ == "__main__":
    main()
