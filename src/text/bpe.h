// Byte-pair encoding, the `model` of tokenizer.json (type "BPE").
//
// Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016);
// the options are those of Hugging Face tokenizers, models/bpe. `dropout` is a training-time
// randomization and is ignored.
#pragma once

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/hash_tables.h"

namespace r1 {

class JsonNode;

// Safe to share between threads.
class Bpe {
 public:
  // Working memory of one thread's encoding.
  struct Scratch {
    std::vector<int> ids;
    std::vector<Merge> merges;
    std::string text;
  };

  // raw_bytes: words will come as bytes to be read in the byte alphabet (byte_level.h), not as
  // text. InputError on a vocabulary or merges that contradict themselves.
  static Bpe parse(const JsonNode& model, bool raw_bytes);

  // Appends the ids of one word. InputError where a character has no token and `unk_token` has
  // none either.
  void encode(std::string_view word, Scratch& scratch, std::vector<int>& ids) const;

  // -1 where it is no token of the model.
  int token_to_id(std::string_view token) const { return vocab_.find(token); }
  // By id; empty where the vocabulary skips an id. For the caller to keep: encoding needs them not.
  std::vector<std::string> take_tokens() { return std::move(tokens_); }

 private:
  Bpe() = default;
  void parse_vocab(const JsonNode& vocab);
  void parse_merges(const JsonNode& merges);

  int token_of(std::string_view word, Scratch& scratch) const;     // the token that it is, or -1
  void merge_word(std::string_view word, Scratch& scratch) const;  // into scratch.ids
  void append_symbols(std::string_view word, std::vector<int>& ids) const;
  void append_text_symbols(std::string_view text, std::vector<int>& ids) const;
  bool append_fallback(std::string_view symbol, std::vector<int>& ids) const;
  int unknown_id() const;
  void merge_short(Scratch& scratch) const;
  void merge_long(std::vector<int>& ids) const;

  std::string where_;
  std::vector<std::string> tokens_;
  StringTable vocab_;
  MergeTable merges_;
  std::optional<std::string> unk_token_;
  std::string prefix_, suffix_;  // continuing_subword_prefix, end_of_word_suffix
  bool fuse_unk_ = false, byte_fallback_ = false, ignore_merges_ = false, raw_bytes_ = false;

  std::array<int, 256> byte_ids_{};      // the byte alphabet's tokens; -1 where there is none
  std::array<int, 256> fallback_ids_{};  // <0x00> to <0xFF>
  // Words that are one token: most words of a text end here. With ignore_merges every token,
  // otherwise every token that its own merges lead to, which is found out when it first comes:
  // whole_[id] is then set.
  mutable std::vector<std::atomic<bool>> whole_;
};

}  // namespace r1
