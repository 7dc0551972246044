// The think parser: a completion in any cuts has the parts that it has as a whole.
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzzing.h"
#include "text/think.h"

namespace r1 {
namespace {

bool within(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// The first byte says how the rest is cut and whether the prompt opened the thinking.
void parse(std::string_view input) {
  if (input.empty()) return;
  const bool opened = (input[0] & 1) != 0;
  const size_t step = 1 + (static_cast<unsigned char>(input[0]) >> 1) % 16;
  const std::string_view text = input.substr(1);
  const ThinkSplit whole = split_thinking(text, opened);
  check(within(whole.preamble, text) && within(whole.thinking, text) && within(whole.answer, text));

  ThinkStream stream(opened);
  std::string thinking, answer;
  auto take = [&](const std::vector<ThinkPiece>& pieces) {
    for (const ThinkPiece& p : pieces) {
      check(!p.text.empty());
      (p.part == TextPart::kThinking ? thinking : answer) += p.text;
    }
  };
  for (size_t at = 0; at < text.size(); at += step) take(stream.push(text.substr(at, step)));
  take(stream.finish());
  check(thinking == whole.thinking);
  check(answer == std::string(whole.preamble) + std::string(whole.answer));

  for (const std::string_view span : find_answers(text, opened).outside) check(within(span, text));
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  r1::parse({reinterpret_cast<const char*>(data), size});
  return 0;
}
