// The benchmark's table is whole and what it times is right. No test here looks at a clock.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "backend/backend.h"
#include "backend/ref/ref_ops.h"
#include "base/files.h"
#include "bench/model_bench.h"
#include "bench/op_bench.h"
#include "train/testing.h"

namespace r1 {
namespace {

// Every instruction set of this machine, on every op of the table.
TEST(OpBench, AgreesWithRef) {
  ThreadPool pool(2);
  const std::unique_ptr<Ops> ref = make_ref_ops();
  for (const BackendChoice& choice : available_backends()) {
    const std::unique_ptr<Ops> ops = make_ops(pool, choice.backend == "ref" ? "ref" : choice.isa);
    for (const OpEntry& entry : op_entries()) {
      SCOPED_TRACE(choice.isa + " " + entry.op + " " + std::string(dtype_name(entry.dtype)));
      const OpCheck check = check_op(entry, *ops, *ref);
      EXPECT_TRUE(check.passed) << "error " << check.error << ", tolerance " << entry.tolerance;
    }
  }
}

// Three faults: a number, a token, a NaN.
class WrongOps : public RefOps {
 public:
  void swiglu(ConstTensor gate_up, Tensor out) override {
    RefOps::swiglu(gate_up, out);
    out.data[0] = out.data[0] * 1.001f + 0.001f;
  }
  void sample(ConstTensor logits, const float* uniform, int32_t* token) override {
    RefOps::sample(logits, uniform, token);
    token[1] += 1;
  }
  void adamw(const AdamW&, std::span<float> w, std::span<const float>, std::span<float>,
             std::span<float>) override {
    w[3] = std::numeric_limits<float>::quiet_NaN();
  }
};

TEST(OpBench, FindsWrongResults) {
  WrongOps wrong;
  RefOps ref;
  std::set<std::string> failed;
  for (const OpEntry& entry : op_entries()) {
    if (!check_op(entry, wrong, ref).passed) failed.insert(entry.op);
  }
  EXPECT_EQ(failed, (std::set<std::string>{"adamw", "matmul_mapped_swiglu", "matmul_swiglu",
                                           "sample", "swiglu"}));
}

// An op that did nothing would not pass: every output is far from what it was before.
TEST(OpBench, ChecksWhatTheOpChanges) {
  RefOps ref;
  for (const OpEntry& entry : op_entries()) {
    SCOPED_TRACE(entry.op);
    const OpCall before = entry.make(OpSize::kCheck), after = entry.make(OpSize::kCheck);
    for (const OpCall* call : {&before, &after}) {
      if (call->prepare) call->prepare(ref);
      if (call->reset) call->reset(ref);
    }
    after.run(ref);
    for (size_t i = 0; i < after.outputs.size(); ++i) {
      const ConstTensor a = after.outputs[i], b = before.outputs[i];
      double size = 0, change = 0;
      for (int64_t r = 0; r < a.rows; ++r) {
        for (int64_t c = 0; c < a.cols; ++c) {
          if (std::isfinite(a.row(r)[c])) {
            size = std::max(size, std::abs(static_cast<double>(a.row(r)[c])));
          }
          change = std::max(change, std::abs(static_cast<double>(a.row(r)[c] - b.row(r)[c])));
        }
      }
      EXPECT_GT(change, (100 * entry.tolerance + 1e-6) * size) << "output " << i;
    }
    for (size_t i = 0; i < after.exact.size(); ++i) {
      EXPECT_FALSE(std::ranges::equal(after.exact[i], before.exact[i]));
    }
  }
}

// Whatever Ops declares, the table times; but for what moves memory between it and the host.
TEST(OpBench, ListsEveryOp) {
  std::set<std::string> listed, declared;
  for (const OpEntry& entry : op_entries()) listed.insert(entry.op);
  const std::string header = read_file(R1_SOURCE_DIR "/src/backend/ops.h");
  const std::regex member("virtual (?:void|double) ([a-z_]+)\\(");
  for (std::sregex_iterator it(header.begin(), header.end(), member), end; it != end; ++it) {
    declared.insert((*it)[1]);
  }
  for (const char* moves : {"zero", "copy", "upload", "download", "begin"}) declared.erase(moves);
  EXPECT_GT(declared.size(), 25u);
  EXPECT_EQ(listed, declared);
}

// A read alone is held against reading; one that writes too, against both.
TEST(Roof, MemorySeconds) {
  Roof roof;
  roof.read = 10;
  roof.copy = 12;
  roof.update = 16;
  EXPECT_EQ(roof.memory_seconds(100, 0), 10);
  EXPECT_EQ(roof.memory_seconds(100, 60), 10);
  EXPECT_EQ(roof.memory_seconds(80, 80), 10);
  EXPECT_EQ(roof.memory_seconds(0, 160), 10);
}

// Costs are those of the formula, in the shapes that the project's target names.
TEST(OpBench, CountsWork) {
  std::map<std::string, OpCall> products;
  for (const OpEntry& entry : op_entries()) {
    if (entry.op != "matmul") continue;
    OpCall call = entry.make(OpSize::kTimed);
    const std::string name = std::string(dtype_name(entry.dtype)) + " " + call.shape;
    products.emplace(name, std::move(call));
  }
  ASSERT_EQ(products.size(), 6u);
  const OpCall& f32 = products.at("F32 T=512 N=1024 K=1024");
  EXPECT_EQ(f32.flops, 2.0 * 512 * 1024 * 1024);
  EXPECT_EQ(f32.read, 4.0 * (1024 * 1024 + 512 * 1024));
  EXPECT_EQ(f32.written, 4.0 * 512 * 1024);
  EXPECT_EQ(products.at("BF16 T=1 N=1024 K=1024").read, 2.0 * 1024 * 1024 + 4 * 1024);
  for (const OpEntry& entry : op_entries()) {
    const OpCall call = entry.make(OpSize::kCheck);
    EXPECT_GT(call.read, 0) << entry.op;
    if (!call.exact.empty()) continue;  // sample writes a token a row: nothing
    EXPECT_TRUE(call.written > 0 || entry.op == "log_softmax" || entry.op == "sum_squares");
  }
}

// All completions have the whole length, and none is left out of the update.
TEST(ModelBench, AGrpoStepTrainsOnAllThatItSamples) {
  ThreadPool pool(2);
  const std::unique_ptr<Ops> ops = make_ops(pool);
  Model model = tiny_model(*ops, tiny_config());
  const std::vector<float> before = model.download_masters();
  const GrpoTime time = time_grpo(model, *ops,
                                  {.prompts_per_step = 3,
                                   .num_generations = 2,
                                   .prompt_length = 5,
                                   .max_completion_length = 7});
  EXPECT_EQ(time.last.prompt_tokens, 3 * 5);
  EXPECT_EQ(time.last.tokens_sampled, 3 * 2 * 7);
  EXPECT_EQ(time.last.tokens_trained, 3 * 2 * 7);
  EXPECT_EQ(time.last.mixed_groups, 1);
  EXPECT_EQ(time.last.logprob_mismatch, 0);
  for (const ModelTime* part : {&time.step, &time.sampling, &time.training}) {
    EXPECT_EQ(part->tokens, 3 * 2 * 7);
  }
  EXPECT_EQ(time.step.flops, time.sampling.flops + time.training.flops);
  EXPECT_FALSE(same_bits(before, model.download_masters()));
}

}  // namespace
}  // namespace r1
