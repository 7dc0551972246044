// Regular expressions of tokenizer.json, run by PCRE2's JIT.
//
// Hugging Face runs them with Oniguruma in its Ruby syntax. Where that differs from PCRE2 the
// pattern is rewritten (\s, \w, \h, inline option m, {,n}) or, where it cannot be, refused: a
// silently different split would mean silently different token ids.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace r1 {

class JsonNode;

// A compiled pattern: immutable, cheap to copy, safe to share between threads.
class Regex {
 public:
  // InputError where the pattern is not valid or not supported; `where` names its place.
  static Regex compile(std::string_view pattern, const std::string& where);
  // {"String": text} or {"Regex": pattern}, as Split and Replace have it.
  static Regex parse(const JsonNode& node);
  // Matches the text itself.
  static Regex literal(std::string_view text, const std::string& where);

 private:
  friend class RegexMatcher;
  Regex(std::string_view pattern, unsigned options, const std::string& where);

  std::shared_ptr<const pcre2_real_code_8> code_;
  bool jit_ = false;
  std::string where_;
};

// A piece of a subject: bytes [begin, end), and whether the pattern matched there.
struct RegexPiece {
  size_t begin, end;
  bool is_match;
};

// The state of matching; one a thread. The regex must outlive it.
class RegexMatcher {
 public:
  explicit RegexMatcher(const Regex& regex);
  ~RegexMatcher();
  RegexMatcher(const RegexMatcher&) = delete;
  RegexMatcher& operator=(const RegexMatcher&) = delete;

  // Cuts valid UTF-8 into matches and the gaps between them, in order; they cover the subject.
  // Replaces `pieces`. InputError where the pattern backtracks beyond its limit.
  void cut(std::string_view subject, std::vector<RegexPiece>& pieces);

  // Every match replaced by the text `by`, which is taken literally.
  std::string replace(std::string_view subject, std::string_view by);

 private:
  bool find(std::string_view subject, size_t from, size_t& begin, size_t& end);
  int match(std::string_view subject, size_t from);
  int match_with_more_stack(std::string_view subject, size_t from);

  const Regex& regex_;
  pcre2_real_match_data_8* data_;
  pcre2_real_match_context_8* context_;
  pcre2_real_jit_stack_8* stack_ = nullptr;  // made when the machine's own stack does not do
  std::vector<RegexPiece> scratch_;
};

}  // namespace r1
