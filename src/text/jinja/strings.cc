#include "text/jinja/strings.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/lexer.h"
#include "text/unicode.h"

namespace r1::jinja {
namespace {

char32_t code_point_at(const Text& text, size_t at) {
  return utf8_step(std::string_view(text.bytes).substr(at)).code_point;
}

bool is_cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

char32_t upper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}

char32_t lower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

// Of the full case mappings only the common one.
void append_upper(std::string& out, char32_t c, bool title) {
  if (c == 0xDF) {
    out += title ? "Ss" : "SS";
  } else {
    append_utf8(out, title
                         ? static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)))
                         : upper(c));
  }
}

// text with each code point as `put` writes it.
template <class Put>
Text mapped(const Text& text, Budget& budget, Put&& put) {
  budget.spend(16 * text.size());
  Text out;
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(std::string_view(text.bytes).substr(at));
    bytes.clear();
    put(bytes, step.code_point);
    out.append(bytes, text.marks[at]);
    at += step.size;
  }
  return out;
}

std::vector<Text> split_at_space(const Text& text, int64_t most, Budget& budget) {
  budget.spend(8 * text.size());
  std::vector<Text> out;
  const std::string_view bytes = text.bytes;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(bytes.substr(at));
    if (is_python_space(step.code_point)) {
      at += step.size;
      continue;
    }
    if (most >= 0 && static_cast<int64_t>(out.size()) == most) {
      out.push_back(text.substr(at));
      break;
    }
    size_t end = at;
    while (end < text.size() && !is_python_space(code_point_at(text, end))) {
      end += utf8_step(bytes.substr(end)).size;
    }
    budget.spend(64);
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

std::vector<Text> rsplit_at_space(const Text& text, int64_t most, Budget& budget) {
  std::vector<Text> words = split_at_space(text, -1, budget);
  if (most < 0 || static_cast<int64_t>(words.size()) <= most) return words;
  // The first piece keeps the white space before and between its words.
  Text head = strip(text, std::nullopt, Side::kRight, budget);
  std::vector<Text> out;
  for (int64_t i = 0; i < most; ++i) {
    out.push_back(words.back());
    head = strip(head.substr(0, head.size() - words.back().size()), std::nullopt, Side::kRight,
                 budget);
    words.pop_back();
  }
  out.push_back(std::move(head));
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace

Text strip(const Text& text, const std::optional<std::string>& chars, Side side, Budget& budget) {
  const std::string_view bytes = text.bytes;
  size_t first = 0, last = bytes.size();
  // The size of the code point at `at`, if it is to go.
  auto goes = [&](size_t at) -> size_t {
    const Utf8Step step = utf8_step(bytes.substr(at));
    budget.spend(8 + (chars ? chars->size() : 0));
    const bool gone = chars ? chars->find(bytes.substr(at, step.size)) != std::string::npos
                            : is_python_space(step.code_point);
    return gone ? step.size : 0;
  };
  while (side != Side::kRight && first < last) {
    const size_t size = goes(first);
    if (size == 0) break;
    first += size;
  }
  while (side != Side::kLeft && first < last) {
    size_t at = last - 1;
    while (at > first && (bytes[at] & 0xC0) == 0x80) --at;
    if (goes(at) == 0) break;
    last = at;
  }
  budget.spend(last - first);
  return text.substr(first, last - first);
}

std::vector<Text> split(const Text& text, const std::optional<std::string>& separator, int64_t most,
                        bool from_right, Budget& budget) {
  budget.spend(text.size() + 64);
  if (!separator) {
    return from_right ? rsplit_at_space(text, most, budget) : split_at_space(text, most, budget);
  }
  if (separator->empty()) throw TemplateError("split: empty separator");
  std::vector<Text> out;
  if (from_right) {
    size_t end = text.size();
    while (most < 0 || static_cast<int64_t>(out.size()) < most) {
      const size_t at =
          find_last_text(std::string_view(text.bytes).substr(0, end), *separator, budget);
      if (at == std::string::npos) break;
      budget.spend(64);
      out.push_back(text.substr(at + separator->size(), end - at - separator->size()));
      end = at;
    }
    out.push_back(text.substr(0, end));
    std::reverse(out.begin(), out.end());
    return out;
  }
  size_t begin = 0;
  while (most < 0 || static_cast<int64_t>(out.size()) < most) {
    const size_t at = find_text(text.bytes, *separator, begin, budget);
    if (at == std::string::npos) break;
    budget.spend(64);
    out.push_back(text.substr(begin, at - begin));
    begin = at + separator->size();
  }
  out.push_back(text.substr(begin));
  return out;
}

std::vector<Text> split_lines(const Text& text, Budget& budget) {
  budget.spend(8 * text.size());
  std::vector<Text> out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(std::string_view(text.bytes).substr(at));
    const char32_t c = step.code_point;
    const size_t end = at;
    at += step.size;
    if ((c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
        c == 0x2029) {
      budget.spend(64);
      if (c == '\r' && at < text.size() && text.bytes[at] == '\n') ++at;
      out.push_back(text.substr(begin, end - begin));
      begin = at;
    }
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

Text replace(const Text& text, const std::string& from, const Text& to, int64_t most,
             Budget& budget) {
  budget.spend(text.size() + 1);
  Text out;
  size_t begin = 0, search = 0;
  for (int64_t done = 0; most < 0 || done < most; ++done) {
    const size_t at = find_text(text.bytes, from, search, budget);
    if (at == std::string::npos) break;
    budget.spend(to.size() + 8);
    out.append(text.substr(begin, at - begin));
    out.append(to);
    begin = at + from.size();
    if (!from.empty()) {
      search = begin;
    } else if (at == text.size()) {
      break;
    } else {
      search = at + utf8_step(std::string_view(text.bytes).substr(at)).size;
    }
  }
  out.append(text.substr(begin));
  return out;
}

Text repeat(const Text& text, int64_t times, Budget& budget) {
  Text out;
  if (text.size() == 0 || times <= 0) return out;
  size_t size = 0;
  if (__builtin_mul_overflow(text.size(), static_cast<size_t>(times), &size)) size = SIZE_MAX;
  budget.spend(size);
  out.bytes.reserve(size);
  out.marks.reserve(size);
  while (out.size() < size) out.append(text);
  return out;
}

Text join(const Text& separator, const std::vector<Text>& parts, Budget& budget) {
  Text out;
  for (size_t i = 0; i < parts.size(); ++i) {
    budget.spend(separator.size() + parts[i].size());
    if (i > 0) out.append(separator);
    out.append(parts[i]);
  }
  return out;
}

Text change_case(const Text& text, Case to, Budget& budget) {
  bool first = true, in_word = false;
  return mapped(text, budget, [&](std::string& out, char32_t c) {
    const bool starts = to == Case::kCapitalize ? first : !in_word;
    first = false;
    in_word = is_cased(c);
    if (to == Case::kUpper || (to == Case::kSwap && lower(c) == c)) {
      append_upper(out, c, false);
    } else if (starts && (to == Case::kTitle || to == Case::kCapitalize)) {
      append_upper(out, c, true);
    } else {
      append_utf8(out, lower(c));
    }
  });
}

Text title_words(const Text& text, Budget& budget) {
  bool starts = true;
  return mapped(text, budget, [&](std::string& out, char32_t c) {
    const bool between =
        is_python_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                               std::string_view::npos);
    if (starts && !between) {
      append_upper(out, c, false);
    } else {
      append_utf8(out, lower(c));
    }
    starts = between;
  });
}

Text escape_html(const Text& text, Budget& budget) {
  return mapped(text, budget, [](std::string& out, char32_t c) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        append_utf8(out, c);
    }
  });
}

namespace {

// Without white space around it and single underscores between digits; empty if it has others.
std::string bare_number(std::string_view text) {
  while (!text.empty() && is_python_space(utf8_step(text).code_point)) {
    text.remove_prefix(utf8_step(text).size);
  }
  std::string bare(text);
  while (!bare.empty()) {
    size_t at = bare.size() - 1;
    while (at > 0 && (bare[at] & 0xC0) == 0x80) --at;
    if (!is_python_space(utf8_step(std::string_view(bare).substr(at)).code_point)) break;
    bare.resize(at);
  }
  for (size_t i = 0; i < bare.size(); ++i) {
    if (bare[i] != '_') continue;
    const bool between = i > 0 && i + 1 < bare.size() &&
                         std::isalnum(static_cast<unsigned char>(bare[i - 1])) != 0 &&
                         std::isalnum(static_cast<unsigned char>(bare[i + 1])) != 0;
    if (!between) return "";
  }
  std::erase(bare, '_');
  return bare;
}

}  // namespace

std::optional<int64_t> parse_int(std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) throw TemplateError("int() base must be 2 to 36 or 0");
  std::string digits = bare_number(text);
  const bool signs = digits.starts_with('-') || digits.starts_with('+');
  const bool negative = digits.starts_with('-');
  if (signs) digits.erase(0, 1);
  const char prefix =
      digits.size() > 1 && digits[0] == '0' ? static_cast<char>(digits[1] | 0x20) : ' ';
  const int64_t named = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
  if (named != 0 && (base == 0 || base == named)) {
    base = named;
    digits.erase(0, 2);
  }
  if (base == 0) base = 10;
  if (digits.empty() || std::isalnum(static_cast<unsigned char>(digits[0])) == 0) return {};
  if (negative) digits.insert(0, "-");
  int64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, value, static_cast<int>(base));
  if (read.ptr != end) return {};
  if (read.ec != std::errc{}) throw TemplateError("the integer " + digits + " is beyond 64 bits");
  return value;
}

std::optional<double> parse_float(std::string_view text) {
  std::string number = bare_number(text);
  for (char& c : number) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  const bool negative = number.starts_with('-');
  if (negative || number.starts_with('+')) number.erase(0, 1);
  if (number.empty() || number[0] == '-' || number[0] == '+') return {};
  double value = 0;
  const char* end = number.data() + number.size();
  const auto read = std::from_chars(number.data(), end, value);
  if (read.ptr != end || number.find('(') != std::string::npos) return {};
  if (read.ec == std::errc::result_out_of_range) {
    value = std::strtod(number.c_str(), nullptr);  // 0 or infinity, as Python
  } else if (read.ec != std::errc{}) {
    return {};
  }
  return negative ? -value : value;
}

}  // namespace r1::jinja
