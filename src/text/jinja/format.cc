#include "text/jinja/format.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/unicode.h"

namespace r1::jinja {
namespace {

// str.isprintable.
bool is_printable(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

std::string hex(const char* format, unsigned value) {
  std::array<char, 16> out{};
  std::snprintf(out.data(), out.size(), format, value);
  return out.data();
}

// Calls put(code point, its bytes, their mark) for each code point.
template <class Put>
void each_code_point(const Text& text, Put&& put) {
  const std::string_view bytes = text.bytes;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes.substr(at));
    put(step.code_point, bytes.substr(at, step.size), text.marks[at]);
    at += step.size;
  }
}

class Writer {
 public:
  explicit Writer(Budget& budget) : budget_(budget) {}

  Text out;

  void put(std::string_view text, char mark = Text::kTemplate) {
    budget_.spend(text.size() + 16);
    out.append(text, mark);
  }

  void repr(const Value& v) {
    switch (v.kind()) {
      case Kind::kUndefined:
        return put("Undefined");
      case Kind::kString:
        return repr_string(v.text());
      case Kind::kSequence:
        return repr_sequence(v.seq());
      case Kind::kDict:
        return repr_dict(v.as_dict());
      default:
        return scalar(v);
    }
  }

  void scalar(const Value& v) {
    switch (v.kind()) {
      case Kind::kNone:
        return put("None");
      case Kind::kBool:
        return put(v.as_bool() ? "True" : "False");
      case Kind::kInt:
        return put(std::to_string(v.as_int()));
      case Kind::kFloat:
        return put(float_text(v.as_real()));
      default:
        throw TemplateError("printing a " + v.type_name() + " is not supported");
    }
  }

  void json(const Value& v, const JsonStyle& style, int level) {
    switch (v.kind()) {
      case Kind::kNone:
        return put("null");
      case Kind::kBool:
        return put(v.as_bool() ? "true" : "false");
      case Kind::kFloat:
        return put(json_float(v.as_real()));
      case Kind::kString:
        return json_string(v.text(), style);
      case Kind::kSequence:
        if (v.is_sequence(Sequence::Type::kList) || v.is_sequence(Sequence::Type::kTuple)) {
          return json_list(v.seq(), style, level);
        }
        break;
      case Kind::kDict:
        return json_dict(v.as_dict(), style, level);
      case Kind::kInt:
        return scalar(v);
      default:
        break;
    }
    throw TemplateError("Object of type " + v.type_name() + " is not JSON serializable");
  }

 private:
  void repr_string(const Text& text) {
    const bool single = text.bytes.find('\'') != std::string::npos;
    const bool twice = text.bytes.find('"') != std::string::npos;
    const char quote = single && !twice ? '"' : '\'';
    put(std::string(1, quote));
    each_code_point(text, [&](char32_t c, std::string_view bytes, char mark) {
      if (c == static_cast<unsigned char>(quote) || c == '\\') {
        put(std::string("\\") + static_cast<char>(c), mark);
      } else if (c == '\n' || c == '\r' || c == '\t') {
        put(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t", mark);
      } else if (is_printable(c)) {
        put(bytes, mark);
      } else {
        put(hex(c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c), mark);
      }
    });
    put(std::string(1, quote));
  }

  void repr_sequence(const Sequence& s) {
    if (s.type != Sequence::Type::kList && s.type != Sequence::Type::kTuple) {
      throw TemplateError("printing a generator, a range or a view is not supported; use |list");
    }
    const bool tuple = s.type == Sequence::Type::kTuple;
    put(tuple ? "(" : "[");
    for (size_t i = 0; i < s.items.size(); ++i) {
      if (i > 0) put(", ");
      repr(s.items[i]);
    }
    put(!tuple ? "]" : s.items.size() == 1 ? ",)" : ")");
  }

  void repr_dict(const Dict& dict) {
    put("{");
    for (size_t i = 0; i < dict.items.size(); ++i) {
      if (i > 0) put(", ");
      repr(dict.items[i].first);
      put(": ");
      repr(dict.items[i].second);
    }
    put("}");
  }

  static std::string json_float(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return float_text(value);
  }

  void json_string(const Text& text, const JsonStyle& style) {
    put("\"");
    each_code_point(text, [&](char32_t c, std::string_view bytes, char mark) {
      constexpr std::string_view kNamed = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
      const size_t named = c < 0x80 ? kNamed.find(static_cast<char>(c)) : std::string_view::npos;
      if (named != std::string_view::npos) {
        put(std::string("\\") + kLetters[named], mark);
      } else if (c < 0x20) {
        put(hex("\\u%04x", c), mark);
      } else if (c < 0x7F || !style.ensure_ascii) {
        put(bytes, mark);
      } else if (c < 0x10000) {
        put(hex("\\u%04x", c), mark);
      } else {
        put(hex("\\u%04x", 0xD7C0 + (c >> 10)) + hex("\\u%04x", 0xDC00 + (c & 0x3FF)), mark);
      }
    });
    put("\"");
  }

  void new_line(const JsonStyle& style, int level) {
    if (!style.indent) return;
    put("\n");
    for (int i = 0; i < level; ++i) put(*style.indent);
  }

  void json_list(const Sequence& s, const JsonStyle& style, int level) {
    if (s.items.empty()) return put("[]");
    put("[");
    for (size_t i = 0; i < s.items.size(); ++i) {
      if (i > 0) put(style.item_separator);
      new_line(style, level + 1);
      json(s.items[i], style, level + 1);
    }
    new_line(style, level);
    put("]");
  }

  void json_key(const Value& key, const JsonStyle& style) {
    switch (key.kind()) {
      case Kind::kString:
        return json_string(key.text(), style);
      case Kind::kNone:
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kFloat:
        put("\"");
        json(key, style, 0);
        return put("\"");
      default:
        throw TemplateError("keys must be str, int, float, bool or None, not " + key.type_name());
    }
  }

  void json_dict(const Dict& dict, const JsonStyle& style, int level) {
    if (dict.items.empty()) return put("{}");
    auto items = dict.items;
    if (style.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
        return less(a.first, b.first, budget_);
      });
    }
    put("{");
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) put(style.item_separator);
      new_line(style, level + 1);
      json_key(items[i].first, style);
      put(style.key_separator);
      json(items[i].second, style, level + 1);
    }
    new_line(style, level);
    put("}");
  }

  Budget& budget_;
};

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> out{};
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(out.data(), out.data() + out.size(), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(out.data(), end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

Text to_text(const Value& value, Budget& budget) {
  if (value.is(Kind::kString)) return value.text();
  if (value.is(Kind::kUndefined)) return {};
  Writer writer(budget);
  writer.repr(value);
  return std::move(writer.out);
}

Text to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  Writer writer(budget);
  writer.json(value, style, 0);
  return std::move(writer.out);
}

}  // namespace r1::jinja
