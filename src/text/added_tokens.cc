#include "text/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "text/json_node.h"
#include "text/unicode.h"

namespace r1 {
namespace {

// Bounds the work at one position of a text.
constexpr size_t kMaxContent = 1024;
constexpr int64_t kMaxId = (int64_t{1} << 24) - 1;

// The last character's first byte.
size_t last_char(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

bool ends_in_word(std::string_view text) {
  return !text.empty() && is_word(utf8_step(text.substr(last_char(text))).code_point);
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word(utf8_step(text).code_point);
}

size_t space_before(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0) {
    const size_t at = last_char(text.substr(0, begin));
    if (!is_white_space(utf8_step(text.substr(at)).code_point)) break;
    begin = at;
  }
  return text.size() - begin;
}

size_t space_after(std::string_view text) {
  size_t end = 0;
  while (end < text.size()) {
    const Utf8Step step = utf8_step(text.substr(end));
    if (!is_white_space(step.code_point)) break;
    end += step.size;
  }
  return end;
}

AddedToken parse_token(const JsonNode& node) {
  AddedToken token;
  token.id = static_cast<int>(node.at("id").integer(0, kMaxId));
  token.content = node.string("content");
  if (token.content.empty() || token.content.size() > kMaxContent) {
    node.at("content").fail("expected 1 to " + std::to_string(kMaxContent) + " bytes, came " +
                            std::to_string(token.content.size()));
  }
  token.special = node.boolean("special", false);
  token.lstrip = node.boolean("lstrip", false);
  token.rstrip = node.boolean("rstrip", false);
  token.single_word = node.boolean("single_word", false);
  token.normalized = node.boolean("normalized", !token.special);
  return token;
}

}  // namespace

void TokenFinder::add(const AddedToken& token, std::string_view pattern) {
  if (pattern.empty()) return;
  uint64_t node = 0;
  for (const char c : pattern) {
    const uint64_t key = node * 256 + static_cast<unsigned char>(c);
    const auto [it, fresh] = children_.try_emplace(key, static_cast<uint32_t>(leaf_.size()));
    if (fresh) leaf_.push_back(-1);
    node = it->second;
  }
  if (leaf_[node] >= 0) return;  // two tokens that normalize to one text: the first
  leaf_[node] = static_cast<int>(tokens_.size());
  tokens_.push_back(&token);
  first_bytes_[static_cast<unsigned char>(pattern[0])] = true;
}

const AddedToken* TokenFinder::match(std::string_view text, size_t& size) const {
  const AddedToken* best = nullptr;
  uint64_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto it = children_.find(node * 256 + static_cast<unsigned char>(text[i]));
    if (it == children_.end()) break;
    node = it->second;
    if (leaf_[node] < 0) continue;
    best = tokens_[static_cast<size_t>(leaf_[node])];
    size = i + 1;
  }
  return best;
}

std::vector<TokenFinder::Part> TokenFinder::split(std::string_view text,
                                                  std::span<const PromptText::Range> data) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !empty();) {
    size_t size = 0;
    while (!data.empty() && data[0].end <= at) data = data.subspan(1);
    const size_t limit = data.empty() ? text.size() : std::max(data[0].begin, at);
    const bool candidate = first_bytes_[static_cast<unsigned char>(text[at])];
    const AddedToken* token = candidate ? match(text.substr(at, limit - at), size) : nullptr;
    if (!token) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + size;
    at = end;
    if (token->single_word &&
        (ends_in_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    // White space that the token before has taken is not taken twice.
    if (token->lstrip) begin = std::max(begin - space_before(text.substr(0, begin)), done);
    if (token->rstrip) end += space_after(text.substr(end));
    if (done < begin) parts.push_back({done, begin, nullptr});
    parts.push_back({begin, end, token});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), nullptr});
  return parts;
}

AddedTokens AddedTokens::parse(const JsonNode& node, const Normalizer& normalizer,
                               const std::function<int(std::string_view)>& token_to_id) {
  AddedTokens out;
  std::unordered_map<std::string, int> ids;
  std::unordered_map<int, std::string> contents;
  for (const JsonNode& item : node.items()) {
    AddedToken token = parse_token(item);
    const int own = token_to_id(token.content);
    if (own >= 0 && own != token.id) {
      item.fail(in_quotes(token.content) + " has the id " + std::to_string(token.id) +
                ", but the vocabulary gives it " + std::to_string(own));
    }
    const auto by_content = ids.try_emplace(token.content, token.id).first;
    const auto by_id = contents.try_emplace(token.id, token.content).first;
    if (by_content->second != token.id || by_id->second != token.content) {
      item.fail("the id " + std::to_string(token.id) + " of " + in_quotes(token.content) +
                " contradicts an added token before it");
    }
    out.tokens_->push_back(std::move(token));
  }
  for (const AddedToken& token : *out.tokens_) {
    if (token.normalized) {
      out.normalized_.add(token, normalizer.apply(token.content));
    } else {
      out.raw_.add(token, token.content);
    }
  }
  return out;
}

}  // namespace r1
