// Values as text: Python's str() and repr(), and its json.dumps.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/value.h"

namespace r1::jinja {

// repr of a float: the shortest digits that read back the same, "1e+16" from there on.
std::string float_text(double value);

// str(): what {{ value }} prints. Bytes of strings keep their marks. TemplateError for what has no
// text of its own in Python either (a generator, a function).
Text to_text(const Value& value, Budget& budget);

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // of each level
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};
// json.dumps. TemplateError for a value that JSON does not have.
Text to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace r1::jinja
