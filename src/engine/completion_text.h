// A completion's text as its tokens come: streaming decode, stop strings, the thinking budget, and
// which part each piece belongs to.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "text/think.h"
#include "text/tokenizer.h"

namespace r1 {

// For each token: replace(drawn), then push(what it became). Not thread-safe. The request must
// outlive it.
class CompletionText {
 public:
  // vocab: the model's (BudgetForcing).
  CompletionText(const Request& request, const Tokenizer& tokenizer, int64_t vocab);

  // What stands in the place of a drawn id, and whether that is another one.
  int32_t replace(int32_t drawn) { return forcing_ ? forcing_->replace(drawn) : drawn; }
  bool forced() const { return forcing_ && forcing_->forced(); }
  int64_t thinking_tokens() const { return forcing_ ? forcing_->thinking_tokens() : 0; }

  // True if the text now contains a stop string: it ends before it.
  bool push(int32_t id);
  // No more tokens come.
  void finish();

  // So far, what is held back included.
  const std::string& text() const { return text_; }
  // What became certain since the last call.
  std::vector<ThinkPiece> take_pieces();

 private:
  // Stop strings see special tokens, the text has none: where in the text a token's piece of what
  // they see stands.
  struct Mark {
    size_t seen_begin, seen_size, text_begin;
    bool same;  // both have the same piece of this token
  };
  size_t text_position(size_t seen) const;
  bool find_stop();
  size_t partial_stop() const;
  void drop_marks();

  const std::vector<std::string>& stop_;
  size_t longest_stop_ = 0;
  StreamDecoder decoder_;                // of the text
  std::optional<StreamDecoder> seeing_;  // with special tokens: for stop strings and budgets
  std::optional<BudgetForcing> forcing_;
  ThinkStream think_;

  std::string text_;
  size_t certain_ = 0, taken_ = 0;  // how much of text_ no stop string can cut; was taken
  bool stopped_ = false, finished_ = false;
  std::string tail_;        // the end of what is seen, as long as a stop string can reach
  size_t tail_begin_ = 0;   // where in all that was seen it begins
  std::deque<Mark> marks_;  // of the tokens in tail_
};

}  // namespace r1
