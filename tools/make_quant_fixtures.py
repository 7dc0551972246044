#!/usr/bin/env python3
"""Writes tests/fixtures/quant/: blocks of GGUF's formats and their values by llama.cpp's own Python
package. src/tensor/quant_test.cc compares ours.

    pip install gguf          # made with gguf 0.19
    python tools/make_quant_fixtures.py LIBGGML_BASE_SO     # of a build of llama.cpp; ggml 0.25.3

  values.f32      1024 values to quantize: rows of very different sizes, a row of zeros, a row with
                  one value alone, ties
  NAME.blocks     what gguf makes of them (q8_0, q4_0, q4_1, q5_0, q5_1); for the formats that gguf
                  can only read (q4_k, q5_k, q6_k), random blocks
  NAME.f32        the values of those blocks
  NAME.written    what ggml itself makes of the values, for the formats that gguf can only read
"""

import ctypes
import pathlib
import sys

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
    for at in [208] if kind == gguf.GGMLQuantizationType.Q6_K else [0, 2]:
        d = (10.0 ** rng.uniform(-4, 0, count) * rng.choice([-1, 1], count)).astype(np.float16)
        blocks[:, at : at + 2] = d.view(np.uint8).reshape(count, 2)
    return blocks.reshape(-1)


def written(ggml, kind, x):
    count, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros(x.size // count * size, np.uint8)
    pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
    i64 = ctypes.c_int64
    ggml.ggml_quantize_chunk(int(kind), pointer(x), pointer(out), i64(0), i64(1), i64(x.size), None)
    return out


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    rng = np.random.default_rng(1)
    OUT.mkdir(parents=True, exist_ok=True)
    x = values(rng)
    x.tofile(OUT / "values.f32")
    for name in ["q8_0", "q4_0", "q4_k", "q6_k", "q4_1", "q5_0", "q5_1", "q5_k"]:
        kind = gguf.GGMLQuantizationType[name.upper()]
        if not name.endswith("_k"):
            blocks = gguf.quants.quantize(x, kind)
        else:
            blocks = random_blocks(rng, kind, x.size // 256)
            written(ggml, kind, x).tofile(OUT / f"{name}.written")
        blocks.tofile(OUT / f"{name}.blocks")
        gguf.quants.dequantize(blocks, kind).astype(np.float32).tofile(OUT / f"{name}.f32")


if __name__ == "__main__":
    main()
