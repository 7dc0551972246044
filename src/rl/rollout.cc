#include "rl/rollout.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "base/worker.h"
#include "text/think.h"

namespace r1 {
namespace {

Request make_request(const RolloutGroup& group, const ModelConfig& config,
                     const RolloutOptions& options, uint64_t seed) {
  Request r;
  r.prompt = group.prompt;
  r.sampling = options.sampling;
  r.max_new_tokens = options.max_completion_length;
  if (options.max_context > 0) {
    const int64_t room = options.max_context - static_cast<int64_t>(group.prompt.size());
    if (room < 1) {
      throw InputError("a prompt of " + std::to_string(group.prompt.size()) +
                       " tokens leaves no room in the model's " +
                       std::to_string(options.max_context) + ": " +
                       in_quotes(group.problem.prompt));
    }
    r.max_new_tokens = std::min(r.max_new_tokens, room);
  }
  r.n = options.num_generations;
  r.seed = seed;
  r.stop_ids = options.stop_ids.empty() ? config.eos_token_ids : options.stop_ids;
  r.thinking = options.thinking;
  r.thinking.opened_by_prompt = group.thinking_opened;
  r.text_events = false;
  return r;
}

void grade(std::vector<Completion> completions, const Tokenizer& tokenizer, const Task& task,
           RolloutGroup& group) {
  for (Completion& c : completions) {
    GradedCompletion graded;
    graded.text = c.text.empty() ? tokenizer.decode(c.ids, true) : std::move(c.text);
    graded.verdict = task.verify(group.problem, graded_text(group, graded.text));
    graded.completion = std::move(c);
    group.completions.push_back(std::move(graded));
  }
}

// The requests of a rollout. Those that are left when an exception ends it are dropped, for their
// sinks end with it.
class Requests {
 public:
  explicit Requests(Engine& engine) : engine_(engine) {}
  ~Requests() {
    for (const int64_t id : ids_) engine_.drop(id);
  }
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  void submit(Request request, TokenSink sink) {
    ids_.push_back(engine_.submit(std::move(request), std::move(sink)));
  }
  std::vector<Completion> take(size_t i) { return engine_.take(ids_[i]); }

 private:
  Engine& engine_;
  std::vector<int64_t> ids_;
};

}  // namespace

std::string graded_text(const RolloutGroup& group, const std::string& text) {
  return group.thinking_opened ? std::string(kThinkOpen) + text : text;
}

void count_votes(const Task& task, RolloutGroup& group) {
  std::vector<std::string> votes;
  for (size_t i = 0; i < group.completions.size(); ++i) {
    votes.push_back(task.vote(graded_text(group, group.completions[i].text)));
    int64_t& vote = group.completions[i].vote;
    vote = -1;
    if (votes[i].empty()) continue;
    vote = static_cast<int64_t>(i);
    for (size_t j = 0; j < i; ++j) {
      // Only the first of each answer is compared with.
      if (group.completions[j].vote != static_cast<int64_t>(j)) continue;
      if (votes[j] != votes[i] && !task.same_vote(votes[j], votes[i])) continue;
      vote = static_cast<int64_t>(j);
      break;
    }
  }
}

std::vector<RolloutGroup> sample_rollouts(Engine& engine, const Tokenizer& tokenizer,
                                          const ModelConfig& config, const Task& task,
                                          std::vector<Problem> problems,
                                          const RolloutOptions& options, uint64_t seed,
                                          const RolloutProgress& progress) {
  std::vector<RolloutGroup> groups;
  int64_t done = 0;
  std::vector<size_t> finished;  // problems whose completions all are, since the last batch
  std::vector<int64_t> open(problems.size(), options.num_generations);
  Requests requests(engine);
  for (Problem& problem : problems) {
    TaskPrompt prompt = options.prompts ? options.prompts(problem)
                                        : TaskPrompt{tokenizer.encode(problem.prompt),
                                                     opens_thinking(problem.prompt)};
    RolloutGroup g;
    g.prompt = std::move(prompt.ids);
    g.thinking_opened = prompt.opens_thinking;
    g.problem = std::move(problem);
    const size_t i = groups.size();
    const uint64_t number = options.numbers.empty() ? i : options.numbers[i];
    requests.submit(make_request(g, config, options, mix_seed(seed, number)),
                    [&, i](const TokenEvent& e) {
                      if (!e.last) return;
                      ++done;
                      if (--open[i] == 0) finished.push_back(i);
                    });
    groups.push_back(std::move(g));
  }
  // Grading goes on beside the engine, a group after the other: verifiers need not bear each other.
  std::vector<std::vector<Completion>> completions(groups.size());
  std::vector<size_t> posted;
  size_t told = 0;
  Worker grader;
  const auto tell = [&] {
    for (const auto graded = static_cast<size_t>(grader.completed()); told < graded; ++told) {
      if (progress.group) progress.group(posted[told], groups[posted[told]]);
    }
  };
  for (bool more = true; more;) {
    more = engine.step();
    for (const size_t i : finished) {
      completions[i] = requests.take(i);
      posted.push_back(i);
      grader.post([&, i] {
        grade(std::move(completions[i]), tokenizer, task, groups[i]);
        if (options.votes) count_votes(task, groups[i]);
      });
    }
    finished.clear();
    tell();
    if (more && progress.completions) progress.completions(done);
  }
  grader.finish();
  tell();
  R1_CHECK(posted.size() == groups.size());
  return groups;
}

}  // namespace r1
