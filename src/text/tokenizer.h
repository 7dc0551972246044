// Text to token ids and back, from a Hugging Face tokenizer.json with a BPE model.
//
// The format and its meaning are those of the tokenizers library, whose ids this gives;
// `truncation` and `padding` are the caller's business and are not applied. Departures: an added
// token's `id` in the file is binding (the library renumbers), and files that contradict themselves
// are refused.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/decoder.h"
#include "text/prompt_text.h"

namespace r1 {

// Immutable: copies share one state, and every method may run on many threads at once.
class Tokenizer {
 public:
  // InputError, one line: what is wrong, where, what was expected and what came.
  static Tokenizer load(const std::filesystem::path& tokenizer_json);
  // `where` names the source in errors.
  static Tokenizer parse(std::string_view json, const std::string& where);

  // Texts of added tokens become those tokens, special ones included. Bytes that are no UTF-8
  // count as U+FFFD. add_special_tokens applies the file's template (BOS, EOS).
  std::vector<int> encode(std::string_view text, bool add_special_tokens = false) const;
  // The same, but an added token that touches the prompt's data is text like any other. Where there
  // is no such token the ids are encode(prompt.text).
  std::vector<int> encode(const PromptText& prompt) const;

  // Ids that are no token are left out: a model's output may be wider than its vocabulary. Token
  // bytes that are no UTF-8 give U+FFFD.
  std::string decode(std::span<const int> ids, bool skip_special_tokens = false) const;

  // The largest id + 1, added tokens included.
  int vocab_size() const;
  std::optional<int> token_to_id(std::string_view token) const;
  // As it stands in the file (byte-level tokens in the byte alphabet); empty where the id is no
  // token.
  const std::string& id_to_token(int id) const;
  // Whether decode leaves it out on request.
  bool is_special(int id) const;
  // The file as read, to be saved again byte for byte.
  const std::string& json() const;

 private:
  friend class StreamDecoder;
  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  // The token's text for the decoder, or nothing where it is left out.
  const std::string* text_for_decoding(int id, bool skip_special_tokens) const;

  std::shared_ptr<const State> state_;
};

// Decodes ids one by one. What push and finish return, put together, is decode(all ids), and each
// of it is whole characters. Not thread-safe; keeps the tokenizer alive.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens);
  std::string push(int id);
  // What is still held back. Nothing may be pushed after it.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  Decoder::Stream stream_;
};

}  // namespace r1
