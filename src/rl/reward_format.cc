// The format reward (DeepSeek-R1, section 2.2.2): 1 if the completion keeps to R1-Zero's template
// (Table 1),
//   <think> thinking </think> <answer> answer </answer>
// each tag once, in this order, and nothing but white space around the two; else 0.
#include "rl/reward.h"
#include "tasks/rational.h"
#include "text/think.h"

namespace r1 {
namespace {

bool once(std::string_view text, std::string_view tag) {
  const size_t at = text.find(tag);
  return at != std::string_view::npos && text.find(tag, at + 1) == std::string_view::npos;
}

}  // namespace

double reward_format(const RewardInput& input) {
  for (const std::string_view tag : {kThinkOpen, kThinkClose, kAnswerOpen, kAnswerClose}) {
    if (!once(input.text, tag)) return 0;
  }
  const ThinkSplit split = split_thinking(input.text);
  const std::string_view answer = trim(split.answer);
  const bool kept = split.closed && trim(split.preamble).empty() &&
                    answer.starts_with(kAnswerOpen) && answer.ends_with(kAnswerClose);
  return kept ? 1 : 0;
}

}  // namespace r1
