// A view of a JSON value that knows its path, so that a wrong field is reported with its place:
// "DIR/tokenizer.json: model.vocab: expected an object, came an array".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace r1 {

// Does not own the JSON, which must outlive it. Every accessor throws InputError where the value
// is not of the asked kind.
class JsonNode {
 public:
  JsonNode(const Json& json, std::string where, std::string path = "")
      : json_(&json), where_(std::move(where)), path_(std::move(path)) {}

  const Json& json() const { return *json_; }
  const std::string& where() const { return where_; }

  JsonNode at(const std::string& key) const;  // required
  // Nothing where the field is absent or null.
  std::optional<JsonNode> find(const std::string& key) const;
  std::vector<JsonNode> items() const;

  const Json& object() const;
  const Json& array() const;
  const std::string& string() const;
  bool boolean() const;
  int64_t integer(int64_t lo, int64_t hi) const;  // bounds included

  const std::string& string(const std::string& key) const { return at(key).string(); }
  bool boolean(const std::string& key, bool otherwise) const;

  // Throws InputError("WHERE: PATH: message").
  [[noreturn]] void fail(const std::string& message) const;

 private:
  [[noreturn]] void fail_kind(const char* expected) const;

  const Json* json_;
  std::string where_, path_;
};

}  // namespace r1
