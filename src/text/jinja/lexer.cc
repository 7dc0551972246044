#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/json.h"
#include "text/unicode.h"

namespace r1::jinja {
namespace {

// Every line ending becomes \n, and the last one goes.
std::string with_plain_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

size_t space_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Step step = utf8_step(text.substr(at));
    if (!is_python_space(step.code_point)) break;
    at += step.size;
  }
  return at;
}

std::string_view without_space_at_end(std::string_view text) {
  for (size_t end = text.size(); end > 0;) {
    size_t begin = end - 1;
    while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
    if (!is_python_space(utf8_step(text.substr(begin)).code_point)) return text.substr(0, end);
    end = begin;
  }
  return {};
}

bool is_name_byte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || (c & 0x80) != 0;
}

bool is_digit(char c, int base) {
  const int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 99;
  return value < base;
}

class Lexer {
 public:
  Lexer(std::string source, const std::string& where)
      : source_(std::move(source)), rest_(source_), where_(where) {}

  std::vector<Token> run() {
    while (!rest_.empty()) text_until_tag();
    add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw InputError(where_ + ":" + std::to_string(line_) + ": " + message);
  }

  void add(TokenType type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }

  void skip(size_t bytes) {
    line_ += static_cast<int>(
        std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(bytes), '\n'));
    rest_.remove_prefix(bytes);
  }

  // The text before a tag, as the tag's sign leaves it; `block`: without a sign the tag takes the
  // white space of its own line.
  void add_text(std::string_view text, char sign, bool block) {
    if (sign == '-') {
      text = without_space_at_end(text);
    } else if (sign != '+' && block) {
      const size_t line = text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1;
      const std::string_view indent = text.substr(line);
      if ((line > 0 || line_starting_) && space_prefix(indent) == indent.size()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) add(TokenType::kData, std::string(text));
  }

  // Text, and the tag that ends it.
  void text_until_tag() {
    size_t at = 0;
    while (at + 1 < rest_.size() &&
           !(rest_[at] == '{' && std::string_view("{%#").find(rest_[at + 1]) != rest_.npos)) {
      ++at;
    }
    if (at + 1 >= rest_.size()) {
      add(TokenType::kData, std::string(rest_));
      return skip(rest_.size());
    }
    const char kind = rest_[at + 1];
    const char sign = at + 2 < rest_.size() ? rest_[at + 2] : ' ';
    add_text(rest_.substr(0, at), sign, kind != '{');
    skip(at);
    const size_t begin = sign == '-' || sign == '+' ? 3 : 2;
    if (kind == '#') {
      comment(begin);
    } else if (kind == '{') {
      tag(begin, TokenType::kVariableBegin, TokenType::kVariableEnd, "}}");
    } else if (const size_t raw = raw_begin(begin); raw > 0) {
      line_starting_ = rest_[raw - 1] == '\n';
      skip(raw);
      raw_text();
    } else {
      tag(begin, TokenType::kBlockBegin, TokenType::kBlockEnd, "%}");
    }
  }

  // Takes a tag's end and the white space that goes with it, at the front of rest_: the sign,
  // `end`, all white space after "-", a newline after a block without a sign. False if it is not
  // there.
  bool take_end(std::string_view end, bool block) {
    const char sign = rest_.empty() ? ' ' : rest_[0];
    const bool has_sign = sign == '-' || (sign == '+' && block);
    if (!rest_.substr(has_sign ? 1 : 0).starts_with(end)) return false;
    size_t size = end.size() + (has_sign ? 1 : 0);
    if (sign == '-') {
      size += space_prefix(rest_.substr(size));
    } else if (block && !has_sign && rest_.substr(size).starts_with('\n')) {
      ++size;
    }
    line_starting_ = rest_[size - 1] == '\n';
    skip(size);
    return true;
  }

  void comment(size_t begin) {
    const int first = line_;
    skip(begin);
    size_t end = rest_.find("#}");
    if (end == rest_.npos) {
      line_ = first;
      fail("the comment does not end: expected #}");
    }
    if (end > 0 && (rest_[end - 1] == '-' || rest_[end - 1] == '+')) --end;
    skip(end);
    take_end("#}", true);
  }

  // The size of "{% raw %}" at the front, or 0.
  size_t raw_begin(size_t begin) const {
    size_t at = begin + space_prefix(rest_.substr(begin));
    if (!rest_.substr(at).starts_with("raw")) return 0;
    at += 3;
    at += space_prefix(rest_.substr(at));
    if (rest_.substr(at).starts_with("%}")) return at + 2;
    if (!rest_.substr(at).starts_with("-%}")) return 0;
    return at + 3 + space_prefix(rest_.substr(at + 3));
  }

  void raw_text() {
    for (size_t at = rest_.find("{%"); at != rest_.npos; at = rest_.find("{%", at + 1)) {
      const char sign = at + 2 < rest_.size() ? rest_[at + 2] : ' ';
      size_t end = at + (sign == '-' || sign == '+' ? 3 : 2);
      end += space_prefix(rest_.substr(end));
      if (!rest_.substr(end).starts_with("endraw")) continue;
      end += 6;
      end += space_prefix(rest_.substr(end));
      const std::string_view after = rest_.substr(end);
      if (!after.starts_with("%}") && !after.starts_with("-%}") && !after.starts_with("+%}")) {
        continue;
      }
      add_text(rest_.substr(0, at), sign, true);
      skip(end);
      take_end("%}", true);
      return;
    }
    fail("the raw block does not end: expected {% endraw %}");
  }

  void tag(size_t begin, TokenType open, TokenType close, std::string_view end) {
    add(open, "");
    skip(begin);
    std::string brackets;
    while (true) {
      if (brackets.empty() && take_end(end, close == TokenType::kBlockEnd)) {
        return add(close, "");
      }
      if (rest_.empty()) fail("the tag does not end: expected " + std::string(end));
      if (const size_t space = space_prefix(rest_); space > 0) {
        skip(space);
      } else if (rest_[0] >= '0' && rest_[0] <= '9') {
        number();
      } else if (is_name_byte(rest_[0])) {
        name();
      } else if (rest_[0] == '"' || rest_[0] == '\'') {
        string();
      } else {
        symbol(brackets);
      }
    }
  }

  void name() {
    size_t size = 0;
    while (size < rest_.size() && is_name_byte(rest_[size])) ++size;
    const std::string text(rest_.substr(0, size));
    for (size_t at = 0; at < size;) {
      const Utf8Step step = utf8_step(rest_.substr(at));
      if (!is_word(step.code_point)) fail("no name: " + in_quotes(text));
      at += step.size;
    }
    add(TokenType::kName, text);
    skip(size);
  }

  // Digits of `base` from `at`, with single underscores between them; the end.
  size_t digits(size_t at, int base) const {
    while (at < rest_.size()) {
      const size_t next = rest_[at] == '_' ? at + 1 : at;
      if (next >= rest_.size() || !is_digit(rest_[next], base)) break;
      at = next + 1;
    }
    return at;
  }

  void number() {
    size_t end = digits(0, 10);
    bool real = false;
    if (end + 1 < rest_.size() && rest_[end] == '.' && is_digit(rest_[end + 1], 10)) {
      end = digits(end + 1, 10);
      real = true;
    }
    if (end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < rest_.size() && (rest_[exponent] == '+' || rest_[exponent] == '-')) ++exponent;
      if (const size_t stop = digits(exponent, 10); stop > exponent) {
        end = stop;
        real = true;
      }
    }
    if (!real && rest_[0] == '0') {
      constexpr std::string_view kBases = "bBoOxX";
      constexpr std::array kValues = {2, 2, 8, 8, 16, 16};
      const size_t base = rest_.size() > 1 ? kBases.find(rest_[1]) : kBases.npos;
      if (base != kBases.npos && digits(2, kValues[base]) > 2) end = digits(2, kValues[base]);
    }
    std::string text(rest_.substr(0, end));
    std::erase(text, '_');
    add(real ? TokenType::kFloat : TokenType::kInteger, text);
    skip(end);
  }

  void symbol(std::string& brackets) {
    constexpr std::string_view kOpen = "([{", kClose = ")]}";
    for (const std::string_view two : {"//", "**", "==", "!=", "<=", ">="}) {
      if (!rest_.starts_with(two)) continue;
      add(TokenType::kOperator, std::string(two));
      return skip(2);
    }
    const char c = rest_[0];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos) {
      const Utf8Step step = utf8_step(rest_);
      fail("unexpected character " + in_quotes(rest_.substr(0, step.size)));
    }
    if (const size_t at = kOpen.find(c); at != kOpen.npos) brackets += kClose[at];
    if (kClose.find(c) != kClose.npos) {
      if (brackets.empty()) fail(std::string("unexpected '") + c + "'");
      if (brackets.back() != c) {
        fail(std::string("unexpected '") + c + "', expected '" + brackets.back() + "'");
      }
      brackets.pop_back();
    }
    add(TokenType::kOperator, std::string(1, c));
    skip(1);
  }

  void string() {
    const char quote = rest_[0];
    size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) fail("the string does not end");
    std::string value;
    std::string_view text = rest_.substr(1, end - 1);
    while (!text.empty()) {
      if (text[0] == '\\') {
        text.remove_prefix(escape(text, value));
      } else {
        value += text[0];
        text.remove_prefix(1);
      }
    }
    add(TokenType::kString, std::move(value));
    skip(end + 1);
  }

  // Appends what the escape at the front of `text` means; its size.
  size_t escape(std::string_view text, std::string& value) const {
    constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
    const char c = text[1];  // a backslash never is a string's last byte
    if (const size_t at = kLetters.find(c); at != kLetters.npos) {
      value += kMeanings[at];
      return 2;
    }
    if (c == '\n') return 2;
    if (c == 'N') fail("the escape \\N in a string is not supported");
    const size_t wanted = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (wanted == 0 && !is_digit(c, 8)) {  // kept as it stands
      value += '\\';
      return 1;
    }
    const int base = wanted > 0 ? 16 : 8;
    const size_t begin = wanted > 0 ? 2 : 1, most = wanted > 0 ? wanted : 3;
    size_t end = begin;
    uint64_t code = 0;
    while (end < text.size() && end - begin < most && is_digit(text[end], base)) {
      code = code * static_cast<uint64_t>(base) +
             static_cast<uint64_t>(std::stoi(std::string(1, text[end]), nullptr, 16));
      ++end;
    }
    if (wanted > 0 && end - begin < wanted) fail(std::string("truncated escape \\") + c);
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      fail("the escape " + in_quotes(text.substr(0, end)) + " is no character");
    }
    append_utf8(value, static_cast<char32_t>(code));
    return end;
  }

  const std::string source_;
  std::string_view rest_;
  const std::string& where_;
  int line_ = 1;
  bool line_starting_ = true;  // what was taken last ended in a newline
  std::vector<Token> tokens_;
};

}  // namespace

bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::vector<Token> tokenize(std::string_view source, const std::string& where) {
  if (!is_utf8(source)) throw InputError(where + ": the template is not UTF-8");
  return Lexer(with_plain_lines(source), where).run();
}

}  // namespace r1::jinja
