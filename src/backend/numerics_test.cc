// The numerics contract of ops.h, bit for bit, over all cases: results do not depend on how a batch
// is cut (so scoring, chunked prefill and decoding agree), nor on threads; in float32 all
// instruction sets agree. And the check itself is checked: a planted fault must be seen.
#include "backend/backend.h"
#include "backend/conformance.h"
#include "backend/testing.h"

namespace r1 {
namespace {

std::vector<Case> all_cases() {
  std::vector<Case> all = product_cases();
  for (auto* list : {&mapped_cases, &row_cases, &expert_cases, &attention_cases, &loss_cases}) {
    for (Case& c : list()) all.push_back(std::move(c));
  }
  return all;
}

std::vector<std::string> cpu_isas() {
  std::vector<std::string> isas;
  for (const BackendChoice& choice : available_backends()) {
    if (choice.backend == "cpu") isas.push_back(choice.isa);
  }
  return isas;
}

struct Numerics : testing::TestWithParam<std::string> {
  std::vector<Case> cases = all_cases();
};

TEST_P(Numerics, ResultsDoNotDependOnTheCutOfTheBatch) {
  ThreadPool pool(2);
  const auto ops = make_ops(pool, GetParam());
  ASSERT_EQ(ops->isa(), GetParam());
  for (const Case& c : cases) {
    if (c.rows == 0) continue;
    EXPECT_EQ(chunking_mismatches(*ops, c), 0) << c.name;
  }
}

TEST_P(Numerics, ResultsDoNotDependOnThreads) {
  std::vector<std::vector<Output>> expected;
  for (int threads = 1; threads <= 4; ++threads) {
    ThreadPool pool(threads);
    const auto ops = make_ops(pool, GetParam());
    ASSERT_EQ(ops->isa(), GetParam());
    ASSERT_EQ(ops->threads(), threads);
    for (size_t i = 0; i < cases.size(); ++i) {
      std::vector<Output> outputs = cases[i].run(*ops, all_rows(cases[i]));
      if (threads == 1) {
        expected.push_back(std::move(outputs));
      } else {
        EXPECT_EQ(bit_mismatches(expected[i], outputs), 0)
            << cases[i].name << ", " << threads << " threads";
      }
    }
  }
}

TEST_P(Numerics, InstructionSetsAgree) {
  ThreadPool pool(2);
  const auto ops = make_ops(pool, GetParam()), portable = make_ops(pool, "portable");
  ASSERT_EQ(ops->isa(), GetParam());
  ASSERT_STREQ(portable->isa(), "portable");
  for (const Case& c : cases) {
    if (c.bf16 && GetParam() == "avx512bf16") continue;
    EXPECT_EQ(bit_mismatches(c.run(*portable, all_rows(c)), c.run(*ops, all_rows(c))), 0) << c.name;
  }
}

INSTANTIATE_TEST_SUITE_P(, Numerics, testing::ValuesIn(cpu_isas()),
                         [](const auto& isa) { return isa.param; });

// --- the checks see a fault ---

const Case& find_case(const std::vector<Case>& cases, const std::string& name) {
  for (const Case& c : cases) {
    if (c.name == name) return c;
  }
  ADD_FAILURE() << "no case '" << name << "'";
  return cases.front();
}

TEST(PlantedFault, ASumSplitInLargeBatchesIsSeen) {
  ThreadPool pool(2);
  SplitSumOps faulty(pool, *cpu::portable_kernels());
  cpu::CpuOps sound(pool, *cpu::portable_kernels());
  const std::vector<Case> cases = product_cases();
  for (const char* name : {"matmul F32 T=67 N=100 K=129 bias add", "matmul BF16 T=13 N=16 K=64"}) {
    const Case& c = find_case(cases, name);
    EXPECT_GT(chunking_mismatches(faulty, c), 0) << name;
    EXPECT_EQ(chunking_mismatches(sound, c), 0) << name;
  }
  // Below nine rows the fault sleeps: the check answers to the rows, not to the class.
  EXPECT_EQ(chunking_mismatches(faulty, find_case(cases, "matmul F32 T=7 N=33 K=20")), 0);
}

TEST(PlantedFault, ADecodingKernelOfItsOwnIsSeen) {
  ThreadPool pool(2);
  DecodeScaleOps faulty(pool, *cpu::portable_kernels());
  cpu::CpuOps sound(pool, *cpu::portable_kernels());
  const std::vector<Case> cases = attention_cases();
  const Case& c = find_case(cases, "attention plain G=1 H/G=1 D=20/20");
  EXPECT_GT(chunking_mismatches(faulty, c), 0);
  EXPECT_EQ(chunking_mismatches(sound, c), 0);
}

}  // namespace
}  // namespace r1
