#include "text/decoder.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/json_node.h"
#include "text/unicode.h"

namespace r1 {
namespace {

using Chunk = DecodeStage::Chunk;

// A stage that needs whole tokens: collects a token's chunks.
class TokenStage : public DecodeStage {
 public:
  void push(Chunk chunk, std::vector<Chunk>& out) final {
    if (!chunk.ends) {
      token_ += chunk.text;
      return;
    }
    if (token_.empty()) {
      token(std::move(chunk.text), out);
    } else {
      token_ += chunk.text;
      token(std::exchange(token_, {}), out);
    }
  }
  void finish(std::vector<Chunk>&) override {}

 private:
  virtual void token(std::string text, std::vector<Chunk>& out) = 0;
  std::string token_;
};

// All tokens become one: each token's bytes where it is of the byte alphabet, else its own.
class ByteLevelStage final : public TokenStage {
 public:
  void finish(std::vector<Chunk>& out) override { out.push_back({stream_.finish(), true}); }

 private:
  void token(std::string text, std::vector<Chunk>& out) override {
    const auto bytes = from_byte_level(text);
    out.push_back({stream_.push(bytes ? *bytes : text), false});
  }
  Utf8Stream stream_;
};

class FuseStage final : public DecodeStage {
 public:
  void push(Chunk chunk, std::vector<Chunk>& out) override {
    out.push_back({std::move(chunk.text), false});
  }
  void finish(std::vector<Chunk>& out) override { out.push_back({"", true}); }
};

// A run of tokens <0x00> to <0xFF> is one text if its bytes are UTF-8, otherwise one U+FFFD a
// byte; so the run is held until it ends.
class ByteFallbackStage final : public TokenStage {
 public:
  void finish(std::vector<Chunk>& out) override { flush(out); }

 private:
  static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  }

  void token(std::string text, std::vector<Chunk>& out) override {
    const bool form = text.size() == 6 && text.starts_with("<0x") && text.back() == '>';
    const int high = form ? hex(text[3]) : -1, low = form ? hex(text[4]) : -1;
    if (high >= 0 && low >= 0) {
      run_ += static_cast<char>(high * 16 + low);
      return;
    }
    flush(out);
    out.push_back({std::move(text), true});
  }

  void flush(std::vector<Chunk>& out) {
    if (run_.empty()) return;
    if (is_utf8(run_)) {
      out.push_back({run_, true});
    } else {
      for (size_t i = 0; i < run_.size(); ++i) out.push_back({std::string(kReplacementUtf8), true});
    }
    run_.clear();
  }

  std::string run_;
};

class ReplaceStage final : public TokenStage {
 public:
  ReplaceStage(const Regex& pattern, const std::string& content)
      : matcher_(pattern), content_(content) {}

 private:
  void token(std::string text, std::vector<Chunk>& out) override {
    out.push_back({matcher_.replace(text, content_), true});
  }
  RegexMatcher matcher_;
  const std::string& content_;
};

// Cuts up to `start` of a character from the front of each token and up to `stop` from its end.
class StripStage final : public DecodeStage {
 public:
  StripStage(const std::string& content, int64_t start, int64_t stop)
      : content_(content), start_(start), stop_(stop) {}

  void push(Chunk chunk, std::vector<Chunk>& out) override {
    std::string_view rest = chunk.text;
    while (at_front_ && !rest.empty()) {
      at_front_ = cut_ < start_ && rest.starts_with(content_);
      if (!at_front_) break;
      ++cut_;
      rest.remove_prefix(content_.size());
    }
    std::string kept;
    while (!rest.empty()) {
      const size_t size = utf8_step(rest).size;
      if (rest.starts_with(content_) && held_ < stop_) {
        ++held_;
      } else {
        if (!rest.starts_with(content_)) release(kept);
        kept += rest.substr(0, size);
      }
      rest.remove_prefix(size);
    }
    if (chunk.ends) {
      at_front_ = true;
      cut_ = held_ = 0;
    }
    out.push_back({std::move(kept), chunk.ends});
  }
  void finish(std::vector<Chunk>&) override {}

 private:
  void release(std::string& out) {
    for (; held_ > 0; --held_) out += content_;
  }

  const std::string& content_;
  int64_t start_, stop_;
  int64_t cut_ = 0, held_ = 0;
  bool at_front_ = true;
};

// The mark becomes a space; in the first token it goes, as it was put there by the encoder.
class MetaspaceStage final : public TokenStage {
 public:
  MetaspaceStage(const std::string& mark, bool drop_first) : mark_(mark), drop_(drop_first) {}

 private:
  void token(std::string text, std::vector<Chunk>& out) override {
    std::string kept;
    for (std::string_view rest = text; !rest.empty();) {
      const size_t size = utf8_step(rest).size;
      if (!rest.starts_with(mark_)) {
        kept += rest.substr(0, size);
      } else if (!drop_) {
        kept += ' ';
      }
      rest.remove_prefix(size);
    }
    drop_ = false;
    out.push_back({std::move(kept), true});
  }
  const std::string& mark_;
  bool drop_;
};

// An end-of-word suffix becomes a space, but nothing in the last token.
class BpeStage final : public TokenStage {
 public:
  explicit BpeStage(const std::string& suffix) : suffix_(suffix) {}
  void finish(std::vector<Chunk>& out) override {
    if (last_) out.push_back({replaced(""), true});
  }

 private:
  void token(std::string text, std::vector<Chunk>& out) override {
    if (last_) out.push_back({replaced(" "), true});
    last_ = std::move(text);
  }
  std::string replaced(std::string_view by) const {
    std::string out;
    size_t from = 0;
    for (size_t at; (at = last_->find(suffix_, from)) != std::string::npos;) {
      out.append(*last_, from, at - from).append(by);
      from = at + suffix_.size();
    }
    return out.append(*last_, from);
  }
  const std::string& suffix_;
  std::optional<std::string> last_;
};

class JoinStage final : public TokenStage {
 public:
  explicit JoinStage(const std::string& separator) : separator_(separator) {}

 private:
  void token(std::string text, std::vector<Chunk>& out) override {
    out.push_back({(first_ ? "" : separator_) + text, true});
    first_ = false;
  }
  const std::string& separator_;
  bool first_ = true;
};

void require_character(const JsonNode& node) {
  const std::string_view text = node.string();
  if (text.empty() || utf8_step(text).size != text.size()) {
    node.fail("expected one character, came " + in_quotes(text));
  }
}

}  // namespace

Decoder Decoder::parse(const JsonNode& node) {
  Decoder out;
  out.steps_.clear();
  out.append(node);
  return out;
}

void Decoder::append(const JsonNode& node) {
  constexpr int64_t kMaxStrip = std::numeric_limits<int32_t>::max();
  const std::string_view type = node.string("type");
  Step step{Kind::kByteLevel};
  if (type == "Sequence") {
    for (const JsonNode& item : node.at("decoders").items()) append(item);
    return;
  }
  if (type == "ByteFallback") {
    step.kind = Kind::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = Kind::kFuse;
  } else if (type == "Replace") {
    step.kind = Kind::kReplace;
    step.content = node.string("content");
    step.pattern = Regex::parse(node.at("pattern"));
  } else if (type == "Strip") {
    step.kind = Kind::kStrip;
    require_character(node.at("content"));
    step.content = node.string("content");
    step.start = node.at("start").integer(0, kMaxStrip);
    step.stop = node.at("stop").integer(0, kMaxStrip);
  } else if (type == "Metaspace") {
    step.kind = Kind::kMetaspace;
    require_character(node.at("replacement"));
    step.content = node.string("replacement");
    const auto scheme = node.find("prepend_scheme");
    step.drop_first =
        (!scheme || scheme->string() != "never") && node.boolean("add_prefix_space", true);
  } else if (type == "BPEDecoder") {
    step.kind = Kind::kBpe;
    step.content = node.string("suffix");
    if (step.content.empty()) node.at("suffix").fail("expected a suffix, came \"\"");
  } else if (type != "ByteLevel") {
    node.fail("unknown decoder " + in_quotes(type));
  }
  steps_.push_back(std::move(step));
}

std::unique_ptr<DecodeStage> Decoder::make_stage(const Step& step) {
  switch (step.kind) {
    case Kind::kByteLevel:
      return std::make_unique<ByteLevelStage>();
    case Kind::kByteFallback:
      return std::make_unique<ByteFallbackStage>();
    case Kind::kFuse:
      return std::make_unique<FuseStage>();
    case Kind::kReplace:
      return std::make_unique<ReplaceStage>(*step.pattern, step.content);
    case Kind::kStrip:
      return std::make_unique<StripStage>(step.content, step.start, step.stop);
    case Kind::kMetaspace:
      return std::make_unique<MetaspaceStage>(step.content, step.drop_first);
    case Kind::kBpe:
      return std::make_unique<BpeStage>(step.content);
    case Kind::kJoin:
      break;
  }
  return std::make_unique<JoinStage>(step.content);
}

Decoder::Stream::Stream(const Decoder& decoder) {
  for (const Step& step : decoder.steps_) stages_.push_back(make_stage(step));
}

void Decoder::Stream::feed(size_t stage, std::vector<Chunk> chunks, std::string& out) {
  for (; stage < stages_.size() && !chunks.empty(); ++stage) {
    std::vector<Chunk> next;
    for (Chunk& chunk : chunks) stages_[stage]->push(std::move(chunk), next);
    chunks = std::move(next);
  }
  for (const Chunk& chunk : chunks) out += chunk.text;
}

std::string Decoder::Stream::push(std::string_view token) {
  std::string out;
  feed(0, {{std::string(token), true}}, out);
  return out;
}

std::string Decoder::Stream::finish() {
  std::string out;
  for (size_t i = 0; i < stages_.size(); ++i) {
    std::vector<Chunk> rest;
    stages_[i]->finish(rest);
    feed(i + 1, std::move(rest), out);
  }
  return out;
}

}  // namespace r1
