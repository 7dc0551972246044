// Budget forcing (s1: Muennighoff et al., 2025): thinking of a chosen length. A completion's ids
// are drawn as ever; at some places others are written instead, and what follows is drawn given
// them.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/think.h"
#include "text/tokenizer.h"

namespace r1 {

struct ThinkingBudget {
  static constexpr std::string_view kClose = "\n</think>\n\n";
  static constexpr std::string_view kWait = "Wait";

  int64_t max_tokens = -1;  // after so many tokens of thinking kClose is written; -1: no limit
  int64_t waits = 0;        // so many times kWait is written in the place of </think>
  bool opened_by_prompt = false;  // the prompt ended in <think> (text/think.h)

  bool active() const { return max_tokens >= 0 || waits > 0; }
};

// The budget of one completion, as it is written: replace(drawn), then push(its text), for each id.
class BudgetForcing {
 public:
  // InputError if the budget cannot be kept: waits where </think> is no single token, or texts that
  // need ids of `vocab` and beyond.
  BudgetForcing(const ThinkingBudget& budget, const Tokenizer& tokenizer, int64_t vocab);

  // What stands in the place of a drawn id.
  int32_t replace(int32_t drawn);
  // Whether that was another one.
  bool forced() const { return forced_; }
  // The text that the id adds.
  void push(std::string_view text);

  // Between the tags, kWait included and kClose not.
  int64_t thinking_tokens() const { return thinking_tokens_; }

 private:
  bool thinking() const { return think_.part() == TextPart::kThinking; }
  void close_if_spent();

  ThinkingBudget budget_;
  ThinkStream think_;
  int64_t waits_left_, thinking_tokens_ = 0;
  std::optional<int> end_id_;  // of </think>, where it is one token
  std::vector<int32_t> wait_, close_;
  std::deque<int32_t> queue_;  // to be written next
  bool forced_ = false, closing_ = false;
};

}  // namespace r1
