#include "model/config_reader.h"

#include "base/error.h"

namespace r1 {
namespace {

bool is_integer(const Json& value, int64_t low, int64_t high) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{1} << 62) return false;
  return value.get<int64_t>() >= low && value.get<int64_t>() <= high;
}

}  // namespace

std::string excerpt(const Json& value) {
  return value.dump().substr(0, 60);
}

ConfigReader::ConfigReader(const Json& json, const std::string& where)
    : json_(json), where_(where) {
  if (!json.is_object()) throw InputError(where + ": expected a JSON object");
}

void ConfigReader::refuse(const std::string& key, const std::string& message) const {
  throw InputError(where_ + ": field '" + key + "' " + message);
}

const Json* ConfigReader::find(const char* key) const {
  const auto it = json_.find(key);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

int64_t ConfigReader::integer(const char* key, int64_t low, int64_t high, int64_t fallback) const {
  const Json* value = find(key);
  if (value == nullptr) {
    if (fallback < 0) refuse(key, "is missing");
    return fallback;
  }
  if (!is_integer(*value, low, high)) {
    refuse(key, "must be an integer from " + std::to_string(low) + " to " + std::to_string(high) +
                    ", not " + excerpt(*value));
  }
  return value->get<int64_t>();
}

double ConfigReader::number(const char* key, double low, double high, double fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high)) {
    refuse(key, "must be a number from " + std::to_string(low) + " to " + std::to_string(high) +
                    ", not " + excerpt(*value));
  }
  return value->get<double>();
}

bool ConfigReader::boolean(const char* key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse(key, "must be true or false, not " + excerpt(*value));
  return value->get<bool>();
}

std::string ConfigReader::text(const char* key, const std::string& fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) refuse(key, "must be a string, not " + excerpt(*value));
  return value->get<std::string>();
}

std::vector<int64_t> ConfigReader::integers(const char* key, int64_t low, int64_t high) const {
  std::vector<int64_t> result;
  const Json* list = find(key);
  if (list == nullptr) return result;
  if (!list->is_array()) refuse(key, "must be a list, not " + excerpt(*list));
  for (const Json& value : *list) {
    if (!is_integer(value, low, high)) {
      refuse(key, "must hold integers from " + std::to_string(low) + " to " + std::to_string(high) +
                      ", not " + excerpt(value));
    }
    result.push_back(value.get<int64_t>());
  }
  return result;
}

std::vector<int32_t> ConfigReader::token_ids(const char* key, int64_t vocab) const {
  std::vector<int32_t> ids;
  const Json* value = find(key);
  if (value == nullptr) return ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    if (!is_integer(id, 0, vocab - 1)) {
      refuse(key,
             "must hold token ids from 0 to " + std::to_string(vocab - 1) + ", not " + excerpt(id));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

const Json* ConfigReader::object(const char* key) const {
  const Json* value = find(key);
  if (value != nullptr && !value->is_object()) {
    refuse(key, "must be an object or null, not " + excerpt(*value));
  }
  return value;
}

void ConfigReader::require(const char* key, const Json& expected) const {
  if (const Json* value = find(key); value != nullptr && *value != expected) {
    refuse(key, "is supported as " + expected.dump() + " alone, not " + excerpt(*value));
  }
}

}  // namespace r1
