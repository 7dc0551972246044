// For tests only: a small model, requests to an engine, and what else the engine's tests share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "model/testing.h"
#include "model/token_scores.h"
#include "text/number_tokenizer.h"

namespace r1 {

using Ids = std::vector<int32_t>;

inline constexpr int64_t kVocab = 496;  // the number tokenizer's

// Its weights are larger than initialization makes them, so that what a token sees matters.
inline Model make_model(Ops& ops, KvType cache = KvType::kF32) {
  ModelConfig c;
  c.kv_cache_dtype = cache;
  c.architecture = "Qwen3ForCausalLM";
  c.hidden_size = 24;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 8;
  c.intermediate_size = 32;
  c.vocab_size = kVocab;
  c.max_position_embeddings = 512;
  c.tie_word_embeddings = true;
  c.qk_norm = true;
  Model m = Model::create(c, 7, ops, DType::kF32);
  Rng rng(8);
  change_masters(m, ops, [&](std::span<float> masters) {
    for (float& w : masters) w += static_cast<float>(0.2 * rng.normal());
  });
  return m;
}

inline std::vector<int32_t> random_tokens(uint64_t seed, int64_t count) {
  Rng rng(seed);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(rng.below(kVocab)));
  return ids;
}

inline Request request(uint64_t seed, int64_t prompt, int64_t max_new_tokens, int64_t n = 1) {
  Request r;
  r.prompt = random_tokens(1000 + seed, prompt);
  r.max_new_tokens = max_new_tokens;
  r.seed = seed;
  r.n = n;
  return r;
}

inline bool same(const Completion& a, const Completion& b) {
  return a.ids == b.ids && a.reason == b.reason && a.logprobs.size() == b.logprobs.size() &&
         std::memcmp(a.logprobs.data(), b.logprobs.data(), a.logprobs.size() * 4) == 0;
}

inline bool same(const std::vector<Completion>& a, const std::vector<Completion>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return same(x, y); });
}

// Log-probabilities of `ids` after `prompt`, in one pass over the whole sequence, as the trainer
// scores.
inline std::vector<float> scores(const Model& model, Ops& ops, const std::vector<int32_t>& prompt,
                                 const std::vector<int32_t>& ids, const SamplingParams& sampling) {
  std::vector<int32_t> inputs = prompt;
  inputs.insert(inputs.end(), ids.begin(), ids.end() - 1);
  const int64_t rows = static_cast<int64_t>(inputs.size());
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < pages_for(rows); ++i) pages.push_back(i);
  Batch batch;
  batch.add(inputs, 0, pages.data(), 0);
  for (size_t i = prompt.size() - 1; i < inputs.size(); ++i) {
    batch.outputs.push_back(static_cast<int32_t>(i));
  }
  KvCache kv(model.config(), model.config().num_hidden_layers, pages_for(rows), ops.memory());
  Activations memory(Activations::Keep::kNothing, ops.memory());
  const int64_t count = static_cast<int64_t>(ids.size()), width = model.config().hidden_size;
  Buffer hidden = Buffer::of_floats(count * width, ops.memory());
  forward(model, batch, kv, ops, memory, {hidden.floats(), count, width});
  std::vector<float> logprob(ids.size());
  score_tokens(model, {hidden.floats(), count, width}, ids, sampling, ops, logprob.data(), nullptr);
  return logprob;
}

class EngineTest : public testing::Test {
 protected:
  std::vector<Completion> alone(const Request& r) {
    Engine engine(model_, *ops_, {}, &tokenizer_);
    return engine.generate({&r, 1})[0];
  }
  // Whether no page is lost: nobody uses one, and a request that needs all of them starts.
  bool all_pages_are_free(Engine& engine, int64_t pages) {
    EXPECT_LE(kPageSize * pages, model_.max_positions());
    EXPECT_EQ(engine.pages(), pages);
    if (engine.available_pages() != pages) return false;
    const int64_t id = engine.submit(request(1, 1, kPageSize * pages - 1));
    const int64_t before = engine.stats().new_tokens;
    for (int i = 0; i < 3; ++i) engine.step();
    engine.cancel(id);
    return engine.take(id)[0].ids.size() > 0 && engine.stats().new_tokens > before;
  }
  // Runs to the end: everything submitted is done.
  void run(Engine& engine, const std::vector<int64_t>& ids) {
    while (engine.step()) {
    }
    for (const int64_t id : ids) ASSERT_TRUE(engine.done(id)) << id;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Ops> ops_ = make_ops(pool_);
  Model model_ = make_model(*ops_);
  Tokenizer tokenizer_ = Tokenizer::parse(number_tokenizer_json(), "numbers");
};

}  // namespace r1
