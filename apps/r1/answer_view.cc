#include "answer_view.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "console.h"

namespace r1 {

AnswerView::AnswerView(const Tokenizer& tokenizer, bool opens_thinking, bool folded)
    : decoder_(tokenizer, true), think_(opens_thinking), folded_(folded) {}

void AnswerView::push(int32_t id, bool forced) {
  const bool thinking = think_.part() == TextPart::kThinking;
  show(think_.push(decoder_.push(id)));
  if (thinking && think_.part() == TextPart::kThinking && !forced) {
    ++thinking_tokens_;
    show_status();
  }
}

void AnswerView::finish() {
  show(think_.push(decoder_.finish()));
  show(think_.finish());
  end_status();
  std::printf("\n");
  std::fflush(stdout);
}

// Both parts go to the standard output, which a terminal shows as one stream.
void AnswerView::show(const std::vector<ThinkPiece>& pieces) {
  const bool styled = ::isatty(STDOUT_FILENO) == 1;
  for (const ThinkPiece& p : pieces) {
    std::string_view text = p.text;
    if (p.part == TextPart::kThinking) {
      thinking_ += text;
      if (folded_) continue;
      std::printf("%s%s%s", styled ? Style::dim() : "", printable(text).c_str(),
                  styled ? Style::reset() : "");
      continue;
    }
    if (folded_ && !answering_) {  // the empty lines that part it from the thinking
      text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
      if (text.empty()) continue;
    }
    end_status();
    answering_ = true;
    std::printf("%s", printable(text).c_str());
  }
  std::fflush(stdout);
}

void AnswerView::show_status() {
  if (!folded_ || !stderr_is_terminal()) return;
  status_ = true;
  std::fprintf(stderr, "\r\033[K%sthinking… %lld tokens%s", Style::dim(),
               static_cast<long long>(thinking_tokens_), Style::reset());
  std::fflush(stderr);
}

void AnswerView::end_status() {
  if (!status_) return;
  status_ = false;
  std::fprintf(stderr, "\r\033[K%sthought for %lld tokens (/show)%s\n", Style::dim(),
               static_cast<long long>(thinking_tokens_), Style::reset());
}

}  // namespace r1
