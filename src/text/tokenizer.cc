#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/json_node.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/unicode.h"

namespace r1 {
namespace {

// The largest files known are under 40 MB.
constexpr uint64_t kMaxFile = uint64_t{1} << 29;

// The parts of ranges that lie in [begin, end), counted from begin.
std::vector<PromptText::Range> ranges_within(std::span<const PromptText::Range> ranges,
                                             size_t begin, size_t end) {
  std::vector<PromptText::Range> out;
  for (const PromptText::Range& r : ranges) {
    const size_t from = std::max(r.begin, begin), to = std::min(r.end, end);
    if (from < to) out.push_back({from - begin, to - begin});
  }
  return out;
}

}  // namespace

struct Tokenizer::State {
  std::string json;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  AddedTokens added;
  PostProcessor post_processor;
  Decoder decoder;
  std::vector<std::string> tokens;                        // by id, added tokens included
  std::vector<bool> special;                              // by id
  std::unordered_map<int, std::string> normalized_texts;  // see text_for_decoding

  static State parse(const JsonNode& root);
  void merge_added_tokens(const JsonNode& root);
  std::vector<int> encode(std::string_view text, std::span<const PromptText::Range> data) const;
  void encode_segment(std::string_view text, bool at_start, std::span<const PromptText::Range> data,
                      Bpe::Scratch& scratch, std::vector<int>& ids) const;
};

Tokenizer::State Tokenizer::State::parse(const JsonNode& root) {
  if (const auto version = root.find("version"); version && version->string() != "1.0") {
    version->fail("expected \"1.0\", came " + in_quotes(version->string()));
  }
  PreTokenizer pre_tokenizer;
  if (const auto node = root.find("pre_tokenizer")) pre_tokenizer = PreTokenizer::parse(*node);
  Bpe bpe = Bpe::parse(root.at("model"), pre_tokenizer.raw_bytes());
  State state{.json = {},
              .normalizer = {},
              .pre_tokenizer = std::move(pre_tokenizer),
              .bpe = std::move(bpe),
              .added = {},
              .post_processor = {},
              .decoder = {},
              .tokens = {},
              .special = {},
              .normalized_texts = {}};
  if (const auto node = root.find("normalizer")) state.normalizer = Normalizer::parse(*node);
  if (const auto node = root.find("decoder")) state.decoder = Decoder::parse(*node);
  if (const auto node = root.find("post_processor")) {
    state.post_processor = PostProcessor::parse(*node);
  }
  state.merge_added_tokens(root);
  for (const int id : state.post_processor.added_ids()) {
    if (id >= static_cast<int>(state.tokens.size())) {
      root.at("post_processor")
          .fail("the special token's id " + std::to_string(id) + " is no token");
    }
  }
  return state;
}

void Tokenizer::State::merge_added_tokens(const JsonNode& root) {
  tokens = bpe.take_tokens();
  if (const auto node = root.find("added_tokens")) {
    added = AddedTokens::parse(*node, normalizer,
                               [&](std::string_view token) { return bpe.token_to_id(token); });
  }
  // Holes between the ids are tolerated, but not a table made of them.
  const size_t limit = std::max<size_t>(65536, 8 * (tokens.size() + added.tokens().size()));
  for (const AddedToken& token : added.tokens()) {
    const auto id = static_cast<size_t>(token.id);
    if (id >= limit) {
      root.at("added_tokens")
          .fail("the id " + std::to_string(id) + " of " + in_quotes(token.content) +
                " is far beyond the vocabulary's " + std::to_string(tokens.size()) + " tokens");
    }
    if (id >= tokens.size()) tokens.resize(id + 1);
    if (!tokens[id].empty() && tokens[id] != token.content) {
      root.at("added_tokens")
          .fail("the id " + std::to_string(id) + " of " + in_quotes(token.content) +
                " belongs to " + in_quotes(tokens[id]) + " already");
    }
    tokens[id] = token.content;
    if (id >= special.size()) special.resize(id + 1);
    if (token.special) special[id] = true;
    if (token.normalized && !normalizer.empty()) {
      normalized_texts[token.id] = normalizer.apply(token.content);
    }
  }
  special.resize(tokens.size());
}

// `data`: in bytes of `text`.
void Tokenizer::State::encode_segment(std::string_view text, bool at_start,
                                      std::span<const PromptText::Range> data,
                                      Bpe::Scratch& scratch, std::vector<int>& ids) const {
  std::string normalized;
  std::vector<PromptText::Range> moved;
  if (!normalizer.empty()) {
    normalized = normalizer.apply(text);
    if (!added.in_normalized_text().empty()) {
      for (const PromptText::Range& range : data) {
        moved.push_back({normalizer.apply(text.substr(0, range.begin)).size(),
                         normalizer.apply(text.substr(0, range.end)).size()});
      }
      data = moved;
    }
    text = normalized;
  }
  for (const TokenFinder::Part& part : added.in_normalized_text().split(text, data)) {
    if (part.token) {
      ids.push_back(part.token->id);
      continue;
    }
    Words words(text.substr(part.begin, part.end - part.begin));
    pre_tokenizer.apply(words, at_start && part.begin == 0);
    for (size_t i = 0; i < words.size(); ++i) bpe.encode(words[i], scratch, ids);
  }
}

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  return parse(read_file(tokenizer_json, kMaxFile), tokenizer_json.string());
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  if (json.size() > kMaxFile) {
    throw InputError(where + ": expected a tokenizer.json of at most " + std::to_string(kMaxFile) +
                     " bytes, came " + std::to_string(json.size()));
  }
  const JsonDocument document(json, where);
  auto state = std::make_shared<State>(State::parse(document.root()));
  state->json = json;
  return Tokenizer(std::move(state));
}

std::vector<int> Tokenizer::State::encode(std::string_view text,
                                          std::span<const PromptText::Range> data) const {
  std::vector<int> ids;
  Bpe::Scratch scratch;
  for (const TokenFinder::Part& part : added.in_raw_text().split(text, data)) {
    if (part.token) {
      ids.push_back(part.token->id);
    } else {
      const auto segment = text.substr(part.begin, part.end - part.begin);
      encode_segment(segment, part.begin == 0, ranges_within(data, part.begin, part.end), scratch,
                     ids);
    }
  }
  return ids;
}

std::vector<int> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string repaired;
  if (!is_utf8(text)) {
    repaired = to_utf8_lossy(text);
    text = repaired;
  }
  return state_->post_processor.apply(state_->encode(text, {}), add_special_tokens);
}

std::vector<int> Tokenizer::encode(const PromptText& prompt) const {
  R1_CHECK(is_utf8(prompt.text));
  return state_->post_processor.apply(state_->encode(prompt.text, prompt.data), false);
}

const std::string* Tokenizer::text_for_decoding(int id, bool skip_special_tokens) const {
  if (id < 0 || id >= vocab_size() || id_to_token(id).empty()) return nullptr;
  if (skip_special_tokens && is_special(id)) return nullptr;
  // A token found in normalized text is decoded from its normalized form, so that the decoder
  // undoes what the normalizer did (tokenizers 0.22 and later).
  const auto it = state_->normalized_texts.find(id);
  return it == state_->normalized_texts.end() ? &id_to_token(id) : &it->second;
}

std::string Tokenizer::decode(std::span<const int> ids, bool skip_special_tokens) const {
  StreamDecoder stream(*this, skip_special_tokens);
  std::string out;
  for (const int id : ids) out += stream.push(id);
  return out += stream.finish();
}

int Tokenizer::vocab_size() const {
  return static_cast<int>(state_->tokens.size());
}

std::optional<int> Tokenizer::token_to_id(std::string_view token) const {
  if (const int id = state_->bpe.token_to_id(token); id >= 0) return id;
  for (const AddedToken& added : state_->added.tokens()) {
    if (added.content == token) return added.id;
  }
  return std::nullopt;
}

const std::string& Tokenizer::id_to_token(int id) const {
  static const std::string kNone;
  return id >= 0 && id < vocab_size() ? state_->tokens[static_cast<size_t>(id)] : kNone;
}

bool Tokenizer::is_special(int id) const {
  return id >= 0 && id < vocab_size() && state_->special[static_cast<size_t>(id)];
}

const std::string& Tokenizer::json() const {
  return state_->json;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer),
      skip_special_tokens_(skip_special_tokens),
      stream_(tokenizer_.state_->decoder) {}

std::string StreamDecoder::push(int id) {
  const std::string* text = tokenizer_.text_for_decoding(id, skip_special_tokens_);
  return text ? stream_.push(*text) : "";
}

std::string StreamDecoder::finish() {
  return stream_.finish();
}

}  // namespace r1
