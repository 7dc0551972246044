#include "engine/engine.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/rng.h"
#include "model/token_scores.h"
#include "text/tokenizer.h"

namespace r1 {

// A request: its prompt, and the completions not yet launched.
struct Engine::Group {
  int64_t id = 0;
  Request request;
  std::vector<int32_t> pages;  // of the prompt
  int64_t prefilled = 0;       // tokens of the prompt whose keys are written
  bool admitted = false, cancelled = false;
  std::vector<float> hidden;  // of the prompt's last token, once prefilled
  int64_t launched = 0, finished = 0;
  std::vector<Completion> completions;

  int64_t prompt_size() const { return static_cast<int64_t>(request.prompt.size()); }
  bool prefill_done() const { return prefilled == prompt_size(); }
  bool done() const { return finished == request.n; }
};

// A completion that is being written.
struct Engine::Running {
  Group* group = nullptr;
  int64_t index = 0;  // which completion of the group
  uint64_t seed = 0;
  std::vector<int32_t> pages;
  int64_t position = 0;  // keys written so far
  int64_t promised = 0;  // pages it may still take
  bool finished = false;
  std::unique_ptr<StreamDecoder> decoder;  // where there are stop strings or a thinking budget
  std::unique_ptr<BudgetForcing> forcing;  // where there is a thinking budget
  std::string tail;  // the end of its text, as long as a stop string can reach

  Completion& completion() const { return group->completions[static_cast<size_t>(index)]; }
};

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

namespace {

int64_t cache_pages(const ModelConfig& config, const EngineOptions& options) {
  if (options.kv_pages > 0) return options.kv_pages;
  const int64_t wanted = options.max_sequences * (pages_for(options.max_context) + 1);
  const int64_t affordable =
      options.kv_bytes / KvCache::page_bytes(config, config.num_hidden_layers);
  return std::max<int64_t>(1, std::min(wanted, affordable));
}

// Completions of one request at most: more is a slip, and would cost memory before it ran.
constexpr int64_t kMaxCompletions = 1 << 16;

EngineOptions checked(EngineOptions o, const Model& model) {
  o.max_sequences = std::max<int64_t>(1, o.max_sequences);
  o.max_context = std::min(o.max_context, model.max_positions());
  o.max_batch_tokens = std::max(o.max_batch_tokens, o.max_sequences + 1);
  o.prefill_chunk = std::max<int64_t>(1, o.prefill_chunk);
  return o;
}

}  // namespace

Engine::Engine(const Model& model, Ops& ops, const EngineOptions& options,
               const Tokenizer* tokenizer)
    : model_(model),
      ops_(ops),
      options_(checked(options, model)),
      tokenizer_(tokenizer),
      kv_(model.config(), model.config().num_hidden_layers, cache_pages(model.config(), options_)),
      pool_(kv_.pages()) {
  hidden_ = Buffer::of_floats((options_.max_batch_tokens + options_.max_sequences) *
                              model.config().hidden_size);
  logits_ = Buffer::of_floats(kLogitRows * model.config().vocab_size);
}

Engine::~Engine() = default;

int64_t Engine::kv_cache_bytes() const {
  return kv_.pages() * KvCache::page_bytes(model_.config(), model_.config().num_hidden_layers);
}

// A completion's own pages: everything after the prompt's full pages.
int64_t Engine::pages_of_completion(const Group& g) const {
  return pages_for(g.prompt_size() + g.request.max_new_tokens) - g.prompt_size() / kPageSize;
}

int64_t Engine::submit(Request request) {
  request.sampling.check();
  const int64_t prompt = static_cast<int64_t>(request.prompt.size());
  if (prompt == 0) throw InputError("the prompt is empty: a model needs at least one token");
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= model_.config().vocab_size) {
      throw InputError("token id " + std::to_string(id) + " is outside the model's vocabulary of " +
                       std::to_string(model_.config().vocab_size));
    }
  }
  if (request.n < 1 || request.n > kMaxCompletions) {
    throw InputError("n must be from 1 to " + std::to_string(kMaxCompletions) + ", not " +
                     std::to_string(request.n));
  }
  if (request.max_new_tokens < 1) {
    throw InputError("max_new_tokens must be 1 or more, not " +
                     std::to_string(request.max_new_tokens));
  }
  if (prompt >= options_.max_context) {
    throw InputError("the prompt has " + std::to_string(prompt) + " tokens and the context " +
                     std::to_string(options_.max_context));
  }
  if (!request.stop.empty() && !tokenizer_) {
    throw InputError("stop strings need a tokenizer");
  }
  if (request.thinking.active()) {
    if (!tokenizer_) throw InputError("a thinking budget needs a tokenizer");
    BudgetForcing(request.thinking, *tokenizer_, model_.config().vocab_size);  // refuses bad ones
  }
  request.max_new_tokens = std::min(request.max_new_tokens, options_.max_context - prompt);
  auto group = std::make_unique<Group>();
  group->id = next_request_++;
  group->completions.resize(static_cast<size_t>(request.n));
  group->request = std::move(request);
  const int64_t pages = pages_for(prompt) + pages_of_completion(*group);
  if (pages > pool_.pages()) {
    throw InputError("a sequence of " + std::to_string(prompt + group->request.max_new_tokens) +
                     " tokens needs " + std::to_string(pages) +
                     " pages of the KV cache, which has " + std::to_string(pool_.pages()));
  }
  groups_.push_back(std::move(group));
  return groups_.back()->id;
}

void Engine::cancel(int64_t request) {
  for (auto& g : groups_) {
    if (g->id != request || g->done()) continue;
    g->cancelled = true;
    for (auto& s : running_) {
      if (s->group != g.get() || s->finished) continue;
      s->finished = true;
      s->completion().reason = FinishReason::kCancelled;
    }
    for (int64_t i = g->launched; i < g->request.n; ++i) {
      g->completions[static_cast<size_t>(i)].reason = FinishReason::kCancelled;
    }
    g->finished += g->request.n - g->launched;
    g->launched = g->request.n;
    if (!sampling_) remove_finished();  // from on_token: the step still holds the running ones
    if (g->done()) {
      for (const int32_t page : g->pages) pool_.release(page);
      g->pages.clear();
    }
  }
}

// Gives waiting prompts their pages, in order. A prompt is admitted only if one of its completions
// fits too, so that admitted work always ends: the last one admitted can run whatever the others
// hold. It leaves room for a completion of each before it, so that nobody is overtaken for long.
void Engine::admit() {
  int64_t reserved = 0;
  for (auto& g : groups_) {
    if (g->launched == g->request.n) continue;
    const int64_t completion = pages_of_completion(*g);
    if (g->admitted) {
      reserved += completion;
      continue;
    }
    const int64_t prompt_pages = pages_for(g->prompt_size());
    if (pool_.free_pages() - promised_ - reserved < prompt_pages + completion) return;
    reserved += completion;
    g->admitted = true;
    for (int64_t i = 0; i < prompt_pages; ++i) g->pages.push_back(pool_.take());
  }
}

// Starts completions of prefilled prompts: shares the prompt's full pages, copies the last one.
void Engine::launch() {
  for (auto& g : groups_) {
    if (!g->admitted || !g->prefill_done()) continue;
    while (g->launched < g->request.n) {
      if (static_cast<int64_t>(running_.size()) >= options_.max_sequences) return;
      const int64_t own = pages_of_completion(*g);
      if (pool_.free_pages() - promised_ < own) break;  // a later one may need less
      auto s = std::make_unique<Running>();
      s->group = g.get();
      s->index = g->launched++;
      s->seed = mix_seed(g->request.seed, static_cast<uint64_t>(s->index));
      s->position = g->prompt_size();
      s->promised = own;
      promised_ += own;
      const size_t full = static_cast<size_t>(g->prompt_size() / kPageSize);
      s->pages.assign(g->pages.begin(), g->pages.begin() + static_cast<int64_t>(full));
      for (const int32_t page : s->pages) pool_.share(page);
      if (const int64_t rest = g->prompt_size() % kPageSize; rest > 0) {
        s->pages.push_back(pool_.take());
        --s->promised;
        --promised_;
        batch_.copies.push_back({g->pages[full], s->pages.back(), static_cast<int32_t>(rest)});
      }
      if (g->request.thinking.active()) {
        s->forcing = std::make_unique<BudgetForcing>(g->request.thinking, *tokenizer_,
                                                     model_.config().vocab_size);
      }
      if (!g->request.stop.empty() || s->forcing) {
        s->decoder = std::make_unique<StreamDecoder>(*tokenizer_, false);
      }
      std::memcpy(
          hidden_.floats() + static_cast<int64_t>(sampled_.size()) * model_.config().hidden_size,
          g->hidden.data(), g->hidden.size() * sizeof(float));
      sampled_.push_back(s.get());
      running_.push_back(std::move(s));
    }
  }
}

// A row for each running sequence's last token, then chunks of prompts.
void Engine::build_batch() {
  for (auto& s : running_) {
    if (s->completion().ids.empty()) continue;  // launched in this step
    if (s->position % kPageSize == 0) {
      s->pages.push_back(pool_.take());
      --s->promised;
      --promised_;
    }
    const int32_t id = s->completion().ids.back();
    batch_.outputs.push_back(
        static_cast<int32_t>(batch_.add({&id, 1}, s->position, s->pages.data(), 0)));
    ++s->position;
    sampled_.push_back(s.get());
  }
  for (auto& g : groups_) {
    if (!g->admitted || g->prefill_done() || g->cancelled) continue;
    const int64_t room = options_.max_batch_tokens - batch_.rows();
    const int64_t count = std::min({room, options_.prefill_chunk, g->prompt_size() - g->prefilled});
    if (count <= 0) return;
    const std::span<const int32_t> chunk =
        std::span<const int32_t>(g->request.prompt)
            .subspan(static_cast<size_t>(g->prefilled), static_cast<size_t>(count));
    const int64_t row = batch_.add(chunk, g->prefilled, g->pages.data(), 0);
    g->prefilled += count;
    stats_.prompt_tokens += count;
    if (g->prefill_done()) {
      batch_.outputs.push_back(static_cast<int32_t>(row + count - 1));
      prefilled_.push_back(g.get());
    }
  }
}

bool Engine::step() {
  const int64_t width = model_.config().hidden_size;
  sampled_.clear();
  prefilled_.clear();
  admit();
  launch();
  const int64_t fresh = static_cast<int64_t>(sampled_.size());
  build_batch();
  if (batch_.rows() == 0 && fresh == 0) return false;
  if (batch_.rows() > 0) {
    const int64_t outputs = static_cast<int64_t>(batch_.outputs.size());
    const Tensor hidden(hidden_.floats() + fresh * width, outputs, width);
    forward(model_, batch_, kv_, ops_, activations_, hidden);
    // Outputs are the decoding rows, then the last rows of the prompts that are now complete.
    int64_t row = outputs - static_cast<int64_t>(prefilled_.size());
    for (Group* g : prefilled_) {
      g->hidden.assign(hidden.row(row), hidden.row(row) + width);
      ++row;
    }
  } else {
    // Before anything can finish and hand its page to another.
    for (int64_t i = 0; i < model_.config().num_hidden_layers; ++i) {
      ops_.kv_copy(batch_.copies, kv_.layer(i));
    }
  }
  batch_.clear();
  ++stats_.steps;
  sampling_ = true;
  sample_tokens();
  sampling_ = false;
  remove_finished();
  return true;
}

void Engine::sample_tokens() {
  const int64_t vocab = model_.config().vocab_size, width = model_.config().hidden_size;
  const int64_t total = static_cast<int64_t>(sampled_.size());
  std::vector<int32_t> ids(static_cast<size_t>(kLogitRows));
  std::vector<float> uniform(ids.size()), logprob(ids.size()), max(ids.size()), sum(ids.size());
  for (int64_t row = 0; row < total; row += kLogitRows) {
    const int64_t count = std::min(kLogitRows, total - row);
    const Tensor logits(logits_.floats(), count, vocab);
    compute_logits(model_, {hidden_.floats() + row * width, count, width}, ops_, logits);
    for (int64_t i = 0; i < count; ++i) {
      const Running& s = *sampled_[static_cast<size_t>(row + i)];
      shape_logits(s.group->request.sampling, logits.row(i), vocab);
      const auto draw = philox(s.seed, 0, s.completion().ids.size());
      uniform[static_cast<size_t>(i)] = static_cast<float>(draw[0] >> 8) * 0x1p-24f;
    }
    ops_.sample(logits, uniform.data(), ids.data());
    for (int64_t i = 0; i < count; ++i) {
      Running& s = *sampled_[static_cast<size_t>(row + i)];
      int32_t& id = ids[static_cast<size_t>(i)];
      if (s.forcing && !s.finished) id = s.forcing->replace(id);
    }
    ops_.log_softmax(logits, {ids.data(), static_cast<size_t>(count)}, logprob.data(), max.data(),
                     sum.data(), nullptr);
    for (int64_t i = 0; i < count; ++i) {
      Running& s = *sampled_[static_cast<size_t>(row + i)];
      if (s.finished) continue;  // cancelled by on_token a moment ago
      accept(s, ids[static_cast<size_t>(i)], logprob[static_cast<size_t>(i)]);
    }
  }
}

void Engine::accept(Running& s, int32_t id, float logprob) {
  const Request& request = s.group->request;
  Completion& c = s.completion();
  c.ids.push_back(id);
  c.logprobs.push_back(logprob);
  ++stats_.new_tokens;
  const std::string text = s.decoder ? s.decoder->push(id) : "";
  if (s.forcing) {
    if (s.forcing->forced()) c.forced.push_back(static_cast<int64_t>(c.ids.size()) - 1);
    s.forcing->push(text);
    c.thinking_tokens = s.forcing->thinking_tokens();
  }
  const bool stop =
      std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end() ||
      stop_string_found(s, text);
  if (stop || static_cast<int64_t>(c.ids.size()) >= request.max_new_tokens) {
    s.finished = true;
    c.reason = stop ? FinishReason::kStop : FinishReason::kLength;
  }
  const bool forced = s.forcing && s.forcing->forced();
  if (on_token_) on_token_({s.group->id, s.index, id, logprob, s.finished, forced});
}

bool Engine::stop_string_found(Running& s, const std::string& text) {
  if (s.group->request.stop.empty()) return false;
  s.tail += text;
  size_t longest = 0;
  for (const std::string& stop : s.group->request.stop) {
    if (!stop.empty() && s.tail.find(stop) != std::string::npos) return true;
    longest = std::max(longest, stop.size());
  }
  if (s.tail.size() > longest) s.tail.erase(0, s.tail.size() - longest);
  return false;
}

void Engine::remove_finished() {
  std::erase_if(running_, [&](const std::unique_ptr<Running>& s) {
    if (!s->finished) return false;
    for (const int32_t page : s->pages) pool_.release(page);
    promised_ -= s->promised;
    Group& g = *s->group;
    if (++g.finished == g.request.n) {
      for (const int32_t page : g.pages) pool_.release(page);
      g.pages.clear();
    }
    return true;
  });
}

bool Engine::done(int64_t request) const {
  for (const auto& g : groups_) {
    if (g->id == request) return g->done();
  }
  return true;
}

std::vector<Completion> Engine::take(int64_t request) {
  for (auto it = groups_.begin(); it != groups_.end(); ++it) {
    if ((*it)->id != request) continue;
    R1_CHECK((*it)->done());
    auto completions = std::move((*it)->completions);
    groups_.erase(it);
    return completions;
  }
  R1_CHECK(false && "a request that was submitted and not yet taken");
}

std::vector<std::vector<Completion>> Engine::generate(std::span<const Request> requests) {
  std::vector<int64_t> ids;
  for (const Request& r : requests) ids.push_back(submit(r));
  while (step()) {
  }
  std::vector<std::vector<Completion>> results;
  for (const int64_t id : ids) results.push_back(take(id));
  return results;
}

}  // namespace r1
