// TOML 1.0 text to Json and back. toml++ does the parsing and is seen by toml.cc alone.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/json.h"

namespace r1 {

// A parsed file: the values, and where each stands for error messages.
struct TomlDocument {
  std::string where;                 // the file's name
  Json values = Json::object();      // tables as objects; integers are int64, floats double
  std::map<std::string, int> lines;  // by path: "grpo.learning_rate", "stage.0.steps"

  // "recipe.toml:12", or the file's name alone for a path that is not in it.
  std::string location(const std::string& path) const;
};

// InputError names `where` and the line. Dates and times are refused: nothing here has any. So is
// nesting that would exhaust the stack.
TomlDocument parse_toml(std::string_view text, const std::string& where);
// At most 1 MiB.
TomlDocument read_toml_file(const std::filesystem::path& path);

// One value as TOML text on one line: a bool, a number, a string, or an array or object (as an
// inline table) of these. Floats are the shortest text that reads back as the same double.
std::string toml_value(const Json& value);
// A key: bare where TOML allows it, else in quotes.
std::string toml_key(std::string_view key);

// `head` + "." + `tail`, or `tail` alone if `head` is empty.
std::string join_path(std::string_view head, std::string_view tail);

}  // namespace r1
