#include "backend/cpu/cpu_ops.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace r1::cpu {
namespace {

// About this many floats of work make a task worth handing to another thread.
constexpr int64_t kTaskFloats = 16 * 1024;

int64_t rows_per_task(int64_t floats_a_row) {
  return std::max<int64_t>(1, kTaskFloats / std::max<int64_t>(1, floats_a_row));
}

}  // namespace

float* CpuOps::scratch(int64_t floats) {
  const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  if (scratch_.bytes() < bytes) scratch_ = Buffer(bytes);
  return scratch_.floats();
}

void CpuOps::pack_any(ConstTensor w, bool transpose, PackedWeight packed) {
  const int64_t n = transpose ? w.cols : w.rows, k = transpose ? w.rows : w.cols;
  R1_CHECK(packed.n == n && packed.k == k);
  const int64_t panels = PackedWeight::panels(n);
  split(panels, rows_per_task(k * kLanes), 1, [&](int64_t begin, int64_t end) {
    if (packed.dtype == DType::kBF16) {
      kernels_.pack_bf16(w.data, w.stride, transpose, n, k, static_cast<uint16_t*>(packed.data),
                         begin, end);
    } else {
      kernels_.pack_f32(w.data, w.stride, transpose, n, k, static_cast<float*>(packed.data), begin,
                        end);
    }
  });
}

void CpuOps::matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add, Tensor out) {
  R1_CHECK(x.cols == w.k && out.cols == w.n && out.rows == x.rows);
  const bool bf16 = w.dtype == DType::kBF16;
  Matmul m{.format = bf16 ? Format::kPackedBf16 : Format::kPackedF32,
           .x = x.data,
           .xs = x.stride,
           .bytes = {},
           .w = static_cast<const uint8_t*>(w.data),
           .row_bytes = 0,
           .scales = nullptr,
           .n = w.n,
           .k = w.k,
           .bias = bias,
           .add = add,
           .out = out.data,
           .os = out.stride};
  if (bf16) {
    m.xs = (w.k + 1) / 2 * 2;
    float* rounded = scratch(x.rows * m.xs);
    split(x.rows, rows_per_task(w.k), 1, [&](int64_t begin, int64_t end) {
      kernels_.round_rows(x.data, x.stride, w.k, rounded, m.xs, begin, end);
    });
    m.x = rounded;
  }
  // Blocks of rows that stay in the second-level cache with a task's panels.
  const int64_t tile = kernels_.tile_rows, panels = PackedWeight::panels(w.n);
  const int64_t row_step = std::max(
      tile, std::min<int64_t>(96, kTaskFloats * 8 / std::max<int64_t>(1, w.k)) / tile * tile);
  const int64_t row_blocks = (x.rows + row_step - 1) / row_step;
  const int64_t work = kTaskFloats * 32 / std::max<int64_t>(1, w.k * std::min(row_step, x.rows));
  const int64_t panel_step = std::max<int64_t>(8, work / kLanes / 8 * 8);
  const int64_t panel_blocks = (panels + panel_step - 1) / panel_step;
  pool_.run(row_blocks * panel_blocks, [&](int64_t i) {
    const int64_t row = i / panel_blocks * row_step, panel = i % panel_blocks * panel_step;
    kernels_.matmul(m, row, std::min(x.rows, row + row_step), panel,
                    std::min(panels, panel + panel_step));
  });
}

void CpuOps::matmul_backward_weight(ConstTensor dout, ConstTensor x, Tensor dw) {
  R1_CHECK(dout.rows == x.rows && dw.rows == dout.cols && dw.cols == x.cols);
  const MatmulWeight m{dout.data, dout.stride, x.data,  x.stride, x.rows,
                       dw.rows,   dw.cols,     dw.data, dw.stride};
  const int64_t panels = PackedWeight::panels(dw.cols);
  constexpr int64_t kRows = kWeightColumns, kPanels = 8;
  const int64_t n_blocks = (dw.rows + kRows - 1) / kRows;
  const int64_t panel_blocks = (panels + kPanels - 1) / kPanels;
  pool_.run(n_blocks * panel_blocks, [&](int64_t i) {
    const int64_t n = i / panel_blocks * kRows, panel = i % panel_blocks * kPanels;
    kernels_.matmul_weight(m, n, std::min(dw.rows, n + kRows), panel,
                           std::min(panels, panel + kPanels));
  });
}

void CpuOps::matmul_backward_bias(ConstTensor dout, float* dbias) {
  split(dout.cols, kLanes * 4, kLanes, [&](int64_t begin, int64_t end) {
    kernels_.column_sums(dout.data, dout.stride, dout.rows, dbias, begin, end);
  });
}

void CpuOps::embed(std::span<const int32_t> ids, ConstTensor table, Tensor out) {
  gather_rows(table, ids, out);
}

void CpuOps::embed_backward(std::span<const int32_t> ids, ConstTensor dout, Tensor dtable) {
  gather_rows_backward(dout, ids, dtable);
}

void CpuOps::gather_rows(ConstTensor x, std::span<const int32_t> rows, Tensor out) {
  R1_CHECK(out.rows == static_cast<int64_t>(rows.size()) && out.cols == x.cols);
  split(out.rows, rows_per_task(out.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      std::memcpy(out.row(t), x.row(rows[static_cast<size_t>(t)]),
                  static_cast<size_t>(x.cols) * sizeof(float));
    }
  });
}

// By columns: the rows of a column are added in order, whichever thread does it.
void CpuOps::gather_rows_backward(ConstTensor dout, std::span<const int32_t> rows, Tensor dx) {
  R1_CHECK(dout.rows == static_cast<int64_t>(rows.size()) && dout.cols == dx.cols);
  split(dx.cols, kLanes * 4, kLanes, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < dout.rows; ++t) {
      kernels_.add(dx.row(rows[static_cast<size_t>(t)]) + begin, dout.row(t) + begin, end - begin);
    }
  });
}

void CpuOps::add(Tensor x, ConstTensor y) {
  R1_CHECK(x.rows == y.rows && x.cols == y.cols);
  split(x.rows, rows_per_task(x.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) kernels_.add(x.row(t), y.row(t), x.cols);
  });
}

void CpuOps::scale(Tensor x, float factor) {
  split(x.rows, rows_per_task(x.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) kernels_.scale(x.row(t), factor, x.cols);
  });
}

void CpuOps::rms_norm(ConstTensor x, std::span<const float> w, int64_t groups, float eps,
                      Tensor out, float* rstd) {
  const int64_t width = static_cast<int64_t>(w.size());
  R1_CHECK(x.cols == groups * width && out.cols == x.cols && out.rows == x.rows);
  const RmsNorm a{x.data, x.stride, w.data(), width, groups, eps, out.data, out.stride, rstd};
  split(x.rows, rows_per_task(x.cols), 1,
        [&](int64_t begin, int64_t end) { kernels_.rms_norm(a, begin, end); });
}

void CpuOps::rms_norm_backward(ConstTensor dout, ConstTensor x, std::span<const float> w,
                               int64_t groups, const float* rstd, bool add, Tensor dx, float* dw) {
  const int64_t width = static_cast<int64_t>(w.size());
  R1_CHECK(x.cols == groups * width && dout.cols == x.cols && dx.cols == x.cols);
  const RmsNormBackward a{dout.data, dout.stride, x.data, x.stride, w.data(),  width, groups,
                          x.rows,    rstd,        add,    dx.data,  dx.stride, dw};
  // dw first: dx may be dout.
  split(width, kLanes, kLanes,
        [&](int64_t begin, int64_t end) { kernels_.rms_norm_backward_dw(a, begin, end); });
  split(x.rows, rows_per_task(x.cols), 1,
        [&](int64_t begin, int64_t end) { kernels_.rms_norm_backward_dx(a, begin, end); });
}

void CpuOps::rotate(Tensor x, int64_t head_dim, std::span<const int32_t> positions,
                    ConstTensor cos_sin, float sign) {
  R1_CHECK(x.cols % head_dim == 0 && x.rows == static_cast<int64_t>(positions.size()));
  R1_CHECK(cos_sin.cols == head_dim);
  split(x.rows, rows_per_task(x.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.rope(x.row(t), x.cols / head_dim, head_dim,
                    cos_sin.row(positions[static_cast<size_t>(t)]), sign);
    }
  });
}

void CpuOps::swiglu(ConstTensor gate_up, Tensor out) {
  R1_CHECK(gate_up.cols == 2 * out.cols && gate_up.rows == out.rows);
  split(out.rows, rows_per_task(4 * out.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) kernels_.swiglu(gate_up.row(t), out.row(t), out.cols);
  });
}

void CpuOps::swiglu_backward(ConstTensor dout, ConstTensor gate_up, Tensor dgate_up) {
  R1_CHECK(gate_up.cols == 2 * dout.cols && dgate_up.cols == gate_up.cols);
  split(dout.rows, rows_per_task(6 * dout.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.swiglu_backward(dout.row(t), gate_up.row(t), dgate_up.row(t), dout.cols);
    }
  });
}

void CpuOps::log_softmax(ConstTensor logits, std::span<const int32_t> targets, float* logprob,
                         float* max, float* log_sum, float* entropy) {
  R1_CHECK(logits.rows == static_cast<int64_t>(targets.size()));
  const LogSoftmax a{logits.data, logits.stride, logits.cols, targets.data(),
                     logprob,     max,           log_sum,     entropy};
  split(logits.rows, rows_per_task(4 * logits.cols), 1,
        [&](int64_t begin, int64_t end) { kernels_.log_softmax(a, begin, end); });
}

void CpuOps::log_softmax_backward(Tensor logits, std::span<const int32_t> targets,
                                  const float* dlogprob, const float* max, const float* log_sum,
                                  float scale) {
  split(logits.rows, rows_per_task(4 * logits.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.log_softmax_backward(logits.row(t), logits.cols, targets[static_cast<size_t>(t)],
                                    dlogprob[t], max[t], log_sum[t], scale);
    }
  });
}

void CpuOps::sample(ConstTensor logits, const float* uniform, int32_t* token) {
  split(logits.rows, rows_per_task(4 * logits.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      token[t] = kernels_.sample(logits.row(t), logits.cols, uniform[t]);
    }
  });
}

double CpuOps::sum_squares(std::span<const float> x) {
  constexpr int64_t kBlock = 4096;
  const int64_t count = static_cast<int64_t>(x.size());
  std::vector<double> partial(static_cast<size_t>((count + kBlock - 1) / kBlock));
  split(count, kTaskFloats * 4, kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kBlock) {
      partial[static_cast<size_t>(i / kBlock)] =
          kernels_.sum_squares(x.data() + i, std::min(kBlock, end - i));
    }
  });
  double total = 0;
  for (const double p : partial) total += p;
  return total;
}

void CpuOps::adamw(const AdamW& h, std::span<float> w, std::span<const float> grad,
                   std::span<float> m, std::span<float> v) {
  R1_CHECK(w.size() == grad.size() && w.size() == m.size() && w.size() == v.size());
  const AdamWArgs a{h.learning_rate, h.beta1,          h.beta2, h.epsilon,
                    h.weight_decay,  h.gradient_scale, h.bias1, h.bias2};
  split(static_cast<int64_t>(w.size()), kTaskFloats, kLanes, [&](int64_t begin, int64_t end) {
    kernels_.adamw(a, w.data() + begin, grad.data() + begin, m.data() + begin, v.data() + begin,
                   end - begin);
  });
}

}  // namespace r1::cpu
