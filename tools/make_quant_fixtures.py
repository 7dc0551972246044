#!/usr/bin/env python3
"""Writes tests/fixtures/quant/: blocks of GGUF's formats and their values by llama.cpp's own Python
package. src/tensor/quant_test.cc compares ours.

    pip install gguf          # made with gguf 0.19
    python tools/make_quant_fixtures.py

  values.f32      1024 values to quantize: rows of very different sizes, a row of zeros, a row with
                  one value alone, ties
  NAME.blocks     what gguf makes of them (q8_0, q4_0); for the formats that gguf can only read
                  (q4_k, q6_k), random blocks
  NAME.f32        the values of those blocks
"""

import pathlib

import gguf
import numpy as np

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "quant"


def values(rng):
    x = rng.standard_normal((32, 32)).astype(np.float32)
    x *= np.float32(10.0) ** rng.integers(-6, 5, (32, 1)).astype(np.float32)
    x[3] = 0
    x[4] = 0
    x[4, 17] = -2.5
    x[5] = np.arange(-16, 16, dtype=np.float32) / 2
    x[6] = np.abs(x[6]) + 1
    return x.reshape(-1)


def random_blocks(rng, kind, count):
    _, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    halves = {gguf.GGMLQuantizationType.Q4_K: [0, 2], gguf.GGMLQuantizationType.Q6_K: [208]}
    for at in halves[kind]:
        d = (10.0 ** rng.uniform(-4, 0, count) * rng.choice([-1, 1], count)).astype(np.float16)
        blocks[:, at : at + 2] = d.view(np.uint8).reshape(count, 2)
    return blocks.reshape(-1)


def main():
    rng = np.random.default_rng(1)
    OUT.mkdir(parents=True, exist_ok=True)
    x = values(rng)
    x.tofile(OUT / "values.f32")
    for name in ["q8_0", "q4_0", "q4_k", "q6_k"]:
        kind = gguf.GGMLQuantizationType[name.upper()]
        if name.endswith("_0"):
            blocks = gguf.quants.quantize(x, kind)
        else:
            blocks = random_blocks(rng, kind, x.size // 256)
        blocks.tofile(OUT / f"{name}.blocks")
        gguf.quants.dequantize(blocks, kind).astype(np.float32).tofile(OUT / f"{name}.f32")


if __name__ == "__main__":
    main()
