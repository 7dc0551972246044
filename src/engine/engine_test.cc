#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/testing.h"

namespace r1 {
namespace {

TEST_F(EngineTest, SameTokensWhateverTheSizes) {
  const Request r = request(3, 41, 30, 3);
  const std::vector<Completion> expected = alone(r);
  ASSERT_EQ(expected.size(), 3u);
  std::vector<Request> company;
  for (uint64_t i = 0; i < 5; ++i) {
    company.push_back(request(20 + i, 1 + 16 * static_cast<int64_t>(i), 25, 2));
    company.back().sampling = {0.7, 30};
  }
  company.insert(company.begin() + 3, r);
  for (const int64_t chunk : {-1, 1, 3, 15, 16, 17, 41, 1000}) {
    for (const int64_t sequences : {1, 2, 5, 64}) {
      EngineOptions options;
      options.max_sequences = sequences;
      options.prefill_chunk = chunk;
      options.max_batch_tokens = chunk % 2 == 0 ? 1 : 50;
      Engine single(model_, *ops_, options);
      EXPECT_TRUE(same(single.generate({&r, 1})[0], expected)) << chunk << " " << sequences;
      Engine crowded(model_, *ops_, options);
      EXPECT_TRUE(same(crowded.generate(company)[3], expected)) << chunk << " " << sequences;
    }
  }
}

TEST_F(EngineTest, CompletionsDrawFromStreamsOfTheirOwn) {
  const Request r = request(4, 20, 25, 6);
  const std::vector<Completion> six = alone(r);
  std::set<std::vector<int32_t>> different;
  for (const Completion& c : six) {
    EXPECT_EQ(c.ids.size(), 25u);
    EXPECT_EQ(c.logprobs.size(), 25u);
    EXPECT_EQ(c.reason, FinishReason::kLength);
    different.insert(c.ids);
  }
  EXPECT_EQ(different.size(), 6u);
  Request two = r;
  two.n = 2;  // the first ones of six
  EXPECT_TRUE(same(alone(two), {six[0], six[1]}));
  Request other = r;
  other.seed = 5;
  EXPECT_NE(alone(other)[0].ids, six[0].ids);
  Request greedy = r;
  greedy.sampling.temperature = 0;
  for (const Completion& c : alone(greedy)) {
    EXPECT_EQ(c.ids, alone(greedy)[0].ids);
    EXPECT_EQ(c.logprobs, std::vector<float>(25, 0.0f));
  }
}

TEST_F(EngineTest, StopIds) {
  Request r = request(5, 10, 60);
  const Completion full = alone(r)[0];
  for (const size_t at : {size_t{0}, size_t{7}, size_t{59}}) {
    const int32_t stop = full.ids[at];
    const auto first = std::find(full.ids.begin(), full.ids.end(), stop);
    r.stop_ids = {-1, 1 << 30, stop};
    const Completion c = alone(r)[0];
    EXPECT_EQ(c.reason, FinishReason::kStop);
    EXPECT_EQ(c.ids, std::vector<int32_t>(full.ids.begin(), first + 1));
    EXPECT_EQ(c.logprobs.size(), c.ids.size());
    EXPECT_EQ(c.logprobs.back(), full.logprobs[c.ids.size() - 1]);
  }
  // One in the prompt stops nothing.
  r.stop_ids.clear();
  for (const int32_t id : r.prompt) {
    if (std::find(full.ids.begin(), full.ids.end(), id) == full.ids.end()) r.stop_ids.push_back(id);
  }
  ASSERT_FALSE(r.stop_ids.empty());
  EXPECT_TRUE(same(alone(r)[0], full));
}

TEST_F(EngineTest, StopStrings) {
  Request r = request(6, 10, 60);
  const Completion full = alone(r)[0];
  std::string text;
  std::vector<size_t> ends;  // of the text after each token
  StreamDecoder decoder(tokenizer_, false);
  for (const int32_t id : full.ids) ends.push_back((text += decoder.push(id)).size());
  int across = 0;
  for (size_t length : {1, 2, 3, 5, 9, 20}) {
    for (size_t at = 0; at + length <= ends.back(); at += 11) {
      const std::string stop = text.substr(at, length);
      const size_t end = text.find(stop) + length;
      const auto token = std::lower_bound(ends.begin(), ends.end(), end);
      const size_t count = static_cast<size_t>(token - ends.begin()) + 1;
      const size_t begins = count < 2 ? 0 : ends[count - 2];
      across += end - length < begins;
      r.stop = {"never in the text", "", stop};
      const Completion c = alone(r)[0];
      EXPECT_EQ(c.reason, FinishReason::kStop);
      EXPECT_EQ(c.ids, std::vector<int32_t>(full.ids.begin(),
                                            full.ids.begin() + static_cast<int64_t>(count)))
          << at << " " << length;
    }
  }
  EXPECT_GT(across, 20);  // stop strings that no single token holds
  r.stop = {"", "never in the text"};
  EXPECT_TRUE(same(alone(r)[0], full));
  r.stop = {tokenizer_.decode(r.prompt)};
  EXPECT_TRUE(same(alone(r)[0], full));
}

TEST_F(EngineTest, StopStringOfASpecialToken) {
  Request r = request(7, 10, 400);
  Completion full;
  const int32_t end = *tokenizer_.token_to_id(kEndOfText);
  for (r.seed = 0; std::find(full.ids.begin(), full.ids.end(), end) == full.ids.end(); ++r.seed) {
    ASSERT_LT(r.seed, 20u);
    full = alone(r)[0];
  }
  --r.seed;
  r.stop = {std::string(kEndOfText)};
  EXPECT_EQ(alone(r)[0].ids.back(), end);
}

TEST_F(EngineTest, LengthIsLimitedByRequestAndContext) {
  EXPECT_EQ(alone(request(8, 30, 1))[0].ids.size(), 1u);
  EngineOptions options;
  options.max_context = 40;
  Engine engine(model_, *ops_, options);
  for (const auto& [prompt, expected] : std::map<int64_t, size_t>{{1, 39}, {32, 8}, {39, 1}}) {
    const Request r = request(8, prompt, int64_t{1} << 62);
    const Completion c = engine.generate({&r, 1})[0][0];
    EXPECT_EQ(c.ids.size(), expected);
    EXPECT_EQ(c.reason, FinishReason::kLength);
  }
  EXPECT_THROW(engine.submit(request(8, 40, 1)), InputError);
  options.max_context = 1 << 20;  // more than the model has positions
  Engine wide(model_, *ops_, options);
  const Request r = request(8, 500, 1000);
  EXPECT_EQ(wide.generate({&r, 1})[0][0].ids.size(), 12u);
  EXPECT_THROW(wide.submit(request(8, 512, 1)), InputError);
}

TEST_F(EngineTest, RefusesRequestsThatCannotRun) {
  EngineOptions options;
  options.kv_pages = 5;
  Engine engine(model_, *ops_, options);
  auto error = [&](auto&& change) -> std::string {
    Request r = request(9, 20, 10);
    change(r);
    try {
      engine.submit(r);
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(has(error([](Request& r) { r.prompt.clear(); }), "empty"));
  EXPECT_TRUE(has(error([](Request& r) { r.prompt[3] = kVocab; }), "496"));
  EXPECT_TRUE(has(error([](Request& r) { r.prompt[3] = -1; }), "-1"));
  EXPECT_TRUE(has(error([](Request& r) { r.n = 0; }), "n must"));
  EXPECT_TRUE(has(error([](Request& r) { r.n = int64_t{1} << 62; }), "n must"));
  EXPECT_TRUE(has(error([](Request& r) { r.max_new_tokens = 0; }), "max_new_tokens"));
  EXPECT_TRUE(has(error([](Request& r) { r.max_new_tokens = -5; }), "max_new_tokens"));
  EXPECT_TRUE(has(error([](Request& r) { r.sampling.top_p = 0; }), "top_p"));
  EXPECT_TRUE(has(error([](Request& r) { r.stop = {"x"}; }), "tokenizer"));
  EXPECT_TRUE(has(error([](Request& r) { r.max_new_tokens = 100; }), "pages"));
  EXPECT_TRUE(has(error([](Request& r) { r.prompt.resize(200); }), "pages"));
  EXPECT_FALSE(engine.step());  // nothing of it is queued
  EXPECT_EQ(error([](Request&) {}), "no error");
  EXPECT_TRUE(engine.step());
}

TEST_F(EngineTest, FewPagesMakeRequestsWait) {
  std::vector<Request> requests;
  std::vector<std::vector<Completion>> expected;
  for (uint64_t i = 0; i < 12; ++i) {
    requests.push_back(request(30 + i, 1 + static_cast<int64_t>(i * 7 % 40),
                               1 + static_cast<int64_t>(i * 13 % 50),
                               1 + static_cast<int64_t>(i % 4)));
    expected.push_back(alone(requests.back()));
  }
  for (const int64_t pages : {8, 9, 11, 16, 32}) {
    EngineOptions options;
    options.kv_pages = pages;
    options.max_sequences = 6;
    Engine engine(model_, *ops_, options);
    std::vector<int64_t> ids;
    for (const Request& r : requests) ids.push_back(engine.submit(r));
    run(engine, ids);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_TRUE(same(engine.take(ids[i]), expected[i])) << pages << " " << i;
    }
    EXPECT_TRUE(all_pages_are_free(engine, pages));
  }
}

// The first request's completion needs what the second's prompt has taken: the second goes first.
TEST_F(EngineTest, APromptThatWaitsForPagesBlocksNobody) {
  const std::vector<Request> requests = {request(50, 16, 150), request(51, 80, 8),
                                         request(52, 80, 8, 3), request(53, 16, 150, 2)};
  for (const int64_t pages : {11, 12, 16, 17}) {
    EngineOptions options;
    options.kv_pages = pages;
    Engine engine(model_, *ops_, options);
    std::vector<int64_t> ids;
    for (const Request& r : requests) ids.push_back(engine.submit(r));
    run(engine, ids);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_TRUE(same(engine.take(ids[i]), alone(requests[i]))) << pages << " " << i;
    }
    EXPECT_TRUE(all_pages_are_free(engine, pages));
  }
}

// A long request is not overtaken for ever by short ones that keep coming.
TEST_F(EngineTest, ALongRequestGetsItsTurn) {
  EngineOptions options;
  options.kv_pages = 12;
  Engine engine(model_, *ops_, options);
  engine.submit(request(60, 16, 40));
  const int64_t big = engine.submit(request(61, 16, 150));
  for (uint64_t i = 0; i < 100 && !engine.done(big); ++i) {
    engine.submit(request(70 + i, 16, 10));
    for (int step = 0; step < 5; ++step) engine.step();
  }
  EXPECT_TRUE(engine.done(big));
}

TEST_F(EngineTest, Cancel) {
  const Request kept = request(80, 20, 40, 2);
  const std::vector<Completion> expected = alone(kept);
  EngineOptions options;
  options.kv_pages = 20;
  options.prefill_chunk = 8;
  for (int steps = 0; steps < 30; ++steps) {
    Engine engine(model_, *ops_, options);
    const int64_t victim = engine.submit(request(81, 40, 30, 3));
    const int64_t stays = engine.submit(kept);
    const int64_t waiting = engine.submit(request(82, 100, 60, 2));
    for (int i = 0; i < steps; ++i) engine.step();
    engine.cancel(12345);
    engine.cancel(waiting);
    engine.cancel(victim);
    engine.cancel(victim);
    ASSERT_TRUE(engine.done(victim) && engine.done(waiting));
    run(engine, {stays});
    EXPECT_TRUE(same(engine.take(stays), expected)) << steps;
    const std::vector<Completion> whole = alone(request(81, 40, 30, 3));
    const std::vector<Completion> cut = engine.take(victim);
    ASSERT_EQ(cut.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(cut[i].reason, FinishReason::kCancelled);
      ASSERT_LT(cut[i].ids.size(), 30u);
      EXPECT_TRUE(std::equal(cut[i].ids.begin(), cut[i].ids.end(), whole[i].ids.begin()));
    }
    for (const Completion& c : engine.take(waiting)) EXPECT_EQ(c.reason, FinishReason::kCancelled);
    EXPECT_TRUE(all_pages_are_free(engine, 20)) << steps;
  }
}

TEST_F(EngineTest, LogprobsAreTheScorersWhateverTheSampling) {
  const SamplingParams all[] = {
      {},    {0.7},   {0.7, 20}, {1.3, 0, 0.8}, {0.7, 0, 1.0, 0.05}, {0.9, 50, 0.9, 0.02},
      {0.0}, {2.0, 3}};
  std::vector<Request> requests;
  for (const SamplingParams& sampling : all) {  // in one batch
    requests.push_back(request(100 + requests.size(), 3 + 9 * std::ssize(requests), 40, 3));
    requests.back().sampling = sampling;
  }
  EngineOptions options;
  options.prefill_chunk = 10;
  Engine engine(model_, *ops_, options);
  const auto results = engine.generate(requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    for (const Completion& c : results[i]) {
      EXPECT_EQ(c.logprobs, scores(model_, *ops_, requests[i].prompt, c.ids, requests[i].sampling));
      for (const float x : c.logprobs) EXPECT_TRUE(x <= 0.0f && x > -30.0f);
    }
  }
}

TEST_F(EngineTest, SeesNewWeights) {
  const Request r = request(110, 20, 20);
  Engine engine(model_, *ops_, {});
  const auto before = engine.generate({&r, 1})[0];
  change_masters(model_, *ops_, [](std::span<float> masters) {
    for (float& w : masters) w *= 0.9f;
  });
  const auto after = engine.generate({&r, 1})[0];
  EXPECT_EQ(engine.stats().reused_tokens, 0);  // what was known was of other weights
  EXPECT_FALSE(same(before, after));
  EXPECT_TRUE(same(after, alone(r)));
}

TEST_F(EngineTest, OddOptions) {
  const Request r = request(120, 20, 20, 2);
  const std::vector<Completion> expected = alone(r);
  for (const int64_t size : {int64_t{-3}, int64_t{0}, int64_t{1}}) {
    EngineOptions options;
    options.max_sequences = options.max_batch_tokens = options.prefill_chunk = size;
    Engine engine(model_, *ops_, options);
    const int64_t id = engine.submit(r);
    run(engine, {id});
    EXPECT_TRUE(same(engine.take(id), expected));
  }
  EngineOptions none;
  none.max_context = 0;
  Engine engine(model_, *ops_, none);
  EXPECT_THROW(engine.submit(r), InputError);
  EXPECT_FALSE(engine.step());
}

// --- thinking budgets ---

std::string text_of(const Tokenizer& tokenizer, const Completion& c) {
  return tokenizer.decode(c.ids);
}

TEST_F(EngineTest, ThinkingIsCutAtItsBudget) {
  Request r = request(3, 5, 40, 8);
  r.thinking = {.max_tokens = 7, .waits = 0, .opened_by_prompt = true};
  int cut = 0;
  for (const Completion& c : alone(r)) {
    const std::string text = text_of(tokenizer_, c);
    if (c.forced.empty()) {  // closed by itself before that
      EXPECT_LT(c.thinking_tokens, 7);
      EXPECT_NE(text.find("</think>"), text.npos);
      continue;
    }
    ++cut;
    EXPECT_EQ(c.thinking_tokens, 7);
    EXPECT_EQ(c.forced[0], 7);
    const Ids close(c.ids.begin() + c.forced.front(), c.ids.begin() + c.forced.back() + 1);
    EXPECT_EQ(tokenizer_.decode(close), ThinkingBudget::kClose);
    EXPECT_EQ(c.ids.size(), 40u);
  }
  EXPECT_GT(cut, 4);
}

TEST_F(EngineTest, BudgetOfZeroAnswersAtOnce) {
  Request r = request(4, 5, 12);
  r.thinking = {.max_tokens = 0, .waits = 0, .opened_by_prompt = true};
  EXPECT_TRUE(text_of(tokenizer_, alone(r)[0]).starts_with(ThinkingBudget::kClose));
  r.thinking.opened_by_prompt = false;  // nothing thinks, so nothing is cut
  EXPECT_TRUE(alone(r)[0].forced.empty());
}

// What comes before the cut is what comes without a budget; and the whole depends on nothing else
// in the batch.
TEST_F(EngineTest, BudgetsKeepTheirPrefixAndAreTheSameInAnyBatch) {
  std::vector<Request> all;
  for (uint64_t i = 0; i < 6; ++i) {
    all.push_back(request(50 + i, 4 + static_cast<int64_t>(i), 30, 3));
    all.back().thinking = {.max_tokens = 4 * static_cast<int64_t>(i), .opened_by_prompt = true};
  }
  Engine engine(model_, *ops_, {}, &tokenizer_);
  const auto together = engine.generate(all);
  int forced = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(same(together[i], alone(all[i])));
    Request free = all[i];
    free.thinking = {};
    const auto without = alone(free);
    for (size_t k = 0; k < 3; ++k) {
      const size_t cut = 4 * i;
      EXPECT_TRUE(std::equal(without[k].ids.begin(),
                             without[k].ids.begin() + static_cast<std::ptrdiff_t>(cut),
                             together[i][k].ids.begin()));
      forced += together[i][k].forced.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(forced, 12);
}

TEST_F(EngineTest, WaitStandsInThePlaceOfTheEnd) {
  const int32_t end = tokenizer_.token_to_id("</think>").value();
  const Ids wait = tokenizer_.encode(ThinkingBudget::kWait);
  Request r = request(9, 5, 200, 16);
  r.sampling.temperature = 3.0;  // near uniform, so that </think> is drawn now and then
  Request free = r;
  r.thinking = {.max_tokens = -1, .waits = 2, .opened_by_prompt = true};
  const auto prolonged = alone(r), plain = alone(free);
  size_t waited = 0;
  for (size_t k = 0; k < prolonged.size(); ++k) {
    const Completion& c = prolonged[k];
    const auto first = std::find(plain[k].ids.begin(), plain[k].ids.end(), end);
    if (first == plain[k].ids.end()) {
      EXPECT_TRUE(same(c, plain[k]));
      continue;
    }
    ++waited;
    // Up to the end of the thinking all is the same; there stands the wait.
    const auto at = first - plain[k].ids.begin();
    EXPECT_TRUE(std::equal(plain[k].ids.begin(), first, c.ids.begin()));
    const size_t written = std::min(wait.size(), c.ids.size() - static_cast<size_t>(at));
    EXPECT_TRUE(std::equal(wait.begin(), wait.begin() + static_cast<std::ptrdiff_t>(written),
                           c.ids.begin() + at));
    ASSERT_GE(c.forced.size(), written);
    EXPECT_EQ(c.forced[0], at);
    EXPECT_LE(c.forced.size(), 2 * wait.size());
  }
  EXPECT_GT(waited, 2u);
}

TEST_F(EngineTest, BudgetsThatCannotBeKept) {
  Engine engine(model_, *ops_, {});
  Request r = request(1, 3, 4);
  r.thinking.max_tokens = 3;
  EXPECT_THROW(engine.submit(r), InputError);
}

}  // namespace
}  // namespace r1
