// Every op of Ops checked against ref and timed against the machine's limits.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/ops.h"
#include "base/rng.h"
#include "bench/roof.h"
#include "tensor/buffer.h"

namespace r1 {

// One op with operands of its own, which its functions refer to: memory stays where it is when an
// OpCall is moved.
struct OpCall {
  std::string shape;  // "T=512 N=1024 K=1024"
  // What the op cannot do without. A multiply-add is 2 operations, exp the 20 of its polynomial
  // (cpu/math.inl), any other arithmetic 1. Bytes are counted once, however often the op touches
  // them.
  double flops = 0, read = 0, written = 0;
  std::function<void(Ops&)> prepare;  // once, before the first run; may be empty
  std::function<void(Ops&)> reset;    // before each run, and not timed; may be empty
  std::function<void(Ops&)> run;      // may be repeated
  // What it leaves: numbers, and what must be equal to the bit (tokens, packed weights).
  std::vector<ConstTensor> outputs;
  std::vector<std::span<const int32_t>> exact;

  // Operands. Numbers are uniform in [-1, 1); two calls made alike have the same.
  Tensor random(int64_t rows, int64_t cols);
  Tensor zeros(int64_t rows, int64_t cols);
  // [0, below) in any order, repeated if `count` is more.
  std::span<int32_t> shuffled(int64_t count, int64_t below);

  Arena memory;
  Rng rng{1};
};

enum class OpSize { kCheck, kTimed };

struct OpEntry {
  std::string op;  // the member of Ops
  DType dtype = DType::kF32;
  // How far an element may be from ref's, by the larger of its size and the output's root mean
  // square.
  double tolerance = 0;
  std::function<OpCall(OpSize)> make;
};

// All ops, in the order of ops.h.
std::vector<OpEntry> op_entries();
// The parts of that table.
std::vector<OpEntry> product_entries();    // op_products.cc
std::vector<OpEntry> row_entries();        // op_rows.cc
std::vector<OpEntry> expert_entries();     // op_experts.cc
std::vector<OpEntry> attention_entries();  // op_attention.cc

struct OpCheck {
  bool passed = false;
  double error =
      0;  // the worst, as OpEntry::tolerance measures it; infinity if bits or NaNs differ
};

// Runs the op on its small shape with both.
OpCheck check_op(const OpEntry& entry, Ops& ops, Ops& ref);

struct OpTime {
  std::string shape;
  double flops = 0, bytes = 0;           // read and written
  double seconds = 0, best_seconds = 0;  // of a call: median and least of the repetitions
  // Which of the two times the machine needs at least is the longer, and its share of `seconds`.
  bool compute_bound = false;
  double share = 0;
};

struct TimingOptions {
  double seconds = 0.05;  // of one repetition, at least
  int repetitions = 7;
};

// An op bound by memory runs over so many sets of operands in turn that no call finds its own in
// the caches, as in a model larger than them; one bound by compute runs over one set.
OpTime time_op(const OpEntry& entry, Ops& ops, const Roof& roof, const TimingOptions& options);

}  // namespace r1
