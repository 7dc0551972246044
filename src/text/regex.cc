#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <new>

#include "base/error.h"
#include "text/json_node.h"
#include "text/unicode.h"

namespace r1 {
namespace {

// Unicode White_Space. PCRE2's own \s counts U+180E too.
constexpr std::string_view kSpace =
    R"(\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
// Alphabetic, M, Nd, Pc. PCRE2's own \w lacks the marks and has all of N.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169})"
    R"(\x{1F170}-\x{1F189})";
constexpr std::string_view kHexDigit = "0-9A-Fa-f";

// Backtracking steps allowed in one match, and more for each byte of the subject: honest patterns
// take a few a byte, a hostile one gives up within a fraction of a second.
constexpr uint64_t kMatchLimit = 5'000'000, kMatchLimitPerByte = 16;
constexpr size_t kJitStackStart = size_t{1} << 16, kJitStackMax = size_t{1} << 26;

// Rewrites Oniguruma's Ruby syntax as PCRE2's.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (in_[at_] == '\\') {
        escape();
      } else if (in_class_) {
        class_char();
      } else if (in_[at_] == '[') {
        open_class();
      } else if (in_.substr(at_, 2) == "(?") {
        group();
      } else if (in_[at_] == '{') {
        interval();
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(where_ + ": the pattern " + in_quotes(in_) + " " + what);
  }

  void copy(size_t n) {
    out_ += in_.substr(at_, n);
    at_ += n;
  }

  void set(std::string_view members, bool negated) {
    at_ += 2;
    out_ += in_class_ ? std::string(members) : (negated ? "[^" : "[") + std::string(members) + "]";
  }

  void escape() {
    if (at_ + 1 == in_.size()) fail("ends in a lone backslash");
    const char c = in_[at_ + 1];
    if (c == 's') return set(kSpace, false);
    if (c == 'w') return set(kWord, false);
    if (c == 'h') return set(kHexDigit, false);
    if (c == 'S' && !in_class_) return set(kSpace, true);
    if (c == 'W' && !in_class_) return set(kWord, true);
    if (c == 'H' && !in_class_) return set(kHexDigit, true);
    if (c == 'H' || c == 'W') fail(std::string("has \\") + c + " inside [], not supported");
    const bool braces = (c == 'p' || c == 'P' || c == 'x') && in_.substr(at_ + 2, 1) == "{";
    const size_t close = braces ? in_.find('}', at_) : std::string_view::npos;
    copy(close == std::string_view::npos ? 2 : close + 1 - at_);
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (at_ < in_.size() && in_[at_] == '^') copy(1);
    if (at_ < in_.size() && in_[at_] == ']') copy(1);  // first in a class: itself
  }

  void class_char() {
    if (in_.substr(at_, 2) == "&&") fail("intersects classes with &&, not supported");
    if (in_[at_] == ']') in_class_ = false;
    if (in_[at_] != '[') return copy(1);
    const size_t close = in_.find(":]", at_);
    if (in_.substr(at_, 2) != "[:" || close == std::string_view::npos) {
      fail("has a [] inside [], not supported");
    }
    copy(close + 2 - at_);
  }

  // (?imx-imx) and (?imx-imx: ; Ruby's m lets the dot match a newline, which is PCRE2's s.
  void group() {
    copy(2);
    const size_t end = std::min(in_.find_first_not_of("imx-", at_), in_.size());
    const bool options = end < in_.size() && (in_[end] == ')' || in_[end] == ':');
    for (; options && at_ < end; ++at_) out_ += in_[at_] == 'm' ? 's' : in_[at_];
  }

  void interval() {
    const size_t close = in_.find_first_not_of("0123456789,", at_ + 1);
    if (close == std::string_view::npos || in_[close] != '}' || close == at_ + 1) return copy(1);
    if (in_.substr(close + 1, 1) == "+") {
      fail("has + after an interval, which Ruby and PCRE2 read differently: not supported");
    }
    if (in_[at_ + 1] == ',') {  // {,n}
      out_ += "{0";
      ++at_;
    }
    copy(close + 1 - at_);
  }

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

Regex Regex::compile(std::string_view pattern, const std::string& where) {
  const unsigned options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  return Regex(Translator(pattern, where).run(), options, where);
}

Regex Regex::literal(std::string_view text, const std::string& where) {
  return Regex(text, PCRE2_UTF | PCRE2_LITERAL, where);
}

Regex Regex::parse(const JsonNode& node) {
  if (const auto text = node.find("String")) return literal(text->string(), text->where());
  if (const auto pattern = node.find("Regex")) return compile(pattern->string(), pattern->where());
  node.fail("expected {\"String\": ...} or {\"Regex\": ...}");
}

Regex::Regex(std::string_view pattern, unsigned options, const std::string& where) : where_(where) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   options, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (!code) {
    char message[256] = "";
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    throw InputError(where + ": the pattern " + in_quotes(pattern) + " is not valid at byte " +
                     std::to_string(offset) + ": " + message);
  }
  jit_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
  code_ = {code, [](const pcre2_code* c) { pcre2_code_free(const_cast<pcre2_code*>(c)); }};
}

RegexMatcher::RegexMatcher(const Regex& regex)
    : regex_(regex),
      data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)) {
  if (!data_ || !context_) throw std::bad_alloc();
}

RegexMatcher::~RegexMatcher() {
  pcre2_match_data_free(data_);
  pcre2_match_context_free(context_);
  if (stack_) pcre2_jit_stack_free(stack_);
}

int RegexMatcher::match(std::string_view subject, size_t from) {
  // Without NO_UTF_CHECK each call would walk the whole subject.
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  if (regex_.jit_) {
    return pcre2_jit_match(regex_.code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK,
                           data_, context_);
  }
  return pcre2_match(regex_.code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK, data_,
                     context_);
}

int RegexMatcher::match_with_more_stack(std::string_view subject, size_t from) {
  if (!stack_) {
    stack_ = pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr);
    if (!stack_) throw std::bad_alloc();
    pcre2_jit_stack_assign(context_, nullptr, stack_);
  }
  return match(subject, from);
}

bool RegexMatcher::find(std::string_view subject, size_t from, size_t& begin, size_t& end) {
  int rc = match(subject, from);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !stack_) rc = match_with_more_stack(subject, from);
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data_);
  if (rc < 0 || bounds[0] < from || bounds[1] < bounds[0]) {
    throw InputError(regex_.where_ + ": the pattern gave up on a text of " +
                     std::to_string(subject.size()) + " bytes (PCRE2 error " + std::to_string(rc) +
                     ")");
  }
  begin = bounds[0];
  end = bounds[1];
  return true;
}

void RegexMatcher::cut(std::string_view subject, std::vector<RegexPiece>& pieces) {
  pieces.clear();
  if (subject.empty()) return;
  const uint64_t limit = kMatchLimit + kMatchLimitPerByte * subject.size();
  pcre2_set_match_limit(context_, static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
  size_t from = 0, done = 0, begin, end;
  bool matched = false;
  while (from <= subject.size() && find(subject, from, begin, end)) {
    if (begin == end && matched && end == done) {
      // An empty match where the last one ended is not a match; look one character further.
      from += from < subject.size() ? utf8_step(subject.substr(from)).size : 1;
      continue;
    }
    if (begin > done) pieces.push_back({done, begin, false});
    pieces.push_back({begin, end, true});
    matched = true;
    from = done = end;
  }
  if (done < subject.size()) pieces.push_back({done, subject.size(), false});
}

std::string RegexMatcher::replace(std::string_view subject, std::string_view by) {
  cut(subject, scratch_);
  std::string out;
  out.reserve(subject.size());
  for (const RegexPiece& piece : scratch_) {
    out += piece.is_match ? by : subject.substr(piece.begin, piece.end - piece.begin);
  }
  return out;
}

}  // namespace r1
