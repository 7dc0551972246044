#include "base/config.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/error.h"
#include "base/text_util.h"

namespace r1::config_internal {
namespace {

template <class T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// 0.5, 3: without the ".0" that makes it a TOML float.
std::string plain_number(double value) {
  std::string text = toml_value(value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

std::string limits_text(const ConfigLimits& limits) {
  const bool low = std::isfinite(limits.min), high = std::isfinite(limits.max);
  if (low && high) return " from " + plain_number(limits.min) + " to " + plain_number(limits.max);
  if (low) return " of at least " + plain_number(limits.min);
  if (high) return " of at most " + plain_number(limits.max);
  return "";
}

std::string choices_text(const ConfigLimits& limits, std::string otherwise) {
  if (limits.choices.empty()) return otherwise;
  std::string text = "one of";
  for (const std::string& choice : limits.choices)
    text.append(" ").append(in_quotes(choice)).append(",");
  text.pop_back();
  return text;
}

// "a whole number of at least 1": what the type and the limits ask for.
struct Expected {
  const ConfigLimits& limits;

  std::string operator()(const bool*) const { return "true or false"; }
  std::string operator()(const double*) const { return "a number" + limits_text(limits); }
  std::string operator()(const std::string*) const { return choices_text(limits, "a string"); }
  std::string operator()(const std::vector<std::string>*) const {
    return limits.choices.empty() ? "a list of strings"
                                  : "a list, each " + choices_text(limits, "");
  }
  std::string operator()(const std::map<std::string, int64_t>*) const {
    return "a table of whole numbers" + limits_text(limits);
  }
  template <class T>
  std::string operator()(const T*) const {
    return "a whole number" + limits_text(limits);
  }
  std::string operator()(const std::vector<double>*) const {
    return "a list of numbers" + limits_text(limits);
  }
  template <class T>
  std::string operator()(const std::vector<T>*) const {
    return "a list of whole numbers" + limits_text(limits);
  }
};

std::string expected_text(const ConfigField& field) {
  return std::visit(Expected{field.limits}, field.value);
}

std::string found_text(const Json& value) {
  if (value.is_null()) return "nothing";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "a table";
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  return toml_value(value);
}

// Each read() converts one value and says whether it is one that the field takes.
template <class T>
bool in_limits(T value, const ConfigLimits& limits) {
  const auto number = static_cast<double>(value);
  return number >= limits.min && number <= limits.max;
}

bool convert(const Json& value, const ConfigLimits&, bool& out) {
  if (!value.is_boolean()) return false;
  out = value.get<bool>();
  return true;
}

bool convert(const Json& value, const ConfigLimits& limits, double& out) {
  if (!value.is_number()) return false;
  out = value.get<double>();
  return std::isfinite(out) && in_limits(out, limits);
}

bool convert(const Json& value, const ConfigLimits& limits, std::string& out) {
  if (!value.is_string()) return false;
  out = value.get<std::string>();
  return limits.choices.empty() || std::ranges::find(limits.choices, out) != limits.choices.end();
}

template <class T>
requires kIsInteger<T>
bool convert(const Json& value, const ConfigLimits& limits, T& out) {
  if (!value.is_number_integer()) return false;
  const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<uint64_t>())
                                               : std::in_range<T>(value.get<int64_t>());
  if (!fits) return false;
  out = value.get<T>();
  return in_limits(out, limits);
}

template <class T>
bool convert(const Json& value, const ConfigLimits& limits, std::vector<T>& out) {
  if (!value.is_array()) return false;
  out.clear();
  for (const Json& item : value) {
    if (!convert(item, limits, out.emplace_back())) return false;
  }
  return true;
}

bool convert(const Json& value, const ConfigLimits& limits, std::map<std::string, int64_t>& out) {
  if (!value.is_object()) return false;
  out.clear();
  for (const auto& [key, item] : value.items()) {
    if (!convert(item, limits, out[key])) return false;
  }
  return true;
}

// The value within a list or map that is to blame, where there is one.
const Json& culprit(const ConfigField& field, const Json& value) {
  return std::visit(
      [&](auto* pointer) -> const Json& {
        using T = std::remove_pointer_t<decltype(pointer)>;
        if constexpr (requires(T t) { typename T::value_type; } &&
                      !std::is_same_v<T, std::string>) {
          for (const Json& item : value) {
            if (!value.is_structured()) break;
            T one;
            const Json wrapped = value.is_array() ? Json::array({item}) : Json{{"key", item}};
            if (!convert(wrapped, field.limits, one)) return item;
          }
        }
        return value;
      },
      field.value);
}

void assign(const ConfigField& field, const Json& value, const std::string& location,
            const std::string& path) {
  const bool good = std::visit(
      [&](auto* pointer) { return convert(value, field.limits, *pointer); }, field.value);
  if (good) return;
  std::string expected = expected_text(field);
  const Json& bad = culprit(field, value);
  const bool narrow = std::holds_alternative<int*>(field.value) ||
                      std::holds_alternative<std::vector<int>*>(field.value);
  if (narrow && bad.is_number_integer() && in_limits(bad.get<double>(), field.limits) &&
      std::abs(bad.get<double>()) > std::numeric_limits<int>::max()) {
    expected += " that fits 32 bits";
  }
  throw InputError(location + ": " + path + ": expected " + expected + ", found " +
                   found_text(bad));
}

const ConfigField* find_field(const ConfigFields& fields, const std::string& path) {
  const auto found = std::ranges::find(fields.fields(), path, &ConfigField::path);
  return found == fields.fields().end() ? nullptr : &*found;
}

bool is_section(const ConfigFields& fields, const std::string& path) {
  return std::ranges::any_of(fields.sections(), [&](const auto& s) { return s.first == path; });
}

// A near name in the same section; or the same name in another one.
std::string suggestion(const ConfigFields& fields, const std::string& section,
                       const std::string& key) {
  std::vector<std::string> siblings, elsewhere;
  for (const ConfigField& field : fields.fields()) {
    if (field.section == section) siblings.push_back(field.key);
    if (field.key == key) elsewhere.push_back(field.path());
  }
  const std::string head = section.empty() ? "" : section + ".";
  for (const auto& [path, help] : fields.sections()) {
    const bool inside = path.starts_with(head) && path.size() > head.size();
    if (inside && path.find('.', head.size()) == std::string::npos) {
      siblings.push_back(path.substr(head.size()));
    }
  }
  const std::string hint = did_you_mean(key, siblings);
  if (!hint.empty() || elsewhere.empty()) return hint;
  return ", did you mean " + in_quotes(elsewhere.front()) + "?";
}

[[noreturn]] void unknown_key(const ConfigFields& fields, const std::string& location,
                              const std::string& section, const std::string& key,
                              const std::string& path) {
  throw InputError(location + ": unknown key " + in_quotes(path) +
                   suggestion(fields, section, key));
}

void read_section(const ConfigFields& fields, const std::string& section, const Json& values,
                  const TomlDocument& document, const std::string& prefix) {
  const std::string here = section.empty() ? prefix : join_path(prefix, section);
  if (!values.is_object()) {
    std::string message = document.location(here) + ": ";
    if (!here.empty()) message += here + ": ";
    throw InputError(message + "expected a table, found " + found_text(values));
  }
  for (const auto& [key, value] : values.items()) {
    const std::string path = join_path(section, key);
    const std::string full = join_path(prefix, path);
    const std::string location = document.location(full);
    // A key with a dot in it (in quotes) is nobody's, though its path may look like one.
    const bool dotted = key.find('.') != std::string::npos;
    const ConfigField* field = dotted ? nullptr : find_field(fields, path);
    if (field != nullptr) {
      assign(*field, value, location, full);
    } else if (!dotted && is_section(fields, path)) {
      read_section(fields, path, value, document, prefix);
    } else {
      unknown_key(fields, location, section, key, full);
    }
  }
}

const Json* table_at(const Json& values, const std::string& prefix) {
  const Json* table = &values;
  for (size_t at = 0; at < prefix.size();) {
    const size_t end = std::min(prefix.find('.', at), prefix.size());
    const std::string key = prefix.substr(at, end - at);
    const bool index = !key.empty() && key.size() < 10 &&
                       std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; });
    if (table->is_array() && index && std::stoul(key) < table->size()) {
      table = &table->at(std::stoul(key));
    } else if (table->is_object() && table->contains(key)) {
      table = &table->at(key);
    } else {
      return nullptr;
    }
    at = end + 1;
  }
  return table;
}

// The text after "--set path=" as a value for the field.
Json parse_value(const ConfigField& field, bool entry, const std::string& path,
                 const std::string& text) {
  const bool is_string = std::holds_alternative<std::string*>(field.value);
  const bool strings = std::holds_alternative<std::vector<std::string>*>(field.value);
  const bool numbers = std::holds_alternative<std::vector<int>*>(field.value) ||
                       std::holds_alternative<std::vector<int64_t>*>(field.value) ||
                       std::holds_alternative<std::vector<double>*>(field.value);
  const bool quoted = text.starts_with('"') || text.starts_with('\'');
  std::string toml = text;
  if (is_string && !quoted) {
    toml = toml_value(text);
  } else if (strings && !quoted && !text.starts_with('[')) {
    Json list = Json::array();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(',', at), text.size());
      list.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    toml = toml_value(list);
  } else if ((strings || numbers) && !text.starts_with('[')) {
    toml = "[" + text + "]";
  }
  try {
    const TomlDocument document = parse_toml("value = " + toml, "--set");
    if (document.values.size() == 1) return document.values.at("value");
  } catch (const InputError&) {
  }
  throw InputError("--set: " + path + ": expected " +
                   (entry ? "a whole number" : expected_text(field)) + ", found " +
                   in_quotes(text));
}

Json to_json(const ConfigField& field) {
  return std::visit([](auto* pointer) { return Json(*pointer); }, field.value);
}

// An assignment in TOML, or a line of --help.
std::string value_text(const ConfigField& field) {
  const Json value = to_json(field);
  if (value.is_number_unsigned() && !std::in_range<int64_t>(value.get<uint64_t>())) {
    throw InputError(field.path() + ": expected a whole number from 0 to 9223372036854775807, " +
                     "found " + value.dump());
  }
  return toml_value(value);
}

}  // namespace

void read(const ConfigFields& fields, const TomlDocument& document, const std::string& prefix) {
  const Json* table = table_at(document.values, prefix);
  if (table == nullptr) {
    throw InputError(document.where + ": expected a table " + in_quotes(prefix) + ", found none");
  }
  read_section(fields, "", *table, document, prefix);
}

void set(const ConfigFields& fields, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw InputError("--set: expected key=value, found " + in_quotes(assignment));
  }
  const std::string path(assignment.substr(0, equals));
  const std::string text(assignment.substr(equals + 1));
  const std::string section = path.substr(0, std::min(path.rfind('.'), path.size()));
  if (const ConfigField* field = find_field(fields, path)) {
    return assign(*field, parse_value(*field, false, path, text), "--set", path);
  }
  const size_t dot = path.rfind('.');
  const ConfigField* owner = dot == std::string::npos ? nullptr : find_field(fields, section);
  using Map = std::map<std::string, int64_t>;
  if (owner != nullptr && std::holds_alternative<Map*>(owner->value)) {
    const Json value = parse_value(*owner, true, path, text);
    int64_t number = 0;
    if (!convert(value, owner->limits, number)) {
      throw InputError("--set: " + path + ": expected a whole number" + limits_text(owner->limits) +
                       ", found " + found_text(value));
    }
    (*std::get<Map*>(owner->value))[path.substr(dot + 1)] = number;
    return;
  }
  if (is_section(fields, path)) {
    throw InputError("--set: " + in_quotes(path) + " is a table: expected one of its keys");
  }
  std::vector<std::string> paths;
  for (const ConfigField& field : fields.fields()) paths.push_back(field.path());
  const std::string hint = did_you_mean(path, paths);
  if (!hint.empty()) throw InputError("--set: unknown key " + in_quotes(path) + hint);
  const bool nested = dot != std::string::npos;
  unknown_key(fields, "--set", nested ? section : "", path.substr(nested ? dot + 1 : 0), path);
}

std::string to_toml(const ConfigFields& fields) {
  std::string out;
  const auto write_section = [&](const std::string& section) {
    for (const ConfigField& field : fields.fields()) {
      if (field.section != section) continue;
      out += toml_key(field.key) + " = " + value_text(field) + "  # " + field.help + "\n";
    }
  };
  write_section("");
  for (const auto& [path, help] : fields.sections()) {
    out += "\n# " + help + "\n[" + path + "]\n";
    write_section(path);
  }
  return out;
}

Json to_json(const ConfigFields& fields) {
  Json out = Json::object();
  for (const auto& [path, help] : fields.sections()) {
    Json::json_pointer pointer;
    for (size_t at = 0; at < path.size();) {
      const size_t end = std::min(path.find('.', at), path.size());
      pointer /= path.substr(at, end - at);
      at = end + 1;
    }
    out[pointer] = Json::object();
    for (const ConfigField& field : fields.fields()) {
      if (field.section == path) out[pointer][field.key] = to_json(field);
    }
  }
  for (const ConfigField& field : fields.fields()) {
    if (field.section.empty()) out[field.key] = to_json(field);
  }
  return out;
}

std::string help(const ConfigFields& fields) {
  constexpr size_t kColumn = 36;
  std::string out;
  for (const ConfigField& field : fields.fields()) {
    std::string line = "  " + field.path() + "=" + value_text(field);
    line.resize(std::max(line.size() + 2, kColumn), ' ');
    out += line + field.help;
    const bool plain = field.limits.choices.empty() && limits_text(field.limits).empty();
    out += plain ? "\n" : " (" + expected_text(field) + ")\n";
  }
  return out;
}

}  // namespace r1::config_internal
