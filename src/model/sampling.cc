#include "model/sampling.h"

#include <algorithm>
#include <limits>
#include <string>

namespace r1 {
namespace {

void require(bool ok, const char* name, const char* expected, double value) {
  if (!ok) {
    throw InputError(std::string(name) + " must be " + expected + ", not " + std::to_string(value));
  }
}

}  // namespace

void SamplingParams::check() const {
  // Below, logits times the inverse would leave float32.
  require(temperature == 0.0 || (temperature >= 1e-4 && temperature <= 100.0), "temperature",
          "0 or from 0.0001 to 100", temperature);
  require(top_k >= 0, "top_k", "0 or more", static_cast<double>(top_k));
  require(top_p > 0.0 && top_p <= 1.0, "top_p", "above 0 and at most 1", top_p);
  require(min_p >= 0.0 && min_p <= 1.0, "min_p", "from 0 to 1", min_p);
}

LogitShape SamplingParams::shape() const {
  LogitShape shape;
  shape.factor = greedy() ? 0.0f : static_cast<float>(1.0 / temperature);
  shape.top_k = top_k;
  shape.top_p = top_p;
  shape.min_p = min_p;
  return shape;
}

TokenDistributions::TokenDistributions(Ops& ops, Tensor logits,
                                       std::span<const SamplingParams* const> params)
    : ops_(ops), logits_(logits), likeliest_(params.size()), value_(params.size()) {
  std::vector<LogitShape> shapes;
  for (const SamplingParams* p : params) {
    const bool greedy = p->greedy();
    if (runs_.empty() || runs_.back().greedy != greedy) {
      runs_.push_back({static_cast<int64_t>(shapes.size()), 0, greedy});
    }
    ++runs_.back().count;
    shapes.push_back(greedy ? LogitShape{} : p->shape());
  }
  ops_.shape_logits(logits_, shapes);
  for (const Run& run : runs_) {
    if (!run.greedy) continue;
    find_likeliest(ops_, logits_.slice_rows(run.row, run.count), likeliest_.data() + run.row,
                   value_.data() + run.row);
  }
}

void TokenDistributions::sample(const float* uniform, int32_t* token) const {
  for (const Run& run : runs_) {
    if (run.greedy) {
      std::copy_n(likeliest_.begin() + run.row, run.count, token + run.row);
      continue;
    }
    Buffer memory = Buffer::of_floats(2 * run.count, ops_.memory());
    const auto bytes = static_cast<size_t>(run.count) * sizeof(float);
    float* const draws = memory.floats();
    auto* const drawn = reinterpret_cast<int32_t*>(draws + run.count);
    ops_.upload(uniform + run.row, draws, bytes);
    ops_.sample(logits_.slice_rows(run.row, run.count), draws, drawn);
    ops_.download(drawn, token + run.row, bytes);
  }
}

void TokenDistributions::score(std::span<const int32_t> token, float* logprob) const {
  for (const Run& run : runs_) {
    const auto at = static_cast<size_t>(run.row), count = static_cast<size_t>(run.count);
    if (run.greedy) {
      for (size_t r = at; r < at + count; ++r) {
        logprob[r] = greedy_logprob(token[r], likeliest_[r], value_[r]);
      }
      continue;
    }
    Buffer memory = Buffer::of_floats(4 * run.count, ops_.memory());
    const auto bytes = count * sizeof(float);
    const Tensor out(memory.floats(), 3, run.count);  // logprob, max, log_sum
    auto* const targets = reinterpret_cast<int32_t*>(out.data + 3 * run.count);
    ops_.upload(token.data() + at, targets, bytes);
    ops_.log_softmax(logits_.slice_rows(run.row, run.count), {targets, count}, out.row(0),
                     out.row(1), out.row(2), nullptr);
    ops_.download(out.row(0), logprob + at, bytes);
  }
}

void find_likeliest(Ops& ops, ConstTensor logits, int32_t* token, float* value) {
  const auto rows = static_cast<size_t>(logits.rows);
  Buffer tokens(rows * sizeof(int32_t), ops.memory()), values(rows * sizeof(float), ops.memory());
  auto* const device_tokens = reinterpret_cast<int32_t*>(tokens.data());
  ops.argmax(logits, device_tokens, values.floats());
  ops.download(device_tokens, token, rows * sizeof(int32_t));
  ops.download(values.data(), value, rows * sizeof(float));
}

float greedy_logprob(int32_t token, int32_t likeliest, float value) {
  return (token == likeliest ? value : -std::numeric_limits<float>::infinity()) - value;
}

}  // namespace r1
