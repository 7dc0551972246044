// Fields out of a config.json. InputError names the file, the field, what was expected and what
// came.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace r1 {

class ConfigReader {
 public:
  // Both must outlive it. InputError unless json is an object.
  ConfigReader(const Json& json, const std::string& where);

  // Whether the field is there and not null.
  bool has(const char* key) const { return find(key) != nullptr; }
  const Json* find(const char* key) const;  // null if absent or null

  // An absent field is `fallback`; a negative one means that it must be there.
  int64_t integer(const char* key, int64_t low, int64_t high, int64_t fallback = -1) const;
  double number(const char* key, double low, double high, double fallback) const;
  bool boolean(const char* key, bool fallback) const;
  std::string text(const char* key, const std::string& fallback) const;
  std::vector<int64_t> integers(const char* key, int64_t low, int64_t high) const;
  // An id, or a list of them, below `vocab`.
  std::vector<int32_t> token_ids(const char* key, int64_t vocab) const;
  // The object of that name, to be read in turn; null if absent.
  const Json* object(const char* key) const;

  // A setting that changes what the model computes and of which this program has one value alone:
  // refused if it is there and another, rather than ignored.
  void require(const char* key, const Json& expected) const;

  // Throws "WHERE: field 'KEY' MESSAGE".
  [[noreturn]] void refuse(const std::string& key, const std::string& message) const;

  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  const std::string& where_;
};

// The start of a value, for messages.
std::string excerpt(const Json& value);

}  // namespace r1
