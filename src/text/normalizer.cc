#include "text/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <map>
#include <new>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/json_node.h"
#include "text/unicode.h"

namespace r1 {
namespace {

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

void append_mapped(std::string& out, std::string_view text, utf8proc_option_t options) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &mapped, options);
  if (size < 0) throw std::bad_alloc();  // the text is valid, so memory is the one reason left
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
}

// Unicode normalization. An ASCII character never changes and never joins what stands before it,
// so only runs of other characters, each with the one ASCII character before it, are mapped.
std::string normalize(std::string_view text, int form) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | form);
  std::string out;
  out.reserve(text.size());
  size_t copied = 0, i = 0;
  while (i < text.size()) {
    if (is_ascii(text[i])) {
      ++i;
      continue;
    }
    const size_t begin = i > copied ? i - 1 : i;
    while (i < text.size() && !is_ascii(text[i])) ++i;
    out += text.substr(copied, begin - copied);
    append_mapped(out, text.substr(begin, i - begin), options);
    copied = i;
  }
  return out += text.substr(copied);
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (step.code_point == 0x130) {
      out += "i\u0307";  // the one lower case that is two characters
    } else {
      const auto lower = utf8proc_tolower(static_cast<utf8proc_int32_t>(step.code_point));
      append_utf8(out, static_cast<char32_t>(lower));
    }
    text.remove_prefix(step.size);
  }
  return out;
}

std::string strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (!is_white_space(step.code_point)) break;
    text.remove_prefix(step.size);
  }
  while (right && !text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (text[last] & 0xC0) == 0x80) --last;
    if (!is_white_space(utf8_step(text.substr(last)).code_point)) break;
    text.remove_suffix(text.size() - last);
  }
  return std::string(text);
}

}  // namespace

Normalizer Normalizer::parse(const JsonNode& node) {
  Normalizer out;
  out.append(node);
  return out;
}

void Normalizer::append(const JsonNode& node) {
  static const std::map<std::string_view, Kind> kKinds = {
      {"NFC", Kind::kNfc},         {"NFD", Kind::kNfd},         {"NFKC", Kind::kNfkc},
      {"NFKD", Kind::kNfkd},       {"Strip", Kind::kStrip},     {"Lowercase", Kind::kLowercase},
      {"Prepend", Kind::kPrepend}, {"Replace", Kind::kReplace}, {"ByteLevel", Kind::kByteLevel}};
  const std::string_view type = node.string("type");
  if (type == "Sequence") {
    for (const JsonNode& item : node.at("normalizers").items()) append(item);
    return;
  }
  const auto kind = kKinds.find(type);
  if (kind == kKinds.end()) node.fail("unknown normalizer " + in_quotes(type));
  Step step{kind->second};
  if (step.kind == Kind::kStrip) {
    step.left = node.at("strip_left").boolean();
    step.right = node.at("strip_right").boolean();
  } else if (step.kind == Kind::kPrepend) {
    step.content = node.string("prepend");
  } else if (step.kind == Kind::kReplace) {
    step.pattern = Regex::parse(node.at("pattern"));
    step.content = node.string("content");
  }
  steps_.push_back(std::move(step));
}

std::string Normalizer::apply(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) out = apply(step, std::move(out));
  return out;
}

std::string Normalizer::apply(const Step& step, std::string text) {
  switch (step.kind) {
    case Kind::kNfc:
      return normalize(text, UTF8PROC_COMPOSE);
    case Kind::kNfd:
      return normalize(text, UTF8PROC_DECOMPOSE);
    case Kind::kNfkc:
      return normalize(text, UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
    case Kind::kNfkd:
      return normalize(text, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
    case Kind::kLowercase:
      return lowercase(text);
    case Kind::kStrip:
      return strip(text, step.left, step.right);
    case Kind::kPrepend:
      return text.empty() ? text : step.content + text;
    case Kind::kReplace:
      return RegexMatcher(*step.pattern).replace(text, step.content);
    case Kind::kByteLevel:
      return to_byte_level(text);
  }
  return text;
}

}  // namespace r1
