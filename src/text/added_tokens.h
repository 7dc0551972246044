// The `added_tokens` of tokenizer.json: texts that are one token wherever they stand, found before
// anything else is done to a text (<|endoftext|>, <think>).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/normalizer.h"
#include "text/prompt_text.h"

namespace r1 {

class JsonNode;

struct AddedToken {
  int id = 0;
  std::string content;
  bool special = false;      // left out by decode(skip_special_tokens)
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool single_word = false;  // not where a word continues on either side
  bool normalized = false;   // is looked for in normalized text
};

// Finds tokens in a text, leftmost first and of those the longest. Immutable after building.
class TokenFinder {
 public:
  // A part of a text: a token, or what lies between tokens (token == nullptr).
  struct Part {
    size_t begin, end;
    const AddedToken* token;
  };

  // `pattern` is what to look for; the token must outlive this.
  void add(const AddedToken& token, std::string_view pattern);

  bool empty() const { return tokens_.empty(); }
  // Parts in order; the white space that lstrip and rstrip take belongs to the token's part. A
  // token that touches `data` (ranges in order, apart from each other) is none.
  std::vector<Part> split(std::string_view text,
                          std::span<const PromptText::Range> data = {}) const;

 private:
  // The longest token at the front of `text`; size is its pattern's length.
  const AddedToken* match(std::string_view text, size_t& size) const;

  std::vector<const AddedToken*> tokens_;            // by trie leaf
  std::vector<int> leaf_{-1};                        // by trie node: index into tokens_, or -1
  std::unordered_map<uint64_t, uint32_t> children_;  // node * 256 + byte
  std::array<bool, 256> first_bytes_{};
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // token_to_id tells the model's own id of a text, or -1. InputError where a token's id
  // contradicts it or another added token.
  static AddedTokens parse(const JsonNode& node, const Normalizer& normalizer,
                           const std::function<int(std::string_view)>& token_to_id);

  const std::vector<AddedToken>& tokens() const { return *tokens_; }
  const TokenFinder& in_raw_text() const { return raw_; }
  const TokenFinder& in_normalized_text() const { return normalized_; }

 private:
  // On the heap: the finders point to the tokens.
  std::shared_ptr<std::vector<AddedToken>> tokens_ = std::make_shared<std::vector<AddedToken>>();
  TokenFinder raw_, normalized_;
};

}  // namespace r1
