// What an engine does with few pages, and with pages that others have filled.
#include <gtest/gtest.h>

#include "engine/testing.h"

namespace r1 {
namespace {

// --- preemption ---

// Groups with budgets and stop strings in fewer pages than they need together.
TEST_F(EngineTest, PreemptionLeavesNoTrace) {
  for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kI8}) {
    const Model model = make_model(*ops_, type);
    std::vector<Request> requests;
    for (uint64_t i = 0; i < 8; ++i) {
      requests.push_back(
          request(200 + i, 3 + 7 * static_cast<int64_t>(i), 70, 1 + static_cast<int64_t>(i % 4)));
      requests.back().sampling = {0.9, 0, 0.95};
      if (i % 3 == 0) requests.back().thinking = {.max_tokens = 20, .opened_by_prompt = true};
      if (i % 3 == 1) requests.back().stop = {"12", "33", "77", "4("};
    }
    Engine wide(model, *ops_, {}, &tokenizer_);
    const auto expected = wide.generate(requests);
    EXPECT_EQ(wide.stats().preemptions, 0);
    size_t forced = 0, stopped = 0;
    for (const auto& group : expected) {
      for (const Completion& c : group) {
        forced += c.forced.size();
        stopped += c.reason == FinishReason::kStop ? 1 : 0;
      }
    }
    EXPECT_GT(forced, 10u);
    EXPECT_GT(stopped, 1u);
    for (const int64_t pages : {8, 11, 17, 30}) {
      EngineOptions options;
      options.kv_pages = pages;
      options.prefill_chunk = 9;
      Engine narrow(model, *ops_, options, &tokenizer_);
      const auto results = narrow.generate(requests);
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_TRUE(same(results[i], expected[i])) << pages << " " << i;
        for (size_t k = 0; k < results[i].size(); ++k) {
          EXPECT_EQ(results[i][k].text, expected[i][k].text);
          EXPECT_EQ(results[i][k].forced, expected[i][k].forced);
        }
      }
      EXPECT_GT(narrow.stats().preemptions, 0) << pages;
      EXPECT_GT(narrow.stats().recomputed_tokens, 0) << pages;
      EXPECT_EQ(narrow.stats().new_tokens, wide.stats().new_tokens);
      EXPECT_TRUE(all_pages_are_free(narrow, pages));
    }
  }
}

TEST_F(EngineTest, FlopsAreThoseOfEachRowOverItsContext) {
  const Request r = request(210, 21, 30, 3);
  const ModelConfig& c = model_.config();
  const double head = 2 * static_cast<double>(c.vocab_size * c.hidden_size);
  double expected = 3 * 30 * head;
  for (int64_t i = 0; i < 21; ++i) expected += c.forward_flops(static_cast<double>(i + 1)) - head;
  for (int64_t i = 21; i < 21 + 29; ++i) {
    expected += 3 * (c.forward_flops(static_cast<double>(i + 1)) - head);
  }
  Engine engine(model_, *ops_, {});
  engine.generate({&r, 1});
  EXPECT_EQ(engine.stats().flops, expected);
  EngineOptions few;
  few.kv_pages = 5;
  Engine narrow(model_, *ops_, few);
  narrow.generate({&r, 1});
  EXPECT_GT(narrow.stats().preemptions, 0);
  EXPECT_GT(narrow.stats().flops, expected);
}

// --- what others have computed ---

TEST_F(EngineTest, AKnownPrefixIsNotComputedAgain) {
  for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kI8}) {
    const Model model = make_model(*ops_, type);
    const auto cold = [&](const Request& r) { return Engine(model, *ops_, {}).generate({&r, 1}); };
    const Request first = request(220, 75, 40, 2);
    Request same_again = first, longer = first, other = first;
    longer.prompt = random_tokens(1, 9);  // begins otherwise
    longer.prompt.insert(longer.prompt.begin(), first.prompt.begin(), first.prompt.begin() + 70);
    other.prompt[3] = (other.prompt[3] + 1) % static_cast<int32_t>(kVocab);
    Engine engine(model, *ops_, {});
    const auto answer = engine.generate({&first, 1});
    EXPECT_EQ(engine.stats().reused_tokens, 0);
    EXPECT_TRUE(same(engine.generate({&same_again, 1})[0], answer[0]));
    EXPECT_EQ(engine.stats().reused_tokens, 64);
    EXPECT_TRUE(same(engine.generate({&longer, 1})[0], cold(longer)[0]));
    EXPECT_EQ(engine.stats().reused_tokens, 128);
    EXPECT_TRUE(same(engine.generate({&other, 1})[0], cold(other)[0]));
    EXPECT_EQ(engine.stats().reused_tokens, 128);
    // A conversation goes on: the answer is a part of what is known.
    Request next = first;
    next.prompt.insert(next.prompt.end(), answer[0][1].ids.begin(), answer[0][1].ids.end());
    const std::vector<int32_t> question = random_tokens(2, 7);
    next.prompt.insert(next.prompt.end(), question.begin(), question.end());
    EXPECT_TRUE(same(engine.generate({&next, 1})[0], cold(next)[0]));
    EXPECT_EQ(engine.stats().reused_tokens, 128 + 112);  // the keys of 75 + 39 tokens were written
    EXPECT_EQ(engine.available_pages(), engine.pages());
  }
}

// What runs while they change goes on from the tokens it has, as if it had been theirs.
TEST_F(EngineTest, SeesNewWeightsInTheMiddleOfARequest) {
  Request r = request(111, 20, 30);
  Engine engine(model_, *ops_, {});
  const int64_t id = engine.submit(r);
  for (int i = 0; i < 10; ++i) engine.step();
  change_masters(model_, *ops_, [](std::span<float> masters) {
    for (float& w : masters) w *= 0.9f;
  });
  run(engine, {id});
  const Completion c = engine.take(id)[0];
  const std::vector<float> expected = scores(model_, *ops_, r.prompt, c.ids, {});
  ASSERT_EQ(c.ids.size(), 30u);
  EXPECT_NE(c.logprobs[5], expected[5]);
  EXPECT_TRUE(std::equal(c.logprobs.begin() + 10, c.logprobs.end(), expected.begin() + 10));
}

}  // namespace
}  // namespace r1
