#include "engine/thinking_budget.h"

#include "base/error.h"

namespace r1 {

BudgetForcing::BudgetForcing(const ThinkingBudget& budget, const Tokenizer& tokenizer,
                             int64_t vocab)
    : budget_(budget),
      think_(budget.opened_by_prompt),
      waits_left_(budget.waits),
      end_id_(tokenizer.token_to_id(kThinkClose)),
      wait_(tokenizer.encode(ThinkingBudget::kWait)),
      close_(tokenizer.encode(ThinkingBudget::kClose)) {
  if (budget.waits > 0 && !end_id_) {
    throw InputError("to prolong thinking, " + std::string(kThinkClose) +
                     " must be one token of the model's vocabulary");
  }
  for (const auto* ids : {&wait_, &close_}) {
    for (const int32_t id : *ids) {
      if (id < vocab) continue;
      throw InputError("the tokenizer's id " + std::to_string(id) +
                       " is outside the model's vocabulary of " + std::to_string(vocab));
    }
  }
  close_if_spent();
}

int32_t BudgetForcing::replace(int32_t drawn) {
  if (queue_.empty() && waits_left_ > 0 && drawn == end_id_ && thinking()) {
    --waits_left_;
    queue_.assign(wait_.begin(), wait_.end());
  }
  forced_ = !queue_.empty();
  if (!forced_) return drawn;
  const int32_t id = queue_.front();
  queue_.pop_front();
  return id;
}

void BudgetForcing::push(std::string_view text) {
  const bool before = thinking();
  think_.push(text);
  if (before && thinking() && !closing_) ++thinking_tokens_;
  close_if_spent();
}

void BudgetForcing::close_if_spent() {
  const bool spent = budget_.max_tokens >= 0 && thinking_tokens_ >= budget_.max_tokens;
  if (!spent || !thinking() || closing_) return;
  closing_ = true;
  queue_.assign(close_.begin(), close_.end());
}

}  // namespace r1
