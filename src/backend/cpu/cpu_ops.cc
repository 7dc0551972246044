#include "backend/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace r1::cpu {
float* CpuOps::scratch(int64_t floats) {
  const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  if (scratch_.bytes() < bytes) scratch_ = Buffer(bytes);
  return scratch_.floats();
}

void CpuOps::pack_any(ConstTensor w, bool transpose, PackedWeight packed) {
  const int64_t n = transpose ? w.cols : w.rows, k = transpose ? w.rows : w.cols;
  R1_CHECK(packed.n == n && packed.k == k);
  const int64_t panels = panels_of(n);
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

// A product's input on its way into groups of rows.
struct CpuOps::InputPlan {
  const Kernels* kernels;
  bool bf16;
  ConstTensor x;
  float* out;
  int64_t step, tasks;

  void run(int64_t i) const {
    kernels->group_rows(bf16, x.data, x.stride, x.rows, x.cols, out, i * step,
                        std::min(x.rows, (i + 1) * step));
  }
};

int64_t CpuOps::ProductPlan::panels() const {
  return panels_of(m.n);
}

void CpuOps::ProductPlan::run(int64_t i) const {
  const int64_t row_blocks = tasks / pieces, row = i % row_blocks * kMatmulRows;
  const int64_t pairs = div_up(panels(), 2), piece = i / row_blocks;
  const int64_t row_end = std::min(m.rows, row + kMatmulRows);
  const int64_t panel = pairs * piece / pieces * 2;
  const int64_t panel_end = std::min(panels(), pairs * (piece + 1) / pieces * 2);
  if (act.data) {
    run_swiglu(row, row_end, panel, panel_end);
  } else {
    kernels->matmul(m, row, row_end, panel, panel_end);
  }
}

void CpuOps::ProductPlan::fuse_swiglu(const Matmul& other, Tensor gate_up, Tensor out) {
  up = other;
  act = out;
  keep = gate_up.data != nullptr;
}

constexpr int64_t kSwigluFloats = kMatmulRows * 128;  // both halves of a task's products

int64_t CpuOps::ProductPlan::most_panels() const {
  if (!act.data) return std::max<int64_t>(1, panels());
  const int64_t rows = std::clamp<int64_t>(m.rows, 1, kMatmulRows);
  return kSwigluFloats / (2 * kLanes * rows) / 2 * 2;
}

// A task's columns of both halves are still in the caches when silu(gate) * up is taken of them.
void CpuOps::ProductPlan::run_swiglu(int64_t row, int64_t row_end, int64_t panel,
                                     int64_t panel_end) const {
  alignas(64) float both[kSwigluFloats];
  Matmul gate = m, other = up;
  const int64_t column = panel * kLanes, width = std::min(m.n, panel_end * kLanes) - column;
  if (!keep) {
    gate.os = other.os = 2 * width;
    gate.out = both - (row * gate.os + column);
    other.out = gate.out + width;
  }
  kernels->matmul(gate, row, row_end, panel, panel_end);
  kernels->matmul(other, row, row_end, panel, panel_end);
  for (int64_t t = row; t < row_end; ++t) {
    const int64_t at = t * gate.os + column;
    kernels->swiglu(gate.out + at, other.out + at, act.row(t) + column, width);
  }
}

// Cuts into so many multiply-adds a task, where a weight counts as four for being read, and as
// many tasks for each thread.
void CpuOps::run_products(std::vector<ProductPlan>& plans) {
  constexpr int64_t kTaskWork = 1 << 19, kMostTasks = 32;
  const auto work = [](const ProductPlan& p) {
    const int64_t halves = p.act.data ? 2 : 1;
    return halves * p.panels() * kLanes * p.m.k * (p.m.rows + 4);
  };
  int64_t total = 1;
  for (const ProductPlan& p : plans) total += work(p);
  const int64_t threads = pool_.threads(), rounds = total / kTaskWork / threads + 1;
  const int64_t wanted = total < kTaskWork ? 1 : std::min(rounds, kMostTasks) * threads;
  for (ProductPlan& p : plans) {
    const int64_t row_blocks = std::max<int64_t>(1, div_up(p.m.rows, kMatmulRows));
    const double share =
        static_cast<double>(wanted) * static_cast<double>(work(p)) / static_cast<double>(total);
    p.pieces = std::clamp<int64_t>(std::llround(share / static_cast<double>(row_blocks)),
                                   div_up(p.panels(), p.most_panels()), div_up(p.panels(), 2));
    p.tasks = p.m.rows == 0 ? 0 : row_blocks * p.pieces;
  }
  run_all(plans);
}

// What a product's input takes in groups; 0 where it is read as it lies, which is as fast for few
// columns and for one row.
int64_t CpuOps::grouped_floats(const Product& p) {
  constexpr int64_t kColumns = 512;
  if (p.w->dtype == DType::kBF16) return p.x.rows * ((p.w->k + 1) / 2 * 2);
  return p.x.rows > 1 && p.w->n >= kColumns ? p.x.rows * p.w->k : 0;
}

CpuOps::ProductPlan CpuOps::plan_product(const Product& p, const float* bias, bool add,
                                         const float* input) {
  const PackedWeight& w = *p.w;
  R1_CHECK(p.x.cols == w.k && p.out.cols == w.n && p.out.rows == p.x.rows);
  const bool bf16 = w.dtype == DType::kBF16;
  return {.m = {.format = bf16 ? Format::kPackedBf16 : Format::kPackedF32,
                .x = input,
                .xs = p.x.stride,
                .grouped = grouped_floats(p) > 0,
                .rows = p.x.rows,
                .bytes = {},
                .w = static_cast<const uint8_t*>(w.data),
                .row_bytes = 0,
                .repacked = false,
                .scales = nullptr,
                .n = w.n,
                .k = w.k,
                .bias = bias,
                .add = add,
                .out = p.out.data,
                .os = p.out.stride},
          .kernels = &kernels_};
}

void CpuOps::matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add, Tensor out) {
  const Product p{x, &w, out};
  multiply({&p, 1}, bias, add);
}

void CpuOps::matmuls(std::span<const Product> products) {
  multiply(products, nullptr, false);
}

// The products' inputs as their tiles read them.
std::vector<const float*> CpuOps::group_inputs(std::span<const Product> products) {
  int64_t floats = 0;
  for (const Product& p : products) floats += grouped_floats(p);
  float* next = scratch(floats);
  std::vector<InputPlan> plans;
  std::vector<const float*> inputs;
  for (const Product& p : products) {
    const int64_t count = grouped_floats(p), unit = kernels_.row_group;
    inputs.push_back(count > 0 ? next : p.x.data);
    if (count == 0) continue;
    const int64_t step = div_up(rows_per_task(p.w->k), unit) * unit;
    plans.push_back(
        {&kernels_, p.w->dtype == DType::kBF16, p.x, next, step, div_up(p.x.rows, step)});
    next += count;
  }
  run_all(plans);
  return inputs;
}

void CpuOps::multiply(std::span<const Product> products, const float* bias, bool add) {
  const std::vector<const float*> inputs = group_inputs(products);
  std::vector<ProductPlan> plans;
  for (size_t i = 0; i < products.size(); ++i) {
    plans.push_back(plan_product(products[i], bias, add, inputs[i]));
  }
  run_products(plans);
}

void CpuOps::matmul_swiglu(ConstTensor x, const PackedWeight& w, Tensor gate_up, Tensor out) {
  const int64_t width = out.cols;
  const bool share = width % kLanes != 0;  // a panel
  if (share || x.rows < kFuseRows) return Ops::matmul_swiglu(x, w, gate_up, out);
  R1_CHECK(w.n == 2 * width);
  const int64_t bytes = panel_bytes(w.dtype, width, w.k);
  const PackedWeight gate{w.dtype, width, w.k, w.data};
  const PackedWeight up{w.dtype, width, w.k, static_cast<std::byte*>(w.data) + bytes};
  const auto half = [&](const PackedWeight& weight, int64_t column) {
    return Product{x, &weight, gate_up.data ? gate_up.slice_cols(column, width) : out};
  };
  const Product products[] = {half(gate, 0), half(up, width)};
  const float* const input = group_inputs({products, 1})[0];
  std::vector<ProductPlan> plans = {plan_product(products[0], nullptr, false, input)};
  plans[0].fuse_swiglu(plan_product(products[1], nullptr, false, input).m, gate_up, out);
  run_products(plans);
}

// Tasks of all plans in one go.
template <class Plan>
void CpuOps::run_all(const std::vector<Plan>& plans) {
  std::vector<int64_t> end;  // of each plan's tasks
  int64_t total = 0;
  for (const Plan& p : plans) end.push_back(total += p.tasks);
  pool_.run(total, [&](int64_t i) {
    const auto which =
        static_cast<size_t>(std::upper_bound(end.begin(), end.end(), i) - end.begin());
    plans[which].run(i - (end[which] - plans[which].tasks));
  });
}

// The gradient of a weight cut into tasks.
struct CpuOps::WeightPlan {
  MatmulWeight m;
  void (*kernel)(const MatmulWeight&, int64_t, int64_t, int64_t, int64_t);
  int64_t panels, row_step, panel_step, panel_blocks, tasks;

  void run(int64_t i) const {
    const int64_t n = i / panel_blocks * row_step, panel = i % panel_blocks * panel_step;
    kernel(m, n, std::min(m.n, n + row_step), panel, std::min(panels, panel + panel_step));
  }
};

CpuOps::WeightPlan CpuOps::plan_weight(const WeightGradient& g) {
  const ConstTensor &dout = g.dout, &x = g.x;
  const Tensor& dw = g.dw;
  R1_CHECK(dout.rows == x.rows && dw.rows == dout.cols && dw.cols == x.cols);
  WeightPlan p{};
  p.m = {g.dtype == DType::kBF16,
         dout.data,
         dout.stride,
         x.data,
         x.stride,
         x.rows,
         dw.rows,
         dw.cols,
         dw.data,
         dw.stride};
  p.kernel = kernels_.matmul_weight;
  p.panels = panels_of(dw.cols);
  // As large as leaves a few tasks for each thread: what a task copies, it reads for all of it.
  p.row_step = kWeightColumns, p.panel_step = 32;
  const auto tasks = [&] { return div_up(dw.rows, p.row_step) * div_up(p.panels, p.panel_step); };
  while (tasks() < 4 * pool_.threads() && p.row_step > kWeightColumns / 4) {
    p.row_step /= 2;
    if (tasks() < 4 * pool_.threads()) p.panel_step /= 2;
  }
  p.panel_blocks = div_up(p.panels, p.panel_step);
  p.tasks = tasks();
  return p;
}

void CpuOps::matmul_backward_weight(ConstTensor dout, ConstTensor x, DType dtype, Tensor dw) {
  const WeightPlan p = plan_weight({dout, x, dtype, dw});
  pool_.run(p.tasks, [&](int64_t i) { p.run(i); });
}

void CpuOps::matmuls_backward_weight(std::span<const WeightGradient> gradients) {
  std::vector<WeightPlan> plans;
  for (const WeightGradient& g : gradients) plans.push_back(plan_weight(g));
  run_all(plans);
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

void CpuOps::rotate(Tensor x, int64_t head_dim, bool interleaved,
                    std::span<const int32_t> positions, ConstTensor cos_sin, float sign) {
  R1_CHECK(x.cols % head_dim == 0 && x.rows == static_cast<int64_t>(positions.size()));
  R1_CHECK(cos_sin.cols % 2 == 0 && cos_sin.cols <= head_dim);
  split(x.rows, rows_per_task(x.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.rope(x.row(t) + head_dim - cos_sin.cols, x.cols / head_dim, head_dim, cos_sin.cols,
                    interleaved, cos_sin.row(positions[static_cast<size_t>(t)]), sign);
    }
  });
}

void CpuOps::copy_heads(ConstTensor x, int64_t x_step, Tensor out, int64_t out_step, int64_t heads,
                        int64_t width, bool add) {
  R1_CHECK(x.rows == out.rows);
  split(out.rows, rows_per_task(heads * width), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const float* from = x.row(t) + h * x_step;
        float* to = out.row(t) + h * out_step;
        if (add) {
          kernels_.add(to, from, width);
        } else {
          std::copy_n(from, width, to);
        }
      }
    }
  });
}

void CpuOps::swiglu(ConstTensor gate_up, Tensor out) {
  R1_CHECK(gate_up.cols == 2 * out.cols && gate_up.rows == out.rows);
  split(out.rows, rows_per_task(4 * out.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.swiglu(gate_up.row(t), gate_up.row(t) + out.cols, out.row(t), out.cols);
    }
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
