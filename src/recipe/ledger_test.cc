#include "recipe/ledger.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/resident.h"

namespace r1 {
namespace {

TEST(Ledger, AddsAndTotals) {
  Ledger ledger;
  ledger.begin_stage("sft");
  ledger.add("sft", 0, 1000, 1e9, 1.5);
  ledger.add("grpo", 500, 400, 2e9, 2);
  ledger.add("grpo", 500, 400, 2e9, 2);
  ASSERT_EQ(ledger.stages().size(), 2u);
  EXPECT_EQ(ledger.stages()[1].tokens_sampled, 1000);
  EXPECT_EQ(ledger.stages()[1].tokens_trained, 800);
  EXPECT_EQ(ledger.total().flops, 5e9);
  EXPECT_EQ(ledger.total().seconds, 5.5);
  EXPECT_EQ(ledger.total().tokens_trained, 1800);
  EXPECT_GT(ledger.total().peak_memory, 1 << 20);
}

TEST(Ledger, SurvivesAResume) {
  Ledger ledger;
  ledger.add("grpo", 5, 6, 0.1, 1.0 / 3);
  Ledger back = Ledger::from_json(parse_json(ledger.to_json().dump(), "l"), "l");
  EXPECT_EQ(back.to_json(), ledger.to_json());
  back.add("grpo", 1, 1, 1, 1);
  EXPECT_EQ(back.stages()[0].tokens_sampled, 6);
}

TEST(Ledger, PeakSeesMemory) {
  const int64_t before = peak_resident_bytes();
  ASSERT_GT(before, 0);
  std::vector<char> block(size_t{128} << 20);
  std::memset(block.data(), 1, block.size());
  EXPECT_GT(block[block.size() / 2], 0);
  EXPECT_GE(peak_resident_bytes(), int64_t{128} << 20);
}

TEST(Ledger, BadFiles) {
  const auto error_of = [](const char* text) -> std::string {
    try {
      Ledger::from_json(parse_json(text, "l"), "ledger.json");
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_EQ(error_of("[]"), "ledger.json: expected an object with a list \"stages\"");
  EXPECT_EQ(error_of(R"({"stages":[{"stage":"a"}]})"),
            "ledger.json: stage 0: tokens_sampled: expected a number of at least 0, found none");
  EXPECT_EQ(error_of(R"({"stages":[{"stage":"a","tokens_sampled":1e300}]})"),
            "ledger.json: stage 0: tokens_sampled: expected at most 2^53, found more");
  EXPECT_EQ(error_of(R"({"stages":[{"stage":"a","tokens_sampled":"x"}]})"),
            "ledger.json: stage 0: tokens_sampled: expected a number of at least 0, found \"x\"");
  EXPECT_EQ(error_of(R"({"stages":[3]})"),
            "ledger.json: stage 0: expected an object with a name \"stage\"");
}

}  // namespace
}  // namespace r1
