#include "engine/completion_text.h"

#include <algorithm>
#include <string_view>

namespace r1 {

CompletionText::CompletionText(const Request& request, const Tokenizer& tokenizer, int64_t vocab)
    : stop_(request.stop), decoder_(tokenizer, true), think_(request.thinking.opened_by_prompt) {
  for (const std::string& stop : stop_) longest_stop_ = std::max(longest_stop_, stop.size());
  if (request.thinking.active()) forcing_.emplace(request.thinking, tokenizer, vocab);
  if (longest_stop_ > 0 || forcing_) seeing_.emplace(tokenizer, false);
}

bool CompletionText::push(int32_t id) {
  const std::string piece = decoder_.push(id);
  const size_t begin = text_.size();
  text_ += piece;
  if (!seeing_) {
    certain_ = text_.size();
    return false;
  }
  const std::string seen = seeing_->push(id);
  if (forcing_) forcing_->push(seen);
  if (longest_stop_ == 0) {
    certain_ = text_.size();
    return false;
  }
  marks_.push_back({tail_begin_ + tail_.size(), seen.size(), begin, seen == piece});
  tail_ += seen;
  if (find_stop()) return true;
  certain_ = text_position(tail_begin_ + tail_.size() - partial_stop());
  drop_marks();
  return false;
}

bool CompletionText::find_stop() {
  size_t first = tail_.npos;
  for (const std::string& stop : stop_) {
    if (!stop.empty()) first = std::min(first, tail_.find(stop));
  }
  if (first == tail_.npos) return false;
  text_.resize(text_position(tail_begin_ + first));
  certain_ = text_.size();
  stopped_ = true;
  return true;
}

// How much of the end of what is seen may be the beginning of a stop string.
size_t CompletionText::partial_stop() const {
  const std::string_view tail = tail_;
  size_t longest = 0;
  for (const std::string& stop : stop_) {
    for (size_t n = std::min(tail.size(), stop.size()); n > longest; --n) {
      if (tail.ends_with(std::string_view(stop).substr(0, n))) longest = n;
    }
  }
  return longest;
}

size_t CompletionText::text_position(size_t seen) const {
  for (const Mark& m : marks_) {
    if (seen >= m.seen_begin + m.seen_size) continue;
    return m.text_begin + (m.same ? seen - m.seen_begin : 0);
  }
  return text_.size();
}

void CompletionText::drop_marks() {
  if (tail_.size() <= longest_stop_) return;
  tail_begin_ += tail_.size() - longest_stop_;
  tail_.erase(0, tail_.size() - longest_stop_);
  while (!marks_.empty() && marks_.front().seen_begin + marks_.front().seen_size <= tail_begin_) {
    marks_.pop_front();
  }
}

void CompletionText::finish() {
  if (!stopped_) text_ += decoder_.finish();
  certain_ = text_.size();
  finished_ = true;
}

std::vector<ThinkPiece> CompletionText::take_pieces() {
  std::vector<ThinkPiece> pieces =
      think_.push(std::string_view(text_).substr(taken_, certain_ - taken_));
  taken_ = certain_;
  if (!finished_) return pieces;
  for (ThinkPiece& held : think_.finish()) {
    if (!pieces.empty() && pieces.back().part == held.part) {
      pieces.back().text += held.text;
    } else {
      pieces.push_back(std::move(held));
    }
  }
  return pieces;
}

}  // namespace r1
