#!/usr/bin/env python3
"""Runs r1 and its peers on the same work in turn, A B A B, and prints the table of medians.

Inference, beside any llama.cpp or ik_llama.cpp that you have built:

    compare.py inference model.gguf --peer llama.cpp=~/llama.cpp/build/bin --peer ik=~/ik_llama.cpp/build/bin,rtr

Training, beside PyTorch and transformers of this Python, eager and compiled:

    compare.py training --shape countdown --dtype f32 --length 128

A GRPO step, beside TRL of this Python, eager and compiled:

    compare.py grpo --shape countdown --dtype f32 --prompts 8 --num-generations 32

Nothing is installed. Machines are shared and limits move, so read the ratios: ours over the better
peer's of the same run. --json prints the table as one JSON object instead.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
R1 = HERE.parent.parent / "build/release/bin/r1"


def run(command, streams="out", **kwargs):
    """What the command prints on standard output, or on both streams ("all"). A failure ends the comparison."""
    print("  $", " ".join(map(str, command)), file=sys.stderr)
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        sys.exit(f"compare.py: {command[0]} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout if streams == "out" else done.stdout + "\n" + done.stderr


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


# Each runner returns {test: tokens a second}.


def run_r1(o, options):
    rows = json_lines(run([o.r1, "bench", "--json", "--threads", o.threads, *options]))
    return {row["test"]: row["tokens_per_second"] for row in rows}


def markdown_rows(text):
    """The rows of a table as dictionaries."""
    rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(rows[0], row)) for row in rows[2:]]


def run_llama(o, folder, repack):
    folder = pathlib.Path(folder).expanduser()
    rates = {}
    common = ["-m", o.model, "-t", o.threads]
    if o.prefill or o.decode:
        out = run([folder / "llama-bench", *common, "-p", o.prefill, "-n", o.decode, "-r", 2, "-o", "json",
                   *(["-rtr", 1] if repack else [])])
        for row in json.loads(out[out.index("["):]):
            name = f"prefill {row['n_prompt']}" if row["n_prompt"] else "decode at 0"
            rates[name] = row["avg_ts"]
    if o.group:
        context = 64 + 64 * max(o.group)
        # ik_llama.cpp prints the table on standard error.
        out = run([folder / "llama-batched-bench", *common, "-c", context, "-npp", 64, "-ntg", 64, "-pps",
                   "-npl", ",".join(map(str, o.group)), *(["-rtr"] if repack else [])], "all")
        for row in markdown_rows(out):
            rates[f"group of {row['B']}"] = float(row["S_TG t/s"])
    return rates


def run_torch(o, script, options, compiled):
    config = run([o.r1, "bench", "--shape", o.shape, "--config"])
    command = [sys.executable, HERE / script, *options, "--dtype", o.dtype, "--threads", o.threads]
    rows = json_lines(run(command + (["--compile"] if compiled else []), input=config))
    return {row["test"]: row["tokens_per_second"] for row in rows}


def compare(o, runners):
    """Medians of all rounds: {test: {runner: tokens a second}}."""
    samples = {}
    for i in range(o.rounds):
        print(f"round {i + 1} of {o.rounds}", file=sys.stderr)
        for name, runner in runners.items():
            for test, rate in runner().items():
                samples.setdefault(test, {}).setdefault(name, []).append(rate)
    return {test: {name: statistics.median(v) for name, v in rates.items()} for test, rates in samples.items()}


def show(o, table, names):
    if o.json:
        print(json.dumps(table))
        return
    print("| tokens/s | " + " | ".join(names) + " | r1 / best peer |")
    print("|---" * (len(names) + 2) + "|")
    for test, rates in table.items():
        peers = [rate for name, rate in rates.items() if name != "r1"]
        ratio = f"{rates['r1'] / max(peers):.2f}" if peers and "r1" in rates else ""
        cells = [f"{rates[n]:.1f}" if n in rates else "" for n in names]
        print(f"| {test} | " + " | ".join(cells) + f" | {ratio} |")


def counts(text):
    return [int(x) for x in text.split(",") if x]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="work", required=True)
    inference = sub.add_parser("inference", help="one model file, beside llama.cpp and its kin")
    inference.add_argument("model", help="a GGUF file that all of them open")
    inference.add_argument("--peer", action="append", default=[], metavar="NAME=FOLDER[,rtr]",
                           help="where llama-bench and llama-batched-bench are; FOLDER,rtr: with "
                                "ik_llama.cpp's --run-time-repack")
    inference.add_argument("--prefill", type=int, default=512)
    inference.add_argument("--decode", type=int, default=32)
    inference.add_argument("--group", type=counts, default=[], help="completions of one prompt: 8,16,32")
    training = sub.add_parser("training", help="an optimizer step, beside PyTorch")
    training.add_argument("--tokens", type=int, default=2048)
    training.add_argument("--length", type=int, default=512)
    grpo = sub.add_parser("grpo", help="a GRPO step, beside TRL")
    grpo.add_argument("--prompts", type=int, default=8)
    grpo.add_argument("--num-generations", type=int, default=32)
    grpo.add_argument("--prompt-length", type=int, default=32)
    grpo.add_argument("--max-completion-length", type=int, default=128)
    grpo.add_argument("--trl-batch", type=int, default=16, help="completions of TRL's forward and backward pass")
    for s in (training, grpo):
        s.add_argument("--shape", default="countdown")
        s.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    for s in (inference, training, grpo):
        s.add_argument("--r1", default=R1, help="the program; default: build/release/bin/r1")
        s.add_argument("--threads", type=int, default=os.cpu_count())
        s.add_argument("--rounds", type=int, default=3)
        s.add_argument("--json", action="store_true")
    o = p.parse_args()

    if o.work == "inference":
        options = [o.model, "--repack", "--prefill", o.prefill, "--decode", o.decode]
        if o.group:
            options += ["--group", ",".join(map(str, o.group))]
        runners = {"r1": lambda: run_r1(o, options)}
        for peer in o.peer:
            name, _, folder = peer.partition("=")
            folder, _, option = folder.partition(",")
            if not folder or option not in ("", "rtr"):
                p.error(f"--peer {peer}: expected NAME=FOLDER or NAME=FOLDER,rtr")
            runners[name] = lambda folder=folder, option=option: run_llama(o, folder, bool(option))
    else:
        options = ["--shape", o.shape, "--dtype", o.dtype]
        if o.work == "training":
            peer, script, theirs = "torch", "torch_training.py", ["--tokens", o.tokens, "--length", o.length]
            options += ["--train", o.tokens, "--train-length", o.length]
        else:
            peer, script = "trl", "trl_grpo.py"
            sizes = ["--num-generations", o.num_generations, "--prompt-length", o.prompt_length,
                     "--max-completion-length", o.max_completion_length]
            theirs = ["--prompts", o.prompts, "--batch", o.trl_batch, *sizes]
            options += ["--grpo", o.prompts, *sizes]
        runners = {
            "r1": lambda: run_r1(o, options),
            peer: lambda: run_torch(o, script, theirs, False),
            f"{peer} compiled": lambda: run_torch(o, script, theirs, True),
        }
    show(o, compare(o, runners), list(runners))


if __name__ == "__main__":
    main()
