// The ops on rows, the loss, sampling and the optimizer.
#include <algorithm>
#include <cmath>
#include <vector>

#include "bench/op_bench.h"

namespace r1 {
namespace {

constexpr double kExp = 20;  // operations of exp

struct Matrix {
  int64_t rows, cols;
  double elements() const { return static_cast<double>(rows * cols); }
};

Matrix pick(OpSize size, Matrix timed, Matrix check) {
  return size == OpSize::kTimed ? timed : check;
}

// A batch of training in a model of width 1024.
Matrix batch_of(OpSize size) {
  return pick(size, {512, 1024}, {21, 100});
}

std::string shape_of(const Matrix& m, const char* rows, const char* cols) {
  return std::string(rows) + "=" + std::to_string(m.rows) + " " + cols + "=" +
         std::to_string(m.cols);
}

// Named and with its costs: operations, bytes read and bytes written for each element of m.
OpCall call_of(const Matrix& m, const char* rows, const char* cols, double flops, double read,
               double written) {
  OpCall c;
  c.shape = shape_of(m, rows, cols);
  c.flops = flops * m.elements();
  c.read = read * m.elements();
  c.written = written * m.elements();
  return c;
}

// embed and gather_rows: each of V rows once, in any order.
OpCall lookup_call(OpSize size, bool embed) {
  const Matrix m = pick(size, {4096, 1024}, {30, 100});
  OpCall c = call_of(m, "T=V", "C", 0, 4, 4);
  const Tensor table = c.random(m.rows, m.cols), out = c.zeros(m.rows, m.cols);
  const std::span<const int32_t> ids = c.shuffled(m.rows, m.rows);
  c.run = [=](Ops& ops) { embed ? ops.embed(ids, table, out) : ops.gather_rows(table, ids, out); };
  c.outputs = {out};
  return c;
}

OpCall lookup_backward_call(OpSize size, bool embed) {
  const Matrix m = pick(size, {4096, 1024}, {30, 100});
  OpCall c = call_of(m, "T=V", "C", 1, 8, 4);
  const Tensor dout = c.random(m.rows, m.cols), dtable = c.random(m.rows, m.cols);
  // The check repeats rows.
  const std::span<const int32_t> ids =
      c.shuffled(m.rows, size == OpSize::kTimed ? m.rows : m.rows / 2);
  c.run = [=](Ops& ops) {
    embed ? ops.embed_backward(ids, dout, dtable) : ops.gather_rows_backward(dout, ids, dtable);
  };
  c.outputs = {dtable};
  return c;
}

OpCall add_call(OpSize size) {
  const Matrix m = batch_of(size);
  OpCall c = call_of(m, "T", "C", 1, 8, 4);
  const Tensor x = c.random(m.rows, m.cols), y = c.random(m.rows, m.cols);
  c.run = [=](Ops& ops) { ops.add(x, y); };
  c.outputs = {x};
  return c;
}

OpCall scale_call(OpSize size) {
  const Matrix m = batch_of(size);
  OpCall c = call_of(m, "T", "C", 1, 4, 4);
  const Tensor x = c.random(m.rows, m.cols);
  // Timed over and over, by the next float below 1: numbers stay normal.
  const float factor = size == OpSize::kTimed ? 0x1.fffffep-1f : 0.37f;
  c.run = [=](Ops& ops) { ops.scale(x, factor); };
  c.outputs = {x};
  return c;
}

OpCall rms_norm_call(OpSize size) {
  const Matrix m = batch_of(size);
  OpCall c = call_of(m, "T", "C", 4, 4, 4);
  const Tensor x = c.random(m.rows, m.cols), w = c.random(1, m.cols);
  const Tensor out = c.zeros(m.rows, m.cols), rstd = c.zeros(m.rows, 1);
  c.run = [=](Ops& ops) {
    ops.rms_norm(x, {w.data, static_cast<size_t>(w.cols)}, 1, 1e-6f, out, rstd.data);
  };
  c.outputs = {out, rstd};
  return c;
}

OpCall rms_norm_backward_call(OpSize size) {
  const Matrix m = batch_of(size);
  OpCall c = call_of(m, "T", "C", 10, 8, 4);
  const Tensor x = c.random(m.rows, m.cols), w = c.random(1, m.cols);
  const Tensor dout = c.random(m.rows, m.cols), dw = c.random(1, m.cols);
  const Tensor dx = c.zeros(m.rows, m.cols), rstd = c.zeros(m.rows, 1);
  const std::span<const float> weight(w.data, static_cast<size_t>(w.cols));
  c.prepare = [=](Ops& ops) { ops.rms_norm(x, weight, 1, 1e-6f, dx, rstd.data); };
  c.run = [=](Ops& ops) {
    ops.rms_norm_backward(dout, x, weight, 1, rstd.data, false, dx, dw.data);
  };
  c.outputs = {dx, dw};
  return c;
}

OpCall rope_call(OpSize size, bool backward) {
  const Matrix m = pick(size, {512, 1024}, {21, 96});
  const int64_t dim = size == OpSize::kTimed ? 128 : 32;
  OpCall c = call_of(m, "T", "HD", 3, 4, 4);
  c.shape += " D=" + std::to_string(dim);
  c.read += 4.0 * static_cast<double>(m.rows * dim);  // the table
  const Tensor x = c.random(m.rows, m.cols), table = c.zeros(m.rows, dim);
  for (int64_t p = 0; p < m.rows; ++p) {
    for (int64_t i = 0; i < dim / 2; ++i) {
      const double angle = static_cast<double>(p) *
                           std::pow(1e4, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
      table.row(p)[i] = static_cast<float>(std::cos(angle));
      table.row(p)[dim / 2 + i] = static_cast<float>(std::sin(angle));
    }
  }
  const std::span<const int32_t> positions = c.shuffled(m.rows, m.rows);
  c.run = [=](Ops& ops) {
    backward ? ops.rope_backward(x, dim, false, positions, table)
             : ops.rope(x, dim, false, positions, table);
  };
  c.outputs = {x};
  return c;
}

OpCall swiglu_call(OpSize size) {
  const Matrix m = pick(size, {512, 2816}, {21, 100});
  OpCall c = call_of(m, "T", "F", kExp + 5, 8, 4);
  const Tensor gate_up = c.random(m.rows, 2 * m.cols), out = c.zeros(m.rows, m.cols);
  c.run = [=](Ops& ops) { ops.swiglu(gate_up, out); };
  c.outputs = {out};
  return c;
}

OpCall swiglu_backward_call(OpSize size) {
  const Matrix m = pick(size, {512, 2816}, {21, 100});
  OpCall c = call_of(m, "T", "F", kExp + 10, 12, 8);
  const Tensor gate_up = c.random(m.rows, 2 * m.cols), dout = c.random(m.rows, m.cols);
  const Tensor dgate_up = c.zeros(m.rows, 2 * m.cols);
  c.run = [=](Ops& ops) { ops.swiglu_backward(dout, gate_up, dgate_up); };
  c.outputs = {dgate_up};
  return c;
}

// The vocabulary of the distilled Qwen models.
Matrix logits_of(OpSize size) {
  return pick(size, {16, 151936}, {9, 1003});
}

OpCall log_softmax_call(OpSize size) {
  const Matrix m = logits_of(size);
  OpCall c = call_of(m, "R", "V", kExp + 3, 4, 0);
  const Tensor logits = c.random(m.rows, m.cols), out = c.zeros(3, m.rows);
  const std::span<const int32_t> targets = c.shuffled(m.rows, m.cols);
  c.run = [=](Ops& ops) {
    ops.log_softmax(logits, targets, out.row(0), out.row(1), out.row(2), nullptr);
  };
  for (int64_t i = 0; i < out.rows; ++i) c.outputs.push_back(out.slice_rows(i, 1));
  return c;
}

OpCall log_softmax_backward_call(OpSize size) {
  const Matrix m = logits_of(size);
  OpCall c = call_of(m, "R", "V", kExp + 3, 4, 4);
  const Tensor logits = c.random(m.rows, m.cols), saved = c.zeros(3, m.rows);
  const Tensor dlogprob = c.random(1, m.rows);
  const std::span<const int32_t> targets = c.shuffled(m.rows, m.cols);
  c.prepare = [=](Ops& ops) {
    ops.log_softmax(logits, targets, saved.row(0), saved.row(1), saved.row(2), nullptr);
  };
  c.run = [=](Ops& ops) {
    ops.log_softmax_backward(logits, targets, dlogprob.data, saved.row(1), saved.row(2), 0.5f);
  };
  c.outputs = {logits};
  return c;
}

// At R1's own settings. Flat: all within 5 nats, 140,000 are kept. Peaked: as a model has it that
// knows what it wants to say.
OpCall shape_logits_call(OpSize size, int64_t rows, bool peaked) {
  const Matrix m = pick(size, {rows, 151936}, {9, 1003});
  OpCall c = call_of(m, "R", "V", kExp + 5, 4, 4);
  c.shape += peaked ? " peaked" : " flat";
  const Tensor raw = c.random(m.rows, m.cols), logits = c.zeros(m.rows, m.cols);
  for (int64_t i = 0; i < m.rows * m.cols; ++i) {
    const auto u = static_cast<double>(raw.data[i]);
    raw.data[i] = static_cast<float>(peaked ? -2 * std::log(0.5 + 0.5 * u + 1e-9) : 1.5 * u);
  }
  const std::vector<LogitShape> shapes(static_cast<size_t>(m.rows),
                                       {.factor = static_cast<float>(1 / 0.6), .top_p = 0.95});
  const auto bytes = static_cast<size_t>(m.rows * m.cols) * sizeof(float);
  c.reset = [=](Ops& ops) { ops.copy(raw.data, logits.data, bytes); };
  c.run = [=](Ops& ops) { ops.shape_logits(logits, shapes); };
  c.outputs = {logits};
  return c;
}

OpCall argmax_call(OpSize size) {
  const Matrix m = logits_of(size);
  OpCall c = call_of(m, "R", "V", 1, 4, 0);
  const Tensor logits = c.random(m.rows, m.cols), value = c.zeros(1, m.rows);
  const std::span<int32_t> tokens = c.shuffled(m.rows, m.rows);
  c.run = [=](Ops& ops) { ops.argmax(logits, tokens.data(), value.data); };
  c.outputs = {value};
  c.exact = {tokens};
  return c;
}

OpCall sample_call(OpSize size) {
  const Matrix m = logits_of(size);
  OpCall c = call_of(m, "R", "V", kExp + 3, 4, 0);
  const Tensor logits = c.random(m.rows, m.cols), uniform = c.zeros(1, m.rows);
  for (int64_t r = 0; r < m.rows; ++r) uniform.data[r] = static_cast<float>(r) * 0.0625f;
  const std::span<int32_t> tokens = c.shuffled(m.rows, m.rows);
  c.run = [=](Ops& ops) { ops.sample(logits, uniform.data, tokens.data()); };
  c.exact = {tokens};
  return c;
}

OpCall sum_squares_call(OpSize size) {
  const Matrix m = pick(size, {1, 16 << 20}, {1, 10001});
  OpCall c = call_of(m, "", "n", 2, 4, 0);
  c.shape = "n=" + std::to_string(m.cols);
  const Tensor x = c.random(1, m.cols), out = c.zeros(1, 1);
  c.run = [=](Ops& ops) {
    *out.data = static_cast<float>(ops.sum_squares({x.data, static_cast<size_t>(x.cols)}));
  };
  c.outputs = {out};
  return c;
}

OpCall adamw_call(OpSize size) {
  const Matrix m = pick(size, {1, 4 << 20}, {1, 10001});
  OpCall c = call_of(m, "", "n", 17, 16, 12);
  c.shape = "n=" + std::to_string(m.cols);
  const Tensor w = c.random(1, m.cols), grad = c.random(1, m.cols);
  const Tensor first = c.zeros(1, m.cols), second = c.zeros(1, m.cols);
  const AdamW hyper{.learning_rate = 1e-3f, .weight_decay = 0.1f, .bias1 = 0.1f, .bias2 = 0.05f};
  c.run = [=](Ops& ops) {
    const auto all = [](const Tensor& t) {
      return std::span<float>(t.data, static_cast<size_t>(t.cols));
    };
    ops.adamw(hyper, all(w), all(grad), all(first), all(second));
  };
  c.outputs = {w, first, second};
  return c;
}

}  // namespace

std::vector<OpEntry> row_entries() {
  const auto entry = [](const char* op, double tolerance, std::function<OpCall(OpSize)> make) {
    return OpEntry{op, DType::kF32, tolerance, std::move(make)};
  };
  return {
      entry("embed", 0, [](OpSize s) { return lookup_call(s, true); }),
      entry("embed_backward", 1e-6, [](OpSize s) { return lookup_backward_call(s, true); }),
      entry("gather_rows", 0, [](OpSize s) { return lookup_call(s, false); }),
      entry("gather_rows_backward", 1e-6, [](OpSize s) { return lookup_backward_call(s, false); }),
      entry("add", 1e-6, add_call),
      entry("rms_norm", 1e-5, rms_norm_call),
      entry("rms_norm_backward", 1e-5, rms_norm_backward_call),
      entry("rope", 1e-6, [](OpSize s) { return rope_call(s, false); }),
      entry("rope_backward", 1e-6, [](OpSize s) { return rope_call(s, true); }),
      entry("swiglu", 1e-5, swiglu_call),
      entry("swiglu_backward", 1e-5, swiglu_backward_call),
      entry("log_softmax", 1e-5, log_softmax_call),
      entry("log_softmax_backward", 1e-5, log_softmax_backward_call),
      entry("shape_logits", 0, [](OpSize s) { return shape_logits_call(s, 16, false); }),
      entry("shape_logits", 0, [](OpSize s) { return shape_logits_call(s, 16, true); }),
      entry("shape_logits", 0, [](OpSize s) { return shape_logits_call(s, 1, false); }),
      entry("shape_logits", 0, [](OpSize s) { return shape_logits_call(s, 1, true); }),
      entry("argmax", 0, argmax_call),
      entry("sample", 0, sample_call),
      entry("scale", 1e-6, scale_call),
      entry("sum_squares", 1e-6, sum_squares_call),
      entry("adamw", 2e-6, adamw_call),
  };
}

}  // namespace r1
