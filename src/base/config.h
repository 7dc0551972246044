// One visitor a config struct drives defaults, command line, TOML, --help and checkpoints (after
// gemma.cpp's ForEach).
//
//   struct GrpoConfig {
//     double learning_rate = 1e-4;
//     std::string loss_type = "grpo";
//     OptimizerConfig optimizer;  // has visit too: the table [optimizer]
//
//     template <class V>
//     void visit(V& v) {
//       v("learning_rate", learning_rate, "peak learning rate", at_least(0));
//       v("loss_type", loss_type, "which policy loss", one_of({"grpo", "dapo"}));
//       v("optimizer", optimizer, "AdamW");
//     }
//   };
//
// The member's initializer is the default. A field is named by its path, "optimizer.beta1". Every
// error is an InputError that says where, which key, what was expected and what came.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/toml.h"

namespace r1 {

// What values a field takes beyond its type's. Numbers within [min, max], each of a list's too;
// strings out of `choices` unless that is empty.
struct ConfigLimits {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;
};
inline ConfigLimits at_least(double min) {
  return {min, std::numeric_limits<double>::infinity(), {}};
}
inline ConfigLimits in_range(double min, double max) {
  return {min, max, {}};
}
inline ConfigLimits one_of(std::vector<std::string> choices) {
  ConfigLimits limits;
  limits.choices = std::move(choices);
  return limits;
}

// A map is a table whose keys are the user's: a task's knobs.
using ConfigPointer =
    std::variant<bool*, int*, int64_t*, uint64_t*, double*, std::string*, std::vector<std::string>*,
                 std::vector<int>*, std::vector<int64_t>*, std::vector<double>*,
                 std::map<std::string, int64_t>*>;

struct ConfigField {
  std::string section;  // path of the struct it is in; "" for the outermost
  std::string key;      // its name there
  std::string help;
  ConfigLimits limits;
  ConfigPointer value;

  std::string path() const { return join_path(section, key); }
};

// The fields of a struct and of those inside it, in order of declaration. Points into the struct.
class ConfigFields {
 public:
  template <class C>
  explicit ConfigFields(C& config) {
    config.visit(*this);
  }

  // What visit() calls: a field, or a struct with fields.
  template <class T>
  void operator()(const char* key, T& value, const char* help, ConfigLimits limits = {}) {
    if constexpr (requires(ConfigFields & v) { value.visit(v); }) {
      const std::string outer = section_;
      section_ = join_path(outer, key);
      sections_.emplace_back(section_, help);
      value.visit(*this);
      section_ = outer;
    } else {
      fields_.push_back({section_, key, help, std::move(limits), ConfigPointer(&value)});
    }
  }

  const std::vector<ConfigField>& fields() const { return fields_; }
  // Path and help of each struct, outer ones before inner ones; the outermost is not among them.
  const std::vector<std::pair<std::string, std::string>>& sections() const { return sections_; }

 private:
  std::string section_;
  std::vector<ConfigField> fields_;
  std::vector<std::pair<std::string, std::string>> sections_;
};

// The functions below as they work on fields; after an error the struct may be half read.
namespace config_internal {
void read(const ConfigFields& fields, const TomlDocument& document, const std::string& prefix);
void set(const ConfigFields& fields, std::string_view assignment);
std::string to_toml(const ConfigFields& fields);
Json to_json(const ConfigFields& fields);
std::string help(const ConfigFields& fields);
}  // namespace config_internal

// Reads the table at `prefix` ("" is the whole document, "stage.0" the first of [[stage]]) into
// `config`. Absent keys keep their value; a map that is given replaces the old one; an unknown key
// is an error with the nearest known one. All or nothing.
template <class C>
void read_config(const TomlDocument& document, C& config, const std::string& prefix = "") {
  C copy = config;
  config_internal::read(ConfigFields(copy), document, prefix);
  config = std::move(copy);
}

// Applies "path=value": --set grpo.learning_rate=1e-4. A value is TOML; strings need no quotes, and
// lists may be given as a,b,c. One entry of a map is set by its own path. All or nothing.
template <class C>
void set_config(std::string_view assignment, C& config) {
  C copy = config;
  config_internal::set(ConfigFields(copy), assignment);
  config = std::move(copy);
}

// The resolved config as TOML with each field's help as a comment; reads back to the same values.
template <class C>
std::string config_toml(C config) {
  return config_internal::to_toml(ConfigFields(config));
}

// The same as a Json object, for checkpoints.
template <class C>
Json config_json(C config) {
  return config_internal::to_json(ConfigFields(config));
}

// `where` names the source in errors.
template <class C>
void read_config_json(const Json& json, const std::string& where, C& config) {
  TomlDocument document{.where = where, .values = json, .lines = {}};
  read_config(document, config);
}

// For --help: a line a field with its path, present value and help.
template <class C>
std::string config_help(C config) {
  return config_internal::help(ConfigFields(config));
}

}  // namespace r1
