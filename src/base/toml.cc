#include "base/toml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/files.h"

namespace r1 {
namespace {
struct ParserConfused {};
[[noreturn]] void parser_confused() {
  throw ParserConfused();
}
}  // namespace
}  // namespace r1

// Header only, in this file alone. Nesting multiplies with dotted keys (see check_dotted_keys).
#define TOML_MAX_NESTED_VALUES 32
// toml++ 3.3 asserts where a file is merely wrong ("[a]\n{"), and tells the optimizer that it never
// is where NDEBUG is set: both become an exception, which parse_toml turns into its error.
#undef NDEBUG
#define TOML_ASSERT(expr) (static_cast<bool>(expr) ? void() : ::r1::parser_confused())
#include <toml++/toml.h>

namespace r1 {
namespace {

constexpr int kMaxDots = 32;      // in one key
constexpr size_t kMaxPath = 512;  // bytes: every value's path is kept
constexpr uint64_t kMaxFileBytes = 1 << 20;

// The end of the string that opens at text[at] with `quote`, one past its last quote.
size_t skip_string(std::string_view text, size_t at) {
  const char quote = text[at];
  const std::string triple(3, quote);
  const bool multi_line = text.substr(at, 3) == triple;
  const std::string_view close = multi_line ? std::string_view(triple) : text.substr(at, 1);
  for (at += close.size(); at < text.size();) {
    if (quote == '"' && text[at] == '\\') {
      at += 2;
    } else if (!multi_line && text[at] == '\n') {
      return at;  // not closed: toml++ will say so
    } else if (text.substr(at, close.size()) == close) {
      at += close.size();
      // Up to two quotes may stand before the three that close.
      for (int i = 0; i < 2 && multi_line && at < text.size() && text[at] == quote; ++i) ++at;
      return at;
    } else {
      ++at;
    }
  }
  return text.size();
}

// toml++ 3.3 nests one table for each dot of a key, without a bound, and frees them recursively:
// half a million dots overflow the stack. Only keys have more than one dot outside strings.
void check_dotted_keys(std::string_view text, const std::string& where) {
  int dots = 0, line = 1;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      const size_t end = skip_string(text, i);
      line += static_cast<int>(std::count(text.begin() + i, text.begin() + end, '\n'));
      i = end;
      continue;
    }
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
      continue;
    }
    if (c == '.' && ++dots > kMaxDots) {
      throw InputError(where + ":" + std::to_string(line) + ": expected at most " +
                       std::to_string(kMaxDots) + " dots in a key, found more");
    }
    if (c == '\n') ++line;
    if (c == '\n' || c == '=' || c == ',' || c == '{' || c == '[') dots = 0;
    ++i;
  }
}

Json convert(const toml::node& node, const std::string& path, TomlDocument& document) {
  const int line = static_cast<int>(node.source().begin.line);
  if (path.size() > kMaxPath) {
    throw InputError(document.where + ":" + std::to_string(line) + ": " + in_quotes(path) +
                     ": expected keys of at most " + std::to_string(kMaxPath) + " bytes");
  }
  document.lines[path] = line;
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      object[name] = convert(value, join_path(path, name), document);
      // A dotted key's or a header's own place, rather than its value's.
      document.lines[join_path(path, name)] = static_cast<int>(key.source().begin.line);
    }
    return object;
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& value : *array) {
      list.push_back(convert(value, join_path(path, std::to_string(list.size())), document));
    }
    return list;
  }
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_boolean()) return value->get();
  throw InputError(document.where + ":" + std::to_string(line) + ": " + in_quotes(path) +
                   ": expected no date or time, found one");
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr char kHex[] = "0123456789ABCDEF";
      ((out += "\\u00") += kHex[byte >> 4]) += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  R1_CHECK(error == std::errc());
  std::string text(buffer.data(), end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // else it is an integer
  return text;
}

}  // namespace

std::string join_path(std::string_view head, std::string_view tail) {
  std::string path(head);
  if (!path.empty()) path += '.';
  return path += tail;
}

std::string TomlDocument::location(const std::string& path) const {
  const auto line = lines.find(path);
  return line == lines.end() ? where : where + ":" + std::to_string(line->second);
}

TomlDocument parse_toml(std::string_view text, const std::string& where) {
  check_dotted_keys(text, where);
  TomlDocument document;
  document.where = where;
  try {
    const toml::table table = toml::parse(text);
    document.values = convert(table, "", document);
  } catch (const toml::parse_error& e) {
    std::string what(e.description());  // one line, but it may quote the file
    for (char& c : what) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    throw InputError(where + ":" + std::to_string(e.source().begin.line) +
                     ": not valid TOML: " + what);
  } catch (const ParserConfused&) {
    throw InputError(where + ": not valid TOML, perhaps in a [table] header");
  }
  return document;
}

TomlDocument read_toml_file(const std::filesystem::path& path) {
  return parse_toml(read_file(path, kMaxFileBytes), path.string());
}

std::string toml_key(std::string_view key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return bare ? std::string(key) : toml_string(key);
}

std::string toml_value(const Json& value) {
  if (value.is_string()) return toml_string(value.get_ref<const std::string&>());
  if (value.is_number_float()) return toml_float(value.get<double>());
  if (value.is_number() || value.is_boolean()) return value.dump();
  R1_CHECK(value.is_structured());
  std::string out;
  for (const auto& [key, item] : value.items()) {
    if (!out.empty()) out += ", ";
    if (value.is_object()) out += toml_key(key) + " = ";
    out += toml_value(item);
  }
  if (value.is_array()) return "[" + out + "]";
  return out.empty() ? "{}" : "{ " + out + " }";
}

}  // namespace r1
