#include "bench/model_bench.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "model/decoder.h"
#include "model/token_scores.h"
#include "text/number_tokenizer.h"
#include "train/trainer.h"

namespace r1 {
namespace {

template <class F>
double seconds_of(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// One sequence's passes.
class Runner {
 public:
  Runner(const Model& model, Ops& ops, int64_t positions)
      : model_(model),
        ops_(ops),
        kv_(model.config(), model.config().num_hidden_layers, pages_for(positions)),
        pages_(static_cast<size_t>(pages_for(positions))),
        hidden_(Buffer::of_floats(model.config().hidden_size)),
        logits_(Buffer::of_floats(model.config().vocab_size)) {
    std::iota(pages_.begin(), pages_.end(), 0);
  }

  // `count` tokens at `position`, and the last one's logits.
  void run(int64_t position, int64_t count) {
    const ModelConfig& c = model_.config();
    Batch batch;
    batch.add(any_tokens(position, count, c.vocab_size), position, pages_.data(), 0);
    batch.outputs = {static_cast<int32_t>(count - 1)};
    const Tensor hidden(hidden_.floats(), 1, c.hidden_size);
    forward(model_, batch, kv_, ops_, memory_, hidden);
    compute_logits(model_, hidden, ops_, {logits_.floats(), 1, c.vocab_size});
  }

  // Random keys and values at positions [0, count): what they are makes no difference to the time.
  void fill(int64_t count) {
    constexpr int64_t kRows = 512;
    const KvLayer shape = model_.config().kv_shape();
    const int64_t width = shape.kv_heads * shape.key_dim;
    Buffer floats = Buffer::of_floats(kRows * width);
    const Tensor rows(floats.floats(), kRows, width);
    Rng rng(1);
    for (int64_t i = 0; i < kRows * width; ++i) rows.data[i] = static_cast<float>(rng.normal());
    for (int64_t layer = 0; layer < model_.config().num_hidden_layers; ++layer) {
      for (int64_t at = 0; at < count; at += kRows) {
        const Sequence s = {
            .count = std::min(kRows, count - at), .position = at, .pages = pages_.data()};
        ops_.kv_append(rows, rows, {&s, 1}, kv_.layer(layer));
      }
    }
  }

 private:
  const Model& model_;
  Ops& ops_;
  KvCache kv_;
  std::vector<int32_t> pages_;
  Buffer hidden_, logits_;
  Activations memory_{Activations::Keep::kNothing};
};

ModelTime time_of(const char* test, double seconds, const PassCost& cost) {
  return {.test = test,
          .tokens = cost.rows,
          .seconds = seconds,
          .flops = cost.flops + cost.attention_flops,
          .bytes = cost.bytes(),
          .cost = cost};
}

// Rewards whose half is right, whatever the model writes: every group is trained on.
class EverySecondIsRight : public Task {
 public:
  std::string name() const override { return "every-second-is-right"; }
  std::string description() const override { return name(); }
  std::vector<Knob> knobs() const override { return {}; }
  Problem sample(Rng&, Split) const override { return {}; }
  Verdict verify(const Problem&, std::string_view) const override {
    right_ = !right_;
    return {.reward = right_ ? 1.0 : 0.0, .reason = "", .parsed = true};
  }

 private:
  mutable bool right_ = false;
};

}  // namespace

std::vector<int32_t> any_tokens(int64_t first, int64_t count, int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>((first + i) * 7919 % vocab_size));
  }
  return ids;
}

SequenceBatch any_sequences(int64_t tokens, int64_t length, int64_t vocab_size) {
  SequenceBatch batch;
  for (int64_t at = 0; at < tokens; at += length) {
    batch.add({{}, {any_tokens(at, std::min(length, tokens - at), vocab_size)}, {}}, 0, 1);
  }
  return batch;
}

ModelTime time_prefill(const Model& model, Ops& ops, int64_t tokens) {
  Runner runner(model, ops, tokens);
  std::vector<double> seconds;
  for (int i = 0; i < 4; ++i) seconds.push_back(seconds_of([&] { runner.run(0, tokens); }));
  seconds.erase(seconds.begin());
  return time_of("prefill", median(seconds),
                 prefill_cost(model.config(), static_cast<double>(model.token_bytes()), tokens));
}

ModelTime time_decode(const Model& model, Ops& ops, int64_t tokens, int64_t depth) {
  Runner runner(model, ops, depth + tokens + 1);
  runner.fill(depth);
  runner.run(depth, 1);
  std::vector<double> seconds;
  for (int64_t i = 1; i <= tokens; ++i) {
    seconds.push_back(seconds_of([&] { runner.run(depth + i, 1); }));
  }
  const double context = static_cast<double>(depth) + static_cast<double>(tokens) / 2;
  return time_of("decode", median(seconds),
                 decode_cost(model.config(), static_cast<double>(model.token_bytes()), context));
}

ModelTime time_group(const Model& model, Ops& ops, int64_t n, int64_t prompt, int64_t tokens,
                     const SamplingParams& sampling) {
  const ModelConfig& c = model.config();
  EngineOptions options;
  options.max_sequences = n;
  options.max_batch_tokens = std::max(n, prompt);
  options.max_context = prompt + tokens;
  Engine engine(model, ops, options);
  Request request;
  request.prompt = any_tokens(0, prompt, c.vocab_size);
  request.max_new_tokens = tokens;
  request.n = n;
  request.sampling = sampling;
  engine.submit(std::move(request));
  // The prompt, and the first two tokens to warm up.
  while (engine.stats().new_tokens < 2 * n && engine.step()) {
  }
  std::vector<double> seconds;
  for (bool more = true; more;) {
    const double s = seconds_of([&] { more = engine.step(); });
    if (more) seconds.push_back(s);
  }
  return time_of("group", median(seconds),
                 group_cost(c, static_cast<double>(model.token_bytes()), n,
                            static_cast<double>(prompt), static_cast<double>(tokens) / 2));
}

ModelTime time_training(Model& model, Ops& ops, int64_t tokens, int64_t length) {
  const ModelConfig& c = model.config();
  const SequenceBatch batch = any_sequences(tokens, length, c.vocab_size);
  Trainer trainer(model, ops, {}, false);
  const std::vector<float> dlogprob(batch.targets().size(),
                                    -1.0f / static_cast<float>(batch.targets().size()));
  const auto step = [&] {
    trainer.accumulate(batch, {}, dlogprob);
    trainer.apply(1e-5);
  };
  step();
  std::vector<double> seconds;
  for (int i = 0; i < 3; ++i) seconds.push_back(seconds_of(step));
  return {.test = "train",
          .tokens = tokens,
          .seconds = median(seconds),
          .flops = 3 * static_cast<double>(tokens) * c.forward_flops(0),
          .bytes = 0,
          .cost = training_cost(c, model.dtype(), tokens, length, false)};
}

GrpoTime time_grpo(Model& model, Ops& ops, const GrpoSize& size) {
  const ModelConfig& c = model.config();
  R1_CHECK(c.eos_token_ids.empty());
  GrpoConfig config;
  config.prompts_per_step = size.prompts_per_step;
  config.num_generations = size.num_generations;
  config.max_completion_length = size.max_completion_length;
  EngineOptions options;
  options.max_context = size.prompt_length + size.max_completion_length;
  Engine engine(model, ops, options);
  Trainer trainer(model, ops, config.optimizer, config.gradient_checkpointing);
  const Tokenizer tokenizer = Tokenizer::parse(number_tokenizer_json(), "number tokenizer");
  const EverySecondIsRight task;
  Grpo grpo(trainer, ops, engine, tokenizer, task, config, 1);
  int64_t prompts = 0;
  grpo.set_prompts([&](const Problem&) {
    return TaskPrompt{any_tokens(prompts++ * size.prompt_length, size.prompt_length, c.vocab_size)};
  });

  GrpoTime out;
  std::vector<double> all, sampling, training;
  for (int64_t i = 0; i < 4; ++i) {
    double sampled = 0;  // seconds until the last batch of the engine is graded
    const auto start = std::chrono::steady_clock::now();
    const auto now = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    out.last = grpo.step(i, [&](int64_t) { sampled = now(); });
    const double seconds = now();
    if (i == 0) continue;
    all.push_back(seconds);
    sampling.push_back(sampled);
    training.push_back(seconds - sampled);
  }
  const int64_t tokens = out.last.tokens_sampled;
  const double length = static_cast<double>(size.max_completion_length);
  const double prompt = static_cast<double>(size.prompt_length);
  const double groups = static_cast<double>(size.prompts_per_step);
  const double forward = groups * prompt * flops_without_head(c, prompt / 2) +
                         static_cast<double>(tokens) * c.forward_flops(prompt + length / 2);
  // Each position's weights, and each group's keys and values so far.
  const double own = static_cast<double>(size.num_generations) * length / 2;
  const double bytes =
      length * (static_cast<double>(model.token_bytes()) + groups * kv_bytes(c, prompt + own));
  out.step = {"grpo", tokens, median(all), 4 * forward, bytes};
  out.sampling = {"sampling", tokens, median(sampling), forward, bytes};
  out.training = {"training", tokens, median(training), 3 * forward, 0};
  return out;
}

}  // namespace r1
