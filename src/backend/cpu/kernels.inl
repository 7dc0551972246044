// All kernels of one instruction set. The including file brings a V16, the register tile's shape
// (kTileRows x kTilePanels panels; of bytes, kByteTileRows x kBytePanels), the rows that lie side
// by side (kRowGroup) and R1_BF16_DOT.

#include <string.h>

#include <type_traits>

#include "backend/cpu/kernels.h"

namespace {
using namespace r1;       // NOLINT: constants of layout.h
using namespace r1::cpu;  // NOLINT: argument structs of kernels.h
}  // namespace

#include "backend/cpu/attention.inl"
#include "backend/cpu/attention_backward.inl"
#include "backend/cpu/experts.inl"
#include "backend/cpu/peak.inl"
#include "backend/cpu/products.inl"
#include "backend/cpu/products_backward.inl"
#include "backend/cpu/products_bytes.inl"
#include "backend/cpu/products_mapped.inl"
#include "backend/cpu/rows.inl"

namespace {

constexpr Kernels table(const char* isa) {
  return {
      .isa = isa,
      .row_group = kRowGroup,
      .byte_panels = kBytePanels,
      .pack_f32 = pack_f32,
      .pack_bf16 = pack_bf16,
      .group_rows = group_rows,
      .byte_rows = byte_rows,
      .matmul = matmul,
      .repack = repack,
      .matmul_weight = matmul_weight,
      .column_sums = column_sums,
      .add = add_rows,
      .scale = scale_rows,
      .rms_norm = rms_norm,
      .rms_norm_backward_dw = rms_norm_backward_dw,
      .rms_norm_backward_dx = rms_norm_backward_dx,
      .rope = rope,
      .swiglu = swiglu,
      .swiglu_backward = swiglu_backward,
      .route = route,
      .route_backward = route_backward,
      .combine_rows = combine_rows,
      .combine_rows_backward = combine_rows_backward,
      .attention = attention,
      .attention_backward = attention_backward,
      .log_softmax = log_softmax,
      .log_softmax_backward = log_softmax_backward,
      .sample = sample,
      .sum_squares = sum_squares,
      .adamw = adamw,
      .peak_f32 = peak_f32,
      .peak_bf16 = peak_bf16,
      .peak_int8 = peak_int8,
  };
}

}  // namespace
