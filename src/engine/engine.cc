#include "engine/engine.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"

namespace r1 {
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

constexpr const char* kUnknown = "an exception of an unknown kind";

EngineOptions checked(EngineOptions o, const Model& model) {
  o.max_sequences = std::max<int64_t>(1, o.max_sequences);
  o.max_context = std::min(o.max_context, model.max_positions());
  o.max_batch_tokens = std::max(o.max_batch_tokens, o.max_sequences + 1);
  o.prefill_chunk = std::max<int64_t>(1, o.prefill_chunk);
  return o;
}

}  // namespace

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "";
}

Engine::Engine(const Model& model, Ops& ops, const EngineOptions& options,
               const Tokenizer* tokenizer)
    : model_(model),
      ops_(ops),
      options_(checked(options, model)),
      tokenizer_(tokenizer),
      store_(model.config(), cache_pages(model.config(), options_), options_.kept_pages,
             ops.memory()),
      scheduler_(store_,
                 {options_.max_sequences, options_.max_batch_tokens, options_.prefill_chunk}),
      sampler_(model, ops),
      activations_(Activations::Keep::kNothing, ops.memory()),
      weights_(model.version()),
      hidden_(
          Buffer::of_floats(options_.max_sequences * model.config().hidden_size, ops.memory())) {
  const ModelConfig& c = model.config();
  head_flops_ = 2 * static_cast<double>(c.vocab_size * c.hidden_size);
  row_flops_ = c.forward_flops(0) - head_flops_;
  key_flops_ = c.forward_flops(1) - c.forward_flops(0);
}

Engine::~Engine() = default;

int64_t Engine::kv_cache_bytes() const {
  return store_.pages() * KvCache::page_bytes(model_.config(), model_.config().num_hidden_layers);
}

EngineStats Engine::stats() const {
  EngineStats stats = stats_;
  stats.preemptions = scheduler_.preemptions();
  stats.reused_tokens = scheduler_.reused();
  return stats;
}

// --- requests ---

void Engine::check(const Request& request) const {
  request.sampling.check();
  const int64_t prompt = std::ssize(request.prompt);
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
}

int64_t Engine::submit(Request request, TokenSink sink) {
  check(request);
  const int64_t prompt = std::ssize(request.prompt);
  request.max_new_tokens = std::min(request.max_new_tokens, options_.max_context - prompt);
  const int64_t pages = pages_for(prompt + request.max_new_tokens);
  if (pages > store_.pages()) {
    throw InputError("a sequence of " + std::to_string(prompt + request.max_new_tokens) +
                     " tokens needs " + std::to_string(pages) +
                     " pages of the KV cache, which has " + std::to_string(store_.pages()));
  }
  auto group = std::make_unique<Group>();
  group->id = next_request_++;
  group->completions.resize(static_cast<size_t>(request.n));
  for (Completion& c : group->completions) c.thinking_opened = request.thinking.opened_by_prompt;
  group->request = std::move(request);
  group->sink = std::move(sink);
  Group& g = *group;
  groups_.emplace(g.id, std::move(group));
  scheduler_.add(g);
  return g.id;
}

void Engine::cancel(int64_t request) {
  const auto it = groups_.find(request);
  if (it == groups_.end()) return;
  end(*it->second, FinishReason::kCancelled, "");
  if (!in_sink_) sweep();
}

bool Engine::done(int64_t request) const {
  const auto it = groups_.find(request);
  return it == groups_.end() || it->second->done;
}

std::vector<Completion> Engine::take(int64_t request) {
  const auto it = groups_.find(request);
  R1_CHECK(it != groups_.end() && it->second->done);
  auto completions = std::move(it->second->completions);
  groups_.erase(it);
  return completions;
}

void Engine::drop(int64_t request) {
  R1_CHECK(!in_sink_);
  cancel(request);
  groups_.erase(request);
}

std::vector<std::vector<Completion>> Engine::generate(std::span<const Request> requests) {
  std::vector<int64_t> ids;
  try {
    for (const Request& r : requests) ids.push_back(submit(r));
    while (step()) {
    }
  } catch (...) {
    for (const int64_t id : ids) drop(id);
    throw;
  }
  std::vector<std::vector<Completion>> results;
  for (const int64_t id : ids) results.push_back(take(id));
  return results;
}

// --- a batch ---

bool Engine::step() {
  if (scheduler_.idle()) return false;
  try {
    run_batch();
  } catch (const std::exception& e) {
    fail_running(e.what());
    throw;
  } catch (...) {
    fail_running(kUnknown);
    throw;
  }
  return true;
}

void Engine::run_batch() {
  if (weights_ != model_.version()) {
    scheduler_.preempt_all();
    store_.forget_all();
    weights_ = model_.version();
  }
  const Scheduler::Plan& plan = scheduler_.plan();
  build_batch(plan);
  const int64_t outputs = std::ssize(batch_.outputs);
  forward(model_, batch_, store_.cache(), ops_, activations_,
          {hidden_.floats(), outputs, model_.config().hidden_size});
  note_computed(plan);
  launch_groups();
  ++stats_.steps;
  draw();
  for (size_t i = 0; i < sampled_.size(); ++i) {
    if (sampled_[i]->finished) continue;  // ended by a sink a moment ago
    accept(*sampled_[i], sampler_.ids()[i], sampler_.logprobs()[i]);
  }
  sweep();
}

void Engine::build_batch(const Scheduler::Plan& plan) {
  batch_.clear();
  sampled_.clear();
  batch_.copies = plan.copies;
  for (const auto& [branch, rows] : plan.slices) {
    const TokenView tokens = branch->tokens();
    chunk_.clear();
    for (int64_t i = 0; i < rows; ++i) chunk_.push_back(tokens[branch->computed + i]);
    const int64_t row = batch_.add(chunk_, branch->computed, branch->table.pages.data(), 0);
    if (rows < branch->missing()) continue;
    batch_.outputs.push_back(static_cast<int32_t>(row + rows - 1));
    sampled_.push_back(branch);
  }
}

void Engine::note_computed(const Scheduler::Plan& plan) {
  for (const auto& [branch, rows] : plan.slices) {
    const Group& g = *branch->group;
    const int64_t first = branch->computed, end = first + rows;
    const int64_t known = std::max(branch->reached, g.prompt_computed ? g.prompt_size() : 0);
    stats_.recomputed_tokens += std::clamp<int64_t>(known - first, 0, rows);
    stats_.prompt_tokens +=
        std::max<int64_t>(0, std::min(end, g.prompt_size()) - std::max(first, known));
    // Row i of them sees first + i + 1 keys.
    stats_.flops += static_cast<double>(rows) * row_flops_ +
                    static_cast<double>(rows * first + rows * (rows + 1) / 2) * key_flops_;
    branch->computed = end;
    branch->reached = std::max(branch->reached, end);
    store_.note(branch->table, branch->tokens(), end);
  }
}

// Prompts that are computed now have the completions of their group go on from the same state.
void Engine::launch_groups() {
  const int64_t width = model_.config().hidden_size;
  std::vector<PageCopy> copies;
  for (size_t i = 0, leaders = sampled_.size(); i < leaders; ++i) {
    if (sampled_[i]->group->prompt_computed) continue;
    for (Branch* branch : scheduler_.fork(*sampled_[i], copies)) {
      ops_.copy(hidden_.floats() + static_cast<int64_t>(i) * width,
                hidden_.floats() + std::ssize(sampled_) * width,
                static_cast<size_t>(width) * sizeof(float));
      sampled_.push_back(branch);
    }
  }
  if (copies.empty()) return;
  // Before anything can finish and hand its page to another.
  ops_.begin({.tokens = {}, .positions = {}, .outputs = {}, .seqs = {}, .copies = copies}, forks_);
  for (int64_t i = 0; i < model_.config().num_hidden_layers; ++i) {
    ops_.kv_copy(forks_.copies, store_.cache().layer(i));
  }
}

void Engine::draw() {
  rows_.clear();
  for (Branch* b : sampled_) {
    const Request& r = b->group->request;
    const bool listens = b->group->sink && r.text_events;
    const bool streams = listens || !r.stop.empty() || r.thinking.active();
    if (tokenizer_ && streams && !b->text) {
      b->text = std::make_unique<CompletionText>(r, *tokenizer_, model_.config().vocab_size);
    }
    rows_.push_back({&r.sampling, mix_seed(r.seed, static_cast<uint64_t>(b->index)),
                     b->completion().ids.size(), b->text.get()});
  }
  const int64_t rows = std::ssize(rows_);
  sampler_.draw({hidden_.floats(), rows, model_.config().hidden_size}, rows_);
  stats_.flops += static_cast<double>(rows) * head_flops_;
}

// --- tokens ---

void Engine::accept(Branch& b, int32_t id, float logprob) {
  const Request& request = b.group->request;
  Completion& c = b.completion();
  c.ids.push_back(id);
  c.logprobs.push_back(logprob);
  ++stats_.new_tokens;
  bool stop =
      std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end();
  if (b.text) {
    if (b.text->forced()) c.forced.push_back(std::ssize(c.ids) - 1);
    stop = b.text->push(id) || stop;
    c.thinking_tokens = b.text->thinking_tokens();
  }
  if (stop || std::ssize(c.ids) >= request.max_new_tokens) {
    c.reason = stop ? FinishReason::kStop : FinishReason::kLength;
    finish(b);
  }
  tell(b, id, logprob);
}

// Its text is whole; its pages go back with the next sweep.
void Engine::finish(Branch& b) {
  b.finished = true;
  Completion& c = b.completion();
  if (b.text) {
    b.text->finish();
    c.text = b.text->text();
  } else if (tokenizer_) {
    c.text = tokenizer_->decode(c.ids, true);
  }
  count_finished(*b.group);
}

void Engine::count_finished(Group& g) {
  if (++g.finished == g.request.n) leaving_.push_back(&g);
}

void Engine::tell(Branch& b, int32_t id, float logprob) {
  Group& g = *b.group;
  if (!g.sink) return;
  std::vector<ThinkPiece> pieces;
  if (b.text && g.request.text_events) pieces = b.text->take_pieces();
  call_sink(g, {g.id, b.index, id, logprob, b.text && b.text->forced(), pieces, b.finished,
                b.completion().reason});
}

// False if it threw, and will not be called again.
bool Engine::call_sink(Group& g, const TokenEvent& event) {
  const bool nested = in_sink_;
  in_sink_ = true;
  std::optional<std::string> error;
  try {
    g.sink(event);
  } catch (const std::exception& e) {
    error = e.what();
  } catch (...) {
    error = kUnknown;
  }
  in_sink_ = nested;
  if (error) end(g, FinishReason::kError, *error);
  return !error;
}

// Of all completions that are not finished. Returns which.
std::vector<int64_t> Engine::end(Group& g, FinishReason reason, const std::string& error) {
  std::vector<int64_t> ended;
  const auto note = [&](int64_t index) {
    Completion& c = g.completions[static_cast<size_t>(index)];
    c.reason = reason;
    c.error = error;
    ended.push_back(index);
  };
  for (const auto& b : scheduler_.running()) {
    if (b->group != &g || b->finished) continue;
    note(b->index);
    finish(*b);
  }
  for (const auto& [index, b] : g.preempted) {
    if (b->finished) continue;
    note(index);
    finish(*b);
  }
  for (; g.launched < g.request.n; ++g.launched) {
    note(g.launched);
    count_finished(g);
  }
  return ended;
}

// What is finished gives back its pages, and may be taken.
void Engine::sweep() {
  scheduler_.remove_finished();
  for (Group* g : leaving_) {
    scheduler_.remove(*g);
    g->done = true;
  }
  leaving_.clear();
}

void Engine::fail_running(const std::string& error) {
  std::vector<Group*> failed;
  for (const auto& b : scheduler_.running()) {
    if (failed.empty() || failed.back() != b->group) failed.push_back(b->group);
  }
  if (failed.empty()) {  // it cannot even be said what is to run: nothing would ever end
    for (const auto& [id, group] : groups_) failed.push_back(group.get());
  }
  for (Group* g : failed) {
    for (const int64_t index : end(*g, FinishReason::kError, error)) {
      TokenEvent event;
      event.request = g->id;
      event.completion = index;
      event.last = true;
      event.reason = FinishReason::kError;
      if (g->sink && !call_sink(*g, event)) break;
    }
  }
  sweep();
}

}  // namespace r1
