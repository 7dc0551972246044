#include "text/json_node.h"

#include "base/error.h"

namespace r1 {

JsonNode JsonNode::at(const std::string& key) const {
  const Json& self = object();
  const auto it = self.find(key);
  if (it == self.end()) fail("the field " + in_quotes(key) + " is missing");
  return {*it, where_, path_.empty() ? key : path_ + "." + key};
}

std::optional<JsonNode> JsonNode::find(const std::string& key) const {
  const Json& self = object();
  const auto it = self.find(key);
  if (it == self.end() || it->is_null()) return std::nullopt;
  return JsonNode(*it, where_, path_.empty() ? key : path_ + "." + key);
}

std::vector<JsonNode> JsonNode::items() const {
  std::vector<JsonNode> out;
  const Json& self = array();
  out.reserve(self.size());
  for (size_t i = 0; i < self.size(); ++i) {
    out.emplace_back(self[i], where_, path_ + "[" + std::to_string(i) + "]");
  }
  return out;
}

const Json& JsonNode::object() const {
  if (!json_->is_object()) fail_kind("an object");
  return *json_;
}

const Json& JsonNode::array() const {
  if (!json_->is_array()) fail_kind("an array");
  return *json_;
}

const std::string& JsonNode::string() const {
  if (!json_->is_string()) fail_kind("a string");
  return json_->get_ref<const std::string&>();
}

bool JsonNode::boolean() const {
  if (!json_->is_boolean()) fail_kind("true or false");
  return json_->get<bool>();
}

int64_t JsonNode::integer(int64_t lo, int64_t hi) const {
  const bool fits = json_->is_number_integer() &&
                    !(json_->is_number_unsigned() && json_->get<uint64_t>() > INT64_MAX) &&
                    json_->get<int64_t>() >= lo && json_->get<int64_t>() <= hi;
  if (!fits) {
    const std::string range = std::to_string(lo) + " to " + std::to_string(hi);
    fail_kind(("an integer from " + range).c_str());
  }
  return json_->get<int64_t>();
}

bool JsonNode::boolean(const std::string& key, bool otherwise) const {
  const auto node = find(key);
  return node ? node->boolean() : otherwise;
}

void JsonNode::fail(const std::string& message) const {
  throw InputError(where_ + ": " + (path_.empty() ? "" : path_ + ": ") + message);
}

void JsonNode::fail_kind(const char* expected) const {
  std::string came = json_->type_name();
  if (json_->is_number() || json_->is_boolean()) came = json_->dump();
  if (json_->is_string()) came = in_quotes(json_->get_ref<const std::string&>());
  fail(std::string("expected ") + expected + ", came " + came);
}

}  // namespace r1
