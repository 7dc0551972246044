// An answer as it is written: the thinking dimmed, or folded into one line that counts its tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/think.h"
#include "text/tokenizer.h"

namespace r1 {

class AnswerView {
 public:
  // opens_thinking: the prompt ended in <think>. Folded thinking is not printed.
  AnswerView(const Tokenizer& tokenizer, bool opens_thinking, bool folded);

  // forced: the id was not drawn (engine/thinking_budget.h), and does not count.
  void push(int32_t id, bool forced);
  void finish();

  const std::string& thinking() const { return thinking_; }

 private:
  void show(const std::vector<ThinkPiece>& pieces);
  void show_status();
  void end_status();

  StreamDecoder decoder_;
  ThinkStream think_;
  bool folded_;
  std::string thinking_;
  int64_t thinking_tokens_ = 0;
  bool status_ = false;     // the line with the count is there
  bool answering_ = false;  // something of the answer was printed
};

}  // namespace r1
