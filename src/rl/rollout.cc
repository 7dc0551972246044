#include "rl/rollout.h"

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "text/think.h"

namespace r1 {
namespace {

// What a verifier sees: thinking that the prompt opened is thinking.
std::string graded_text(const RolloutGroup& group, const std::string& text) {
  return group.thinking_opened ? std::string(kThinkOpen) + text : text;
}

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
  return r;
}

void grade(std::vector<Completion> completions, const Tokenizer& tokenizer, const Task& task,
           RolloutGroup& group) {
  for (Completion& c : completions) {
    GradedCompletion graded;
    graded.text = tokenizer.decode(c.ids, true);
    graded.verdict = task.verify(group.problem, graded_text(group, graded.text));
    graded.completion = std::move(c);
    group.completions.push_back(std::move(graded));
  }
  count_votes(task, group);
}

}  // namespace

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
  std::vector<int64_t> ids;
  for (Problem& problem : problems) {
    TaskPrompt prompt = options.prompts ? options.prompts(problem)
                                        : TaskPrompt{tokenizer.encode(problem.prompt),
                                                     opens_thinking(problem.prompt)};
    RolloutGroup g;
    g.prompt = std::move(prompt.ids);
    g.thinking_opened = prompt.opens_thinking;
    g.problem = std::move(problem);
    const uint64_t number =
        options.numbers.empty() ? groups.size() : options.numbers[groups.size()];
    ids.push_back(engine.submit(make_request(g, config, options, mix_seed(seed, number))));
    groups.push_back(std::move(g));
  }
  int64_t done = 0;
  std::vector<size_t> waiting;
  for (size_t i = groups.size(); i-- > 0;) waiting.push_back(i);
  engine.on_token([&](const TokenEvent& e) { done += e.last ? 1 : 0; });
  for (bool more = true; more;) {
    more = engine.step();
    std::erase_if(waiting, [&](size_t i) {
      if (!engine.done(ids[i])) return false;
      grade(engine.take(ids[i]), tokenizer, task, groups[i]);
      if (progress.group) progress.group(i, groups[i]);
      return true;
    });
    if (more && progress.completions) progress.completions(done);
  }
  engine.on_token({});
  R1_CHECK(waiting.empty());
  return groups;
}

}  // namespace r1
