// UTF-8 and the few Unicode properties that tokenizers ask for. Categories come from utf8proc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace r1 {

inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";  // U+FFFD

// What stands at the front of some bytes.
struct Utf8Step {
  char32_t code_point;  // U+FFFD where the bytes are no UTF-8
  uint32_t size;        // bytes taken, at least 1; of an ill-formed sequence its maximal subpart
  bool valid;
  bool truncated;  // ill-formed only because the bytes end here: more bytes could complete it
};

// The first code point of `bytes`, which must not be empty. Ill-formed sequences are cut as the
// Unicode Standard recommends (section 3.9, "maximal subpart"), which is what Python's
// errors="replace" and Rust's from_utf8_lossy do.
Utf8Step utf8_step(std::string_view bytes);

bool is_utf8(std::string_view bytes);
// Every maximal ill-formed subpart becomes one U+FFFD.
std::string to_utf8_lossy(std::string_view bytes);
void append_utf8(std::string& out, char32_t code_point);

// Turns a stream of bytes into a stream of whole characters: the lossy text of all bytes is the
// concatenation of what push and finish return.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string finish();

 private:
  std::string tail_;  // at most 3 bytes: the beginning of a character
};

// Unicode White_Space, as Rust's char::is_whitespace and Oniguruma's \s.
bool is_white_space(char32_t c);
// General category N: Nd, Nl, No.
bool is_numeric(char32_t c);
// General category P, and the ASCII symbols that C's ispunct counts ($+<=>^`|~).
bool is_punctuation(char32_t c);
// \w of Rust's regex: Alphabetic, M, Nd, Pc, Join_Control.
bool is_word(char32_t c);

}  // namespace r1
