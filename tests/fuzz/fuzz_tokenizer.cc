// tokenizer.json: a file is refused in one line or gives a tokenizer that takes any text; and an
// added token within data is never one.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "fuzzing.h"
#include "text/number_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace r1 {
namespace {

void use(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int> ids = tokenizer.encode(text, true);
  for (const int id : ids) check(id >= 0 && id < tokenizer.vocab_size());
  check(is_utf8(tokenizer.decode(ids)));
}

// Text for a whole tokenizer, all of it data: none of the special tokens comes out.
void encode(std::string_view text) {
  static const Tokenizer kNumbers = Tokenizer::parse(number_tokenizer_json(), "numbers");
  use(kNumbers, text);
  PromptText prompt{to_utf8_lossy(text), {}};
  if (!prompt.text.empty()) prompt.data.push_back({0, prompt.text.size()});
  const int first_added = kNumbers.token_to_id(kEndOfText).value();
  const std::vector<int> ids = kNumbers.encode(prompt);
  for (const int id : ids) check(id < first_added);
  check(kNumbers.decode(ids) == prompt.text);
}

// tokenizer.json, a zero byte, a text.
void parse(std::string_view input) {
  const size_t zero = std::min(input.find('\0'), input.size());
  try {
    const Tokenizer tokenizer = Tokenizer::parse(input.substr(0, zero), "fuzz");
    use(tokenizer, input.substr(std::min(zero + 1, input.size())));
  } catch (const InputError& e) {
    check(std::string_view(e.what()).starts_with("fuzz:"));
  }
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.starts_with('{')) {
    r1::parse(input);
  } else {
    r1::encode(input);
  }
  return 0;
}
