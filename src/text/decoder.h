// The `decoder` of tokenizer.json: tokens back to text, all at once or token by token.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace r1 {

class JsonNode;

// One stage of decoding, over a stream of tokens. A token may come in several chunks, of which
// the last has `ends`: that is how a stage that fuses tokens can pass text on before the end.
class DecodeStage {
 public:
  struct Chunk {
    std::string text;  // whole UTF-8 characters
    bool ends;         // the token ends here
  };

  virtual ~DecodeStage() = default;
  virtual void push(Chunk chunk, std::vector<Chunk>& out) = 0;
  // No more chunks come.
  virtual void finish(std::vector<Chunk>& out) = 0;
};

// Immutable after parsing. Types: ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace,
// BPEDecoder, Sequence. Without a decoder tokens are joined by spaces, as the reference does.
class Decoder {
 public:
  Decoder() = default;
  // InputError names an unknown type or a wrong field.
  static Decoder parse(const JsonNode& node);

  // Decodes one stream of tokens. The text of all tokens is the concatenation of what push and
  // finish return, and each of these is whole characters: a stage holds back what later tokens
  // can still change. The decoder must outlive it.
  class Stream {
   public:
    explicit Stream(const Decoder& decoder);
    std::string push(std::string_view token);
    std::string finish();

   private:
    void feed(size_t stage, std::vector<DecodeStage::Chunk> chunks, std::string& out);
    std::vector<std::unique_ptr<DecodeStage>> stages_;
  };

 private:
  enum class Kind { kByteLevel, kByteFallback, kFuse, kReplace, kStrip, kMetaspace, kBpe, kJoin };
  struct Step {
    Kind kind;
    std::string content =
        {};  // Replace: new text; Strip, Metaspace: the character; BPE: the suffix
    std::optional<Regex> pattern = {};
    int64_t start = 0, stop = 0;  // Strip
    bool drop_first = false;      // Metaspace: the first token loses its marks
  };

  void append(const JsonNode& node);
  static std::unique_ptr<DecodeStage> make_stage(const Step& step);

  std::vector<Step> steps_{{Kind::kJoin, " "}};
};

}  // namespace r1
