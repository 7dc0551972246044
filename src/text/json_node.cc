#include "text/json_node.h"

#include "base/error.h"

namespace r1 {
namespace {

constexpr size_t kMaxDepth = 256;

}  // namespace

JsonDocument::JsonDocument(std::string_view text, std::string where) : where_(std::move(where)) {
  simdjson::error_code error = parser_.allocate(text.size(), kMaxDepth);
  if (!error) error = parser_.parse(text.data(), text.size()).get(root_);
  if (!error) return;
  if (error == simdjson::MEMALLOC) throw std::bad_alloc();
  parse_json(text, where_);  // knows the byte; what it accepts is refused all the same
  throw InputError(where_ + ": not valid JSON: " + simdjson::error_message(error));
}

JsonNode JsonDocument::root() const {
  return {root_, where_};
}

JsonNode JsonNode::at(std::string_view key) const {
  simdjson::dom::element value;
  if (object().at_key(key).get(value)) fail("the field " + in_quotes(key) + " is missing");
  return {value, where_, path_of(key)};
}

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  simdjson::dom::element value;
  if (object().at_key(key).get(value) || value.is_null()) return std::nullopt;
  return JsonNode(value, where_, path_of(key));
}

std::vector<JsonNode> JsonNode::items() const {
  std::vector<JsonNode> out;
  for (const simdjson::dom::element item : array()) {
    out.emplace_back(item, where_, path_ + "[" + std::to_string(out.size()) + "]");
  }
  return out;
}

simdjson::dom::object JsonNode::object() const {
  simdjson::dom::object out;
  if (json_.get(out)) fail_kind("an object");
  return out;
}

simdjson::dom::array JsonNode::array() const {
  simdjson::dom::array out;
  if (json_.get(out)) fail_kind("an array");
  return out;
}

std::string_view JsonNode::string() const {
  std::string_view out;
  if (json_.get(out)) fail_kind("a string");
  return out;
}

bool JsonNode::boolean() const {
  bool out = false;
  if (json_.get(out)) fail_kind("true or false");
  return out;
}

int64_t JsonNode::integer(int64_t lo, int64_t hi) const {
  int64_t out = 0;
  if (json_.get(out) || out < lo || out > hi) {
    fail_kind("an integer from " + std::to_string(lo) + " to " + std::to_string(hi));
  }
  return out;
}

bool JsonNode::boolean(std::string_view key, bool otherwise) const {
  const auto node = find(key);
  return node ? node->boolean() : otherwise;
}

std::string JsonNode::path_of(std::string_view key) const {
  return (path_.empty() ? "" : path_ + ".") + std::string(key);
}

void JsonNode::fail(const std::string& message) const {
  throw InputError(where_ + ": " + (path_.empty() ? "" : path_ + ": ") + message);
}

void JsonNode::fail_kind(const std::string& expected) const {
  std::string came;
  switch (json_.type()) {
    case simdjson::dom::element_type::OBJECT:
      came = "object";
      break;
    case simdjson::dom::element_type::ARRAY:
      came = "array";
      break;
    case simdjson::dom::element_type::STRING:
      came = in_quotes(json_.get_string().value_unsafe());
      break;
    default:
      came = simdjson::minify(json_);
  }
  fail("expected " + expected + ", came " + came);
}

}  // namespace r1
