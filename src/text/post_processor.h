// The `post_processor` of tokenizer.json: the special tokens around a sequence (BOS, EOS).
#pragma once

#include <vector>

namespace r1 {

class JsonNode;

// Immutable after parsing. Types: TemplateProcessing (its single-sequence template), ByteLevel
// (which only moves offsets, so nothing here), Sequence.
class PostProcessor {
 public:
  PostProcessor() = default;  // changes nothing
  // InputError names an unknown type or a wrong field.
  static PostProcessor parse(const JsonNode& node);

  // Without add_special_tokens the templates place the sequence alone.
  std::vector<int> apply(std::vector<int> ids, bool add_special_tokens) const;
  // Ids that apply may add; the caller checks that they exist.
  std::vector<int> added_ids() const;

 private:
  struct Piece {
    bool is_sequence;
    std::vector<int> ids;  // of a special token
  };

  void append(const JsonNode& node);
  static Piece parse_piece(const JsonNode& piece, const JsonNode& special_tokens);

  std::vector<std::vector<Piece>> templates_;
};

}  // namespace r1
