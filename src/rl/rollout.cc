#include "rl/rollout.h"

#include <algorithm>

#include "base/rng.h"

namespace r1 {

std::vector<RolloutGroup> sample_rollouts(Engine& engine, const Tokenizer& tokenizer,
                                          const ModelConfig& config, const Task& task,
                                          std::vector<Problem> problems,
                                          const RolloutOptions& options, uint64_t seed,
                                          const std::function<void(int64_t done)>& progress) {
  std::vector<RolloutGroup> groups;
  std::vector<int64_t> ids;
  for (Problem& problem : problems) {
    RolloutGroup g;
    g.prompt = tokenizer.encode(problem.prompt);
    g.problem = std::move(problem);
    Request r;
    r.prompt = g.prompt;
    r.sampling = options.sampling;
    r.max_new_tokens = options.max_completion_length;
    r.n = options.num_generations;
    r.seed = mix_seed(seed, groups.size());
    r.stop_ids = config.eos_token_ids;
    ids.push_back(engine.submit(std::move(r)));
    groups.push_back(std::move(g));
  }
  int64_t done = 0;
  engine.on_token([&](const TokenEvent& e) { done += e.last ? 1 : 0; });
  while (engine.step()) {
    if (progress) progress(done);
  }
  engine.on_token({});
  for (size_t i = 0; i < groups.size(); ++i) {
    for (Completion& c : engine.take(ids[i])) {
      GradedCompletion graded;
      graded.text = tokenizer.decode(c.ids, true);
      graded.verdict = task.verify(groups[i].problem, graded.text);
      graded.completion = std::move(c);
      groups[i].completions.push_back(std::move(graded));
    }
  }
  return groups;
}

}  // namespace r1
