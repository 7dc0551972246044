// Experts: the choice, the sorting of rows, products of those that have any, and what they give.
#include <algorithm>
#include <numeric>
#include <vector>

#include "backend/cpu/cpu_ops.h"

namespace r1::cpu {
namespace {

// f(expert, first copy, copies) of each expert that has any.
template <class F>
void each_expert(const int32_t* first, size_t experts, F&& f) {
  for (size_t e = 0; e < experts; ++e) {
    if (first[e + 1] > first[e]) f(e, int64_t{first[e]}, int64_t{first[e + 1] - first[e]});
  }
}

Route route_of(ConstTensor logits, const float* bias, const Routing& r, const int32_t* expert,
               float* weight) {
  R1_CHECK(logits.cols <= kMaxExperts && logits.cols % r.groups == 0);
  R1_CHECK(r.experts <= logits.cols / r.groups * r.groups_per_row);
  return {logits.data,   logits.stride, logits.cols, bias,
          r.sigmoid,     r.experts,     r.groups,    r.groups_per_row,
          r.group_pairs, r.normalize,   r.scale,     const_cast<int32_t*>(expert),
          weight};
}

}  // namespace

void CpuOps::route(ConstTensor logits, const float* bias, const Routing& routing, int32_t* expert,
                   float* weight) {
  const Route r = route_of(logits, bias, routing, expert, weight);
  split(logits.rows, rows_per_task(8 * logits.cols), 1,
        [&](int64_t begin, int64_t end) { kernels_.route(r, begin, end); });
}

void CpuOps::route_backward(const float* dweight, ConstTensor logits, const int32_t* expert,
                            const Routing& routing, Tensor dlogits) {
  R1_CHECK(dlogits.rows == logits.rows && dlogits.cols == logits.cols);
  const RouteBackward r{route_of(logits, nullptr, routing, expert, nullptr), dweight, dlogits.data,
                        dlogits.stride};
  split(logits.rows, rows_per_task(8 * logits.cols), 1,
        [&](int64_t begin, int64_t end) { kernels_.route_backward(r, begin, end); });
}

void CpuOps::sort_by_expert(std::span<const int32_t> expert, int64_t chosen, int64_t experts,
                            int32_t* slot, int32_t* row, int32_t* first) {
  R1_CHECK(experts <= kMaxExperts);
  std::fill_n(first, experts + 1, 0);
  for (const int32_t e : expert) ++first[e + 1];
  std::partial_sum(first, first + experts + 1, first);
  int32_t next[kMaxExperts];
  std::copy_n(first, experts, next);
  for (size_t i = 0; i < expert.size(); ++i) {
    slot[i] = next[expert[i]]++;
    row[slot[i]] = static_cast<int32_t>(static_cast<int64_t>(i) / chosen);
  }
}

void CpuOps::count_copies(const int32_t* first, std::span<int64_t> loads) {
  for (size_t e = 0; e < loads.size(); ++e) loads[e] += first[e + 1] - first[e];
}

void CpuOps::matmul_experts(ConstTensor x, std::span<const PackedWeight> experts,
                            const int32_t* first, Tensor out) {
  std::vector<Product> products;
  each_expert(first, experts.size(), [&](size_t e, int64_t begin, int64_t count) {
    products.push_back({x.slice_rows(begin, count), &experts[e], out.slice_rows(begin, count)});
  });
  matmuls(products);
}

void CpuOps::matmul_mapped_experts(ConstTensor x,
                                   std::span<const std::span<const MappedWeight>> experts,
                                   const int32_t* first, Tensor out) {
  each_expert(first, experts.size(), [&](size_t e, int64_t begin, int64_t count) {
    const Tensor rows = out.slice_rows(begin, count);
    matmul_mapped(x.slice_rows(begin, count), experts[e], nullptr, false, rows);
  });
}

void CpuOps::matmul_experts_backward_weight(ConstTensor dout, ConstTensor x, DType dtype,
                                            const int32_t* first, std::span<const Tensor> dw) {
  std::vector<WeightGradient> gradients;
  each_expert(first, dw.size(), [&](size_t e, int64_t begin, int64_t count) {
    const ConstTensor rows = dout.slice_rows(begin, count);
    gradients.push_back({rows, x.slice_rows(begin, count), dtype, dw[e]});
  });
  matmuls_backward_weight(gradients);
}

void CpuOps::combine_rows(ConstTensor y, std::span<const int32_t> slot, const float* weight,
                          bool add, Tensor out) {
  R1_CHECK(y.rows == static_cast<int64_t>(slot.size()) && y.cols == out.cols);
  const int64_t k = out.rows == 0 ? 0 : y.rows / out.rows;
  const Combine c{const_cast<float*>(y.data),
                  y.stride,
                  slot.data(),
                  weight,
                  k,
                  out.cols,
                  add,
                  out.data,
                  out.stride};
  split(out.rows, rows_per_task((k + 1) * out.cols), 1,
        [&](int64_t begin, int64_t end) { kernels_.combine_rows(c, begin, end); });
}

void CpuOps::combine_rows_backward(ConstTensor dout, ConstTensor y, std::span<const int32_t> slot,
                                   const float* weight, Tensor dy, float* dweight) {
  R1_CHECK(y.rows == static_cast<int64_t>(slot.size()) && dy.rows == y.rows);
  R1_CHECK(dout.cols == y.cols && dy.cols == y.cols);
  const int64_t k = dout.rows == 0 ? 0 : y.rows / dout.rows;
  const CombineBackward c{{const_cast<float*>(y.data), y.stride, slot.data(), weight, k, y.cols,
                           false, const_cast<float*>(dout.data), dout.stride},
                          dy.data,
                          dy.stride,
                          dweight};
  split(dout.rows, rows_per_task(2 * (k + 1) * dout.cols), 1,
        [&](int64_t begin, int64_t end) { kernels_.combine_rows_backward(c, begin, end); });
}

}  // namespace r1::cpu
