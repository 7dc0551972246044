// A JSON document read in place (simdjson's DOM: a tokenizer's 10^5 strings are views into one
// buffer), and a view of a value that knows its path, so that a wrong field is reported with its
// place: "DIR/tokenizer.json: model.vocab: expected an object, came array".
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace r1 {

class JsonNode;

// Owns what its nodes view. InputError as parse_json's where the text is not JSON.
class JsonDocument {
 public:
  JsonDocument(std::string_view text, std::string where);
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  JsonNode root() const;

 private:
  simdjson::dom::parser parser_;
  simdjson::dom::element root_;
  std::string where_;
};

// Does not own the JSON: the document must outlive it and its strings. Every accessor throws
// InputError where the value is not of the asked kind. Of a key that comes twice in an object the
// first value counts.
class JsonNode {
 public:
  JsonNode(simdjson::dom::element json, std::string where, std::string path = "")
      : json_(json), where_(std::move(where)), path_(std::move(path)) {}

  const std::string& where() const { return where_; }

  JsonNode at(std::string_view key) const;  // required
  // Nothing where the field is absent or null.
  std::optional<JsonNode> find(std::string_view key) const;
  std::vector<JsonNode> items() const;

  simdjson::dom::object object() const;
  simdjson::dom::array array() const;
  std::string_view string() const;
  bool boolean() const;
  int64_t integer(int64_t lo, int64_t hi) const;  // bounds included

  std::string_view string(std::string_view key) const { return at(key).string(); }
  bool boolean(std::string_view key, bool otherwise) const;

  // Throws InputError("WHERE: PATH: message").
  [[noreturn]] void fail(const std::string& message) const;

 private:
  [[noreturn]] void fail_kind(const std::string& expected) const;
  std::string path_of(std::string_view key) const;

  simdjson::dom::element json_;
  std::string where_, path_;
};

}  // namespace r1
