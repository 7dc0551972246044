#include "text/byte_level.h"

#include <array>

#include "text/unicode.h"

namespace r1 {
namespace {

constexpr char32_t kFirstExtra = 0x100;
constexpr int kExtras = 68;

struct Alphabet {
  std::array<std::string, 256> chars;
  std::array<int, kFirstExtra + kExtras> bytes;  // by code point, -1 where there is none

  Alphabet() {
    bytes.fill(-1);
    char32_t extra = kFirstExtra;
    for (int b = 0; b < 256; ++b) {
      const bool itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      const char32_t c = itself ? static_cast<char32_t>(b) : extra++;
      append_utf8(chars[b], c);
      bytes[c] = b;
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

std::string_view byte_level_char(unsigned char byte) {
  return alphabet().chars[byte];
}

void append_byte_level(std::string_view bytes, std::string& out) {
  for (const char b : bytes) out += byte_level_char(static_cast<unsigned char>(b));
}

std::string to_byte_level(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  append_byte_level(bytes, out);
  return out;
}

std::optional<std::string> from_byte_level(std::string_view text) {
  const Alphabet& table = alphabet();
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (!step.valid || step.code_point >= table.bytes.size()) return std::nullopt;
    const int byte = table.bytes[step.code_point];
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
    text.remove_prefix(step.size);
  }
  return out;
}

}  // namespace r1
