// What an engine tells while it works, and what becomes of it when something throws.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <stdexcept>

#include "backend/testing.h"
#include "engine/testing.h"

namespace r1 {
namespace {

TEST_F(EngineTest, CancelFromASink) {
  const Request r = request(83, 20, 40, 4), other = request(84, 20, 40, 2);
  const std::vector<Completion> whole = alone(r);
  EngineOptions options;
  options.kv_pages = 30;
  Engine engine(model_, *ops_, options);
  size_t events = 0;
  const int64_t stays = engine.submit(other);
  const int64_t victim = engine.submit(r, [&](const TokenEvent& e) {
    if (++events == 10) engine.cancel(e.request);
  });
  run(engine, {stays, victim});
  EXPECT_EQ(events, 10u);  // none after it
  size_t tokens = 0;
  const std::vector<Completion> cut = engine.take(victim);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(cut[i].reason, FinishReason::kCancelled);
    EXPECT_TRUE(std::equal(cut[i].ids.begin(), cut[i].ids.end(), whole[i].ids.begin()));
    tokens += cut[i].ids.size();
  }
  EXPECT_EQ(tokens, 10u);
  EXPECT_TRUE(same(engine.take(stays), alone(other)));
  EXPECT_TRUE(all_pages_are_free(engine, 30));
}

TEST_F(EngineTest, EventsAreTheCompletions) {
  std::vector<Request> requests = {request(90, 5, 20, 3), request(91, 30, 10, 2)};
  requests[0].stop_ids = {alone(requests[0])[1].ids[4]};
  Engine engine(model_, *ops_, {});
  std::map<std::pair<int64_t, int64_t>, Completion> seen;
  std::set<std::pair<int64_t, int64_t>> ended;
  const TokenSink sink = [&](const TokenEvent& e) {
    const std::pair<int64_t, int64_t> key{e.request, e.completion};
    EXPECT_FALSE(ended.contains(key));
    EXPECT_TRUE(e.text.empty());  // there is no tokenizer
    seen[key].ids.push_back(e.id);
    seen[key].logprobs.push_back(e.logprob);
    seen[key].reason = e.reason;
    if (e.last) ended.insert(key);
  };
  std::vector<int64_t> submitted;
  for (const Request& r : requests) submitted.push_back(engine.submit(r, sink));
  run(engine, submitted);
  std::vector<std::vector<Completion>> results;
  for (const int64_t id : submitted) results.push_back(engine.take(id));
  EXPECT_EQ(ended.size(), 5u);
  int64_t tokens = 0;
  for (const auto& [key, c] : seen) {
    const Completion& result =
        results[static_cast<size_t>(key.first)][static_cast<size_t>(key.second)];
    EXPECT_EQ(c.ids, result.ids);
    EXPECT_EQ(c.logprobs, result.logprobs);
    EXPECT_EQ(c.reason, result.reason);
    tokens += static_cast<int64_t>(c.ids.size());
  }
  EXPECT_EQ(engine.stats().new_tokens, tokens);
  EXPECT_EQ(engine.stats().prompt_tokens, 35);  // once a group
}

// --- text ---

TEST_F(EngineTest, EventsAndCompletionsCarryText) {
  Request r = request(230, 5, 60, 4);
  r.stop = {"7", "(1"};
  r.thinking = {.max_tokens = 9, .opened_by_prompt = true};
  Engine engine(model_, *ops_, {}, &tokenizer_);
  std::map<int64_t, std::string> thinking, answer;
  const int64_t id = engine.submit(r, [&](const TokenEvent& e) {
    for (const ThinkPiece& p : e.text) {
      (p.part == TextPart::kThinking ? thinking : answer)[e.completion] += p.text;
    }
  });
  run(engine, {id});
  const std::vector<Completion> with_sink = engine.take(id), without = alone(r);
  int stopped = 0;
  for (size_t i = 0; i < 4; ++i) {
    const Completion& c = with_sink[i];
    EXPECT_TRUE(same(c, without[i]));
    EXPECT_EQ(c.text, without[i].text);
    EXPECT_EQ(c.parts().thinking, thinking[static_cast<int64_t>(i)]);
    EXPECT_EQ(c.parts().answer, answer[static_cast<int64_t>(i)]);
    const std::string whole = tokenizer_.decode(c.ids, true);
    if (c.reason == FinishReason::kStop) {
      ++stopped;
      const size_t cut = std::min(whole.find("7"), whole.find("(1"));
      EXPECT_EQ(c.text, whole.substr(0, cut));
    } else {
      EXPECT_EQ(c.text, whole);
    }
  }
  EXPECT_GT(stopped, 1);
  r.stop.clear();
  r.thinking = {};
  const Completion plain = alone(r)[0];
  EXPECT_EQ(plain.text, tokenizer_.decode(plain.ids, true));
}

// --- what goes wrong ---

TEST_F(EngineTest, AnExceptionInAStepLeavesTheEngineUsable) {
  ThrowingOps ops(pool_, *cpu::portable_kernels());
  const Model model = make_model(ops);
  const std::vector<Request> requests = {request(240, 20, 30, 3), request(241, 40, 30),
                                         request(242, 20, 30, 2)};
  std::vector<std::vector<Completion>> expected;
  for (const Request& r : requests) {
    expected.push_back(Engine(model, ops, {}).generate({&r, 1})[0]);
  }
  for (int64_t at = 0; at < 60; at += 7) {
    EngineOptions options;
    options.kv_pages = 16;
    options.max_sequences = 4;  // the third request waits
    options.prefill_chunk = 11;
    Engine engine(model, ops, options);
    std::map<int64_t, int> errors;
    std::vector<int64_t> ids;
    for (const Request& r : requests) {
      ids.push_back(engine.submit(r, [&](const TokenEvent& e) {
        if (e.reason == FinishReason::kError && e.last) ++errors[e.request];
      }));
    }
    ops.countdown = at;
    EXPECT_THROW(while (engine.step()){}, JobError);
    EXPECT_EQ(ops.countdown, -1);
    EXPECT_TRUE(engine.done(ids[0]));  // it ran
    run(engine, ids);
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto got = engine.take(ids[i]);
      if (got[0].reason != FinishReason::kError) {
        EXPECT_TRUE(same(got, expected[i])) << at << " " << i;
        EXPECT_EQ(errors[ids[i]], 0);
        continue;
      }
      EXPECT_EQ(errors[ids[i]], requests[i].n);
      for (size_t k = 0; k < got.size(); ++k) {
        EXPECT_EQ(got[k].reason, FinishReason::kError);
        EXPECT_EQ(got[k].error, "planted");
        EXPECT_TRUE(std::equal(got[k].ids.begin(), got[k].ids.end(), expected[i][k].ids.begin()));
      }
    }
    EXPECT_TRUE(all_pages_are_free(engine, 16)) << at;
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_TRUE(same(engine.generate({&requests[i], 1})[0], expected[i]));
    }
    ops.countdown = at;
    EXPECT_THROW(engine.generate(requests), JobError);
    EXPECT_FALSE(engine.step());  // nothing of it is left
  }
}

TEST_F(EngineTest, ASinkThatThrowsEndsItsRequestAlone) {
  const Request r = request(250, 20, 30, 3), other = request(251, 20, 30, 2);
  Engine engine(model_, *ops_, {});
  int events = 0;
  const int64_t bad = engine.submit(r, [&](const TokenEvent&) {
    if (++events == 10) throw std::runtime_error("the listener is gone");
  });
  const int64_t good = engine.submit(other);
  run(engine, {bad, good});
  EXPECT_EQ(events, 10);
  EXPECT_TRUE(same(engine.take(good), alone(other)));
  for (const Completion& c : engine.take(bad)) {
    EXPECT_EQ(c.reason, FinishReason::kError);
    EXPECT_EQ(c.error, "the listener is gone");
  }
  EXPECT_EQ(engine.available_pages(), engine.pages());
}

}  // namespace
}  // namespace r1
