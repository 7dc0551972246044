#include "bench/op_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace r1 {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double worst_error(ConstTensor actual, ConstTensor expected) {
  double squares = 0, worst = 0;
  for (int64_t r = 0; r < expected.rows; ++r) {
    for (int64_t c = 0; c < expected.cols; ++c) {
      squares += static_cast<double>(expected.row(r)[c]) * static_cast<double>(expected.row(r)[c]);
    }
  }
  const double rms = std::sqrt(squares / static_cast<double>(expected.rows * expected.cols));
  for (int64_t r = 0; r < expected.rows; ++r) {
    for (int64_t c = 0; c < expected.cols; ++c) {
      const double a = static_cast<double>(actual.row(r)[c]);
      const double e = static_cast<double>(expected.row(r)[c]);
      if (a == e) continue;
      const double error = std::abs(a - e) / std::max(std::abs(e), rms);
      worst = std::max(worst, std::isnan(error) ? kInfinity : error);
    }
  }
  return worst;
}

OpCall prepared(const OpEntry& entry, OpSize size, Ops& ops) {
  OpCall call = entry.make(size);
  if (call.prepare) call.prepare(ops);
  if (call.reset) call.reset(ops);
  return call;
}

// Seconds a call, of each repetition.
std::vector<double> time_calls(const std::vector<OpCall>& sets, Ops& ops,
                               const TimingOptions& options) {
  using Clock = std::chrono::steady_clock;
  size_t next = 0;
  const auto run = [&](int64_t calls) {
    const auto start = Clock::now();
    Clock::duration resets{};
    for (int64_t i = 0; i < calls; ++i) {
      const OpCall& call = sets[next];
      if (call.reset) {
        const auto before = Clock::now();
        call.reset(ops);
        resets += Clock::now() - before;
      }
      call.run(ops);
      next = next + 1 == sets.size() ? 0 : next + 1;
    }
    return std::chrono::duration<double>(Clock::now() - start - resets).count();
  };
  run(static_cast<int64_t>(sets.size()));  // touches all memory
  int64_t calls = 1;
  for (double elapsed = run(1); elapsed < options.seconds; elapsed = run(calls)) {
    const double more = 1.1 * options.seconds / std::max(elapsed, 1e-7);
    calls = std::max(calls + 1, static_cast<int64_t>(static_cast<double>(calls) * more));
  }
  std::vector<double> result;
  for (int i = 0; i < options.repetitions; ++i) {
    result.push_back(run(calls) / static_cast<double>(calls));
  }
  return result;
}

}  // namespace

Tensor OpCall::random(int64_t rows, int64_t cols) {
  float* data = memory.floats(rows * cols);
  for (int64_t i = 0; i < rows * cols; ++i) {
    data[i] = static_cast<float>(static_cast<int32_t>(rng.next_u32())) * 0x1p-31f;
  }
  return {data, rows, cols};
}

Tensor OpCall::zeros(int64_t rows, int64_t cols) {
  float* data = memory.floats(rows * cols);
  std::fill_n(data, rows * cols, 0.0f);
  return {data, rows, cols};
}

std::span<int32_t> OpCall::shuffled(int64_t count, int64_t below) {
  std::vector<int32_t> values(static_cast<size_t>(below));
  std::iota(values.begin(), values.end(), 0);
  rng.shuffle(values);
  static_assert(sizeof(int32_t) == sizeof(float));
  const std::span<int32_t> result(reinterpret_cast<int32_t*>(memory.floats(count)),
                                  static_cast<size_t>(count));
  for (size_t i = 0; i < result.size(); ++i) result[i] = values[i % values.size()];
  return result;
}

std::vector<OpEntry> op_entries() {
  std::vector<OpEntry> all = product_entries();
  for (const auto& part : {row_entries(), expert_entries(), attention_entries()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

OpCheck check_op(const OpEntry& entry, Ops& ops, Ops& ref) {
  const OpCall actual = prepared(entry, OpSize::kCheck, ops);
  const OpCall expected = prepared(entry, OpSize::kCheck, ref);
  actual.run(ops);
  expected.run(ref);
  R1_CHECK(!expected.outputs.empty() || !expected.exact.empty());
  OpCheck check;
  for (size_t i = 0; i < expected.outputs.size(); ++i) {
    check.error = std::max(check.error, worst_error(actual.outputs[i], expected.outputs[i]));
  }
  for (size_t i = 0; i < expected.exact.size(); ++i) {
    if (!std::ranges::equal(actual.exact[i], expected.exact[i])) check.error = kInfinity;
  }
  check.passed = check.error <= entry.tolerance;
  return check;
}

OpTime time_op(const OpEntry& entry, Ops& ops, const Roof& roof, const TimingOptions& options) {
  std::vector<OpCall> sets;
  sets.push_back(prepared(entry, OpSize::kTimed, ops));
  OpTime time{
      .shape = sets[0].shape, .flops = sets[0].flops, .bytes = sets[0].read + sets[0].written};
  const double compute = time.flops / roof.peak(entry.dtype);
  const double memory = roof.memory_seconds(sets[0].read, sets[0].written);
  time.compute_bound = compute > memory;
  if (!time.compute_bound) {
    const double count = std::ceil(static_cast<double>(cold_bytes()) / time.bytes);
    while (static_cast<double>(sets.size()) < count) {
      sets.push_back(prepared(entry, OpSize::kTimed, ops));
    }
  }
  const std::vector<double> seconds = time_calls(sets, ops, options);
  time.seconds = median(seconds);
  time.best_seconds = *std::min_element(seconds.begin(), seconds.end());
  time.share = std::max(compute, memory) / time.seconds;
  return time;
}

}  // namespace r1
