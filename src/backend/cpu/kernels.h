// The table of kernels that each instruction set fills in: plain functions over raw pointers and
// ranges, so that nothing compiled for a newer processor leaks into the rest of the program.
// Shapes and formulas are those of backend/ops.h; ranges [begin, end) are what one task computes.
#pragma once

#include <stdint.h>

#include "backend/layout.h"

namespace r1::cpu {

// static: what is compiled for one instruction set must not be what other files link.
static inline constexpr int64_t div_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// How a weight's bytes lie: panels (PackedWeight), or rows as files hold them (MappedWeight).
enum class Format {
  kPackedF32,
  kPackedBf16,
  kF32,
  kBf16,
  kF16,
  kF8,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K
};

// Rows of a product's input as whole numbers, for one block format: x[t, k] ~ scale[t, k / 32]
// q[t, k]. What is needed of their sums is kept beside them. The rows lie in tiles, those that a
// product takes at once (byte_tile in products_bytes.inl): in a tile of R rows four elements of one
// row are followed by those of the next, and so are the other numbers.
struct ByteRows {
  int8_t* q;          // a tile is [K / 4][R][4], in [-127, 127]
  float* scale;       // a tile is [K / 32][R]
  float* scaled_sum;  // likewise: scale * the sum of q
  int32_t* start;  // a tile is [K / group][R]: -(bias of the format's bytes) * the group's sum of q
  int64_t rows, k, group;  // group: 16 or 32, elements of a weight that share a scale
};

struct Matmul {
  Format format;
  const float* x;  // [T, K], rows `xs` apart, or what group_rows wrote; null for block formats
  int64_t xs;
  bool grouped;    // always so for bf16; for kPackedF32 as it may be; else never
  int64_t rows;    // T
  ByteRows bytes;  // for block formats: what byte_rows wrote
  const uint8_t* w;
  int64_t row_bytes;    // of rows
  bool repacked;        // block formats: as `repack` lays them out
  const float* scales;  // kF8: [N / 128, K / 128], both rounded up
  int64_t n, k;
  const float* bias;
  bool add;
  float* out;
  int64_t os;
};

constexpr int kScaleBlock = 128;  // rows and columns of a kF8 matrix that share a scale
constexpr int kMatmulRows = 192;  // that one matmul call takes: a multiple of every tile's rows

struct MatmulWeight {
  bool bf16;
  const float* dout;  // [T, N]
  int64_t ds;
  const float* x;  // [T, K]
  int64_t xs;
  int64_t rows, n, k;
  float* dw;  // [N, K]
  int64_t ws;
};

constexpr int kWeightColumns = 192;  // columns of dout that one matmul_weight call takes

struct RmsNorm {
  const float* x;
  int64_t xs;
  const float* w;
  int64_t width, groups;
  float eps;
  float* out;
  int64_t os;
  float* rstd;
};

struct RmsNormBackward {
  const float* dout;
  int64_t ds;
  const float* x;
  int64_t xs;
  const float* w;
  int64_t width, groups, rows;
  const float* rstd;
  bool add;
  float* dx;
  int64_t dxs;
  float* dw;
};

// Routing in ops.h.
struct Route {
  const float* logits;
  int64_t ls, width;  // width: experts there are, at most kMaxExperts
  const float* bias;  // may be null
  bool sigmoid;
  int64_t chosen, groups, groups_per_row;
  bool group_pairs, normalize;
  float scale;
  int32_t* expert;
  float* weight;
};

struct RouteBackward {
  Route forward;  // expert is read; weight is not
  const float* dweight;
  float* dlogits;
  int64_t ds;
};

// Rows of y by their slots, `chosen` to a row of out.
struct Combine {
  float* y;
  int64_t ys;
  const int32_t* slot;
  const float* weight;
  int64_t chosen, width;
  bool add;
  float* out;
  int64_t os;
};

struct CombineBackward {
  Combine forward;  // y is read; out is dout, and read
  float* dy;
  int64_t dys;
  float* dweight;
};

// One sequence, one KV head and query heads that read it.
struct Attention {
  const float* q;  // row 0 of the sequence, first head; [rows, heads * key_dim]
  int64_t qs;
  const int32_t* pages;
  int64_t position;  // of row 0
  KvType type;
  const uint8_t* k;            // page 0 of this KV head
  const uint8_t* v;            // null: a value is the first elements of its key
  int64_t k_stride, v_stride;  // bytes from one page of this head to the next
  int64_t heads;
  int64_t key_dim, value_dim;
  float scale;
  float* out;  // [rows, heads * value_dim]
  int64_t os;
  float* lse;  // [rows, H] at the first head; may be null
  int64_t ls;
};

constexpr int kAttentionQueries = 128;  // rows x heads of one call at most

struct AttentionBackward {
  Attention forward;  // out and lse are read
  const float* dout;
  int64_t ds;
  float* dq;
  int64_t dqs;
  float* dk;
  float* dv;                     // null where forward.v is
  int64_t dk_stride, dv_stride;  // floats from one page of this head to the next
  float* delta;                  // room for rows x heads
  float* scratch;                // attention_backward_scratch(key_dim, value_dim) floats
};

inline constexpr int kBackwardPages = 2;  // pages at hand at a time, at most

inline constexpr int64_t page_scratch(int64_t key_dim, int64_t value_dim) {
  return 2 * (key_dim + value_dim) * kPageSize;
}
inline constexpr int64_t attention_backward_scratch(int64_t key_dim, int64_t value_dim) {
  return kBackwardPages * page_scratch(key_dim, value_dim);
}

struct LogSoftmax {
  const float* x;
  int64_t xs, width;
  const int32_t* targets;
  float *logprob, *max, *log_sum, *entropy;
};

struct AdamWArgs {
  float learning_rate, beta1, beta2, epsilon, weight_decay, gradient_scale, bias1, bias2;
};

struct Kernels {
  const char* isa;
  int row_group;    // rows that group_rows puts side by side
  int byte_panels;  // panels that block formats, repacked, keep together

  void (*pack_f32)(const float* w, int64_t ws, bool transpose, int64_t n, int64_t k, float* out,
                   int64_t panel_begin, int64_t panel_end);
  void (*pack_bf16)(const float* w, int64_t ws, bool transpose, int64_t n, int64_t k, uint16_t* out,
                    int64_t panel_begin, int64_t panel_end);
  // x, [T, K], side by side in groups of row_group rows, in bf16 rounded on the way: T times K
  // floats, in bf16 T times K rounded up to even. The range is whole groups, but for the last.
  void (*group_rows)(bool bf16, const float* x, int64_t xs, int64_t rows, int64_t k, float* out,
                     int64_t row_begin, int64_t row_end);
  void (*byte_rows)(Format format, const float* x, int64_t xs, const ByteRows& out,
                    int64_t row_begin, int64_t row_end);
  // At most kMatmulRows rows.
  void (*matmul)(const Matmul&, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                 int64_t panel_end);
  // A weight in rows to panels, each of 16 row_bytes: what a product with Matmul::repacked reads;
  // byte_panels of them at a time. kF32 and kBf16 become kPackedF32 and kPackedBf16 if row_bytes is
  // a multiple of 16.
  void (*repack)(const Matmul&, uint8_t* out, int64_t panel_begin, int64_t panel_end);
  // Columns [16 panel_begin, 16 panel_end) of dw, rows [n_begin, n_end), at most kWeightColumns.
  void (*matmul_weight)(const MatmulWeight&, int64_t n_begin, int64_t n_end, int64_t panel_begin,
                        int64_t panel_end);
  // out[c] += sum_t x[t, c] for c in [begin, end)
  void (*column_sums)(const float* x, int64_t xs, int64_t rows, float* out, int64_t begin,
                      int64_t end);

  void (*add)(float* x, const float* y, int64_t count);
  void (*scale)(float* x, float factor, int64_t count);
  void (*rms_norm)(const RmsNorm&, int64_t row_begin, int64_t row_end);
  void (*rms_norm_backward_dw)(const RmsNormBackward&, int64_t column_begin, int64_t column_end);
  void (*rms_norm_backward_dx)(const RmsNormBackward&, int64_t row_begin, int64_t row_end);
  // `sign` is +1, or -1 for the backward rotation. One row of `heads` heads, `step` apart.
  void (*rope)(float* x, int64_t heads, int64_t step, int64_t dim, bool interleaved,
               const float* cos_sin, float sign);
  void (*swiglu)(const float* gate, const float* up, float* out, int64_t width);
  void (*swiglu_backward)(const float* dout, const float* gate_up, float* dgate_up, int64_t width);

  void (*route)(const Route&, int64_t row_begin, int64_t row_end);
  void (*route_backward)(const RouteBackward&, int64_t row_begin, int64_t row_end);
  void (*combine_rows)(const Combine&, int64_t row_begin, int64_t row_end);
  void (*combine_rows_backward)(const CombineBackward&, int64_t row_begin, int64_t row_end);

  // At most kAttentionQueries queries.
  void (*attention)(const Attention&, int64_t row_begin, int64_t row_end);
  void (*attention_backward)(const AttentionBackward&, int64_t rows);

  void (*log_softmax)(const LogSoftmax&, int64_t row_begin, int64_t row_end);
  void (*log_softmax_backward)(float* x, int64_t width, int32_t target, float dlogprob, float max,
                               float log_sum, float scale);

  int32_t (*sample)(const float* x, int64_t width, float uniform);

  double (*sum_squares)(const float* x, int64_t count);
  void (*adamw)(const AdamWArgs&, float* w, const float* grad, float* m, float* v, int64_t count);

  // The machine's limits, for benchmarks: `rounds` rounds of independent multiply-adds on registers
  // alone; returns the floating-point operations done. sink [64] keeps them alive.
  int64_t (*peak_f32)(int64_t rounds, float* sink);
  int64_t (*peak_bf16)(int64_t rounds, float* sink);
  int64_t (*peak_int8)(int64_t rounds, float* sink);
};

// Null where this build or this processor lacks the instruction set.
const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* avx512vnni_kernels();
const Kernels* avx512bf16_kernels();
const Kernels* neon_kernels();

}  // namespace r1::cpu
