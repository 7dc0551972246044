// A chat template's source as tokens, with Jinja's white space control applied: trim_blocks and
// lstrip_blocks on, as transformers has them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace r1::jinja {

enum class TokenType {
  kData,  // text between tags
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,  // text: the string's value
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 0;
  std::string text;
};

// InputError("WHERE:LINE: ...") for what is no token. The last token is kEnd.
std::vector<Token> tokenize(std::string_view source, const std::string& where);

// str.isspace, which is \s of Python's regular expressions.
bool is_python_space(char32_t c);

}  // namespace r1::jinja
