#include "engine/engine_host.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>

#include "backend/backend.h"
#include "base/error.h"
#include "base/rng.h"

namespace r1 {
namespace {

class EngineHostTest : public testing::Test {
 protected:
  static Model make_model(Ops& ops) {
    ModelConfig c;
    c.architecture = "LlamaForCausalLM";
    c.hidden_size = 16;
    c.num_hidden_layers = 1;
    c.num_attention_heads = c.num_key_value_heads = 1;
    c.head_dim = 16;
    c.intermediate_size = 16;
    c.vocab_size = 64;
    c.max_position_embeddings = 128;
    return Model::create(c, 3, ops, DType::kF32);
  }
  static Request request(uint64_t seed) {
    Rng rng(seed);
    Request r;
    for (uint64_t i = 0; i < 3 + seed % 20; ++i) {
      r.prompt.push_back(static_cast<int32_t>(i < 18 ? i : rng.below(64)));
    }
    r.seed = seed;
    r.n = 1 + static_cast<int64_t>(seed % 3);
    r.max_new_tokens = 4 + static_cast<int64_t>(seed % 9);
    return r;
  }
  std::unique_ptr<Engine> engine(int64_t pages = 0) {
    EngineOptions options;
    options.kv_pages = pages;
    options.max_sequences = 12;
    return std::make_unique<Engine>(model_, *ops_, options);
  }
  // A request that goes on for a while.
  static Request endless() {
    Request r;
    r.prompt = {1, 2, 3};
    r.max_new_tokens = 120;
    return r;
  }

  ThreadPool pool_{1};
  std::unique_ptr<Ops> ops_ = make_ops(pool_);
  Model model_ = make_model(*ops_);
};

bool same(const std::vector<Completion>& a, const std::vector<Completion>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.ids == y.ids && x.reason == y.reason &&
           std::memcmp(x.logprobs.data(), y.logprobs.data(), x.logprobs.size() * 4) == 0;
  });
}

TEST_F(EngineHostTest, ManyThreadsGetWhatALoneEngineGives) {
  constexpr uint64_t kThreads = 64, kRequests = 4;
  std::vector<std::vector<Completion>> expected;
  for (uint64_t i = 0; i < kThreads * kRequests; ++i) {
    const Request r = request(i);
    expected.push_back(engine()->generate({&r, 1})[0]);
  }
  std::vector<std::vector<Completion>> got(expected.size());
  std::atomic<int64_t> events = 0, cancelled = 0;
  {
    EngineHost host(engine(30));
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (uint64_t k = 0; k < kRequests; ++k) {
          const uint64_t i = t * kRequests + k;
          auto ticket = host.submit(request(i), [&](const TokenEvent&) { ++events; });
          EngineHost::Ticket other = host.submit(endless());
          host.cancel(other.request);
          got[i] = ticket.completions.get();
          cancelled += other.completions.get()[0].reason == FinishReason::kCancelled ? 1 : 0;
          host.cancel(ticket.request);  // too late: nothing
          EXPECT_GE(host.stats().new_tokens, 0);
        }
      });
    }
    for (std::thread& t : threads) t.join();
  }
  int64_t tokens = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(same(got[i], expected[i])) << i;
    for (const Completion& c : expected[i]) tokens += std::ssize(c.ids);
  }
  EXPECT_EQ(events, tokens);
  EXPECT_GT(cancelled, 0);
}

TEST_F(EngineHostTest, EventsHaveTheTicketsNumberAndSinksMayUseTheHost) {
  EngineHost host(engine());
  host.submit(endless()).completions.get();
  std::atomic<int64_t> told = -1;
  std::atomic<int> events = 0;
  std::promise<EngineHost::Ticket> second;
  EngineHost::Ticket first = host.submit(endless(), [&](const TokenEvent& e) {
    told = e.request;
    if (++events != 5) return;
    second.set_value(host.submit(request(1)));
    host.cancel(e.request);
  });
  EXPECT_EQ(first.completions.get()[0].reason, FinishReason::kCancelled);
  EXPECT_EQ(told, first.request);
  EXPECT_LT(events, 120);
  const Request r = request(1);
  EXPECT_TRUE(same(second.get_future().get().completions.get(), engine()->generate({&r, 1})[0]));
}

TEST_F(EngineHostTest, RefusalsAndErrorsComeWithTheFuture) {
  EngineHost host(engine());
  Request bad = request(1);
  bad.prompt[0] = 64;
  EXPECT_THROW(host.submit(bad).completions.get(), InputError);
  EXPECT_EQ(host.submit(request(2), [](const TokenEvent&) { throw JobError("no ear"); })
                .completions.get()[0]
                .error,
            "no ear");
  EXPECT_EQ(host.submit(request(2)).completions.get()[0].reason, FinishReason::kLength);
}

TEST_F(EngineHostTest, ShutdownEndsAllRequests) {
  EngineHost host(engine());
  std::vector<EngineHost::Ticket> tickets;
  for (int i = 0; i < 100; ++i) tickets.push_back(host.submit(endless()));
  std::thread other([&] { host.shutdown(); });
  host.shutdown();
  other.join();
  int64_t cancelled = 0;
  for (EngineHost::Ticket& t : tickets) {
    const auto completions = t.completions.get();
    cancelled += completions[0].reason == FinishReason::kCancelled ? 1 : 0;
  }
  EXPECT_GT(cancelled, 50);
  EXPECT_THROW(host.submit(endless()), JobError);
  host.cancel(0);
}

}  // namespace
}  // namespace r1
