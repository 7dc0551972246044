#include "base/json.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace r1 {
namespace {

constexpr size_t kMaxDepth = 256;

// Builds the document as nlohmann's own parser does, and sees each event first. (Its parser with a
// callback takes quadratic time in the members of an object.)
template <class J>
class Builder : public nlohmann::detail::json_sax_dom_parser<J> {
  using Base = nlohmann::detail::json_sax_dom_parser<J>;

 public:
  Builder(J& out, const std::string& where, bool unique)
      : Base(out, true), where_(where), unique_(unique) {}

  bool start_object(size_t size) {
    enter();
    return Base::start_object(size);
  }
  bool key(std::string& key) {
    if (unique_) keys_[depth_].push_back(key);
    return Base::key(key);
  }
  bool end_object() {
    std::vector<std::string>& keys = keys_[depth_];
    std::sort(keys.begin(), keys.end());
    if (const auto it = std::adjacent_find(keys.begin(), keys.end()); it != keys.end()) {
      throw InputError(where_ + ": the key " + in_quotes(*it) + " comes twice in one object");
    }
    --depth_;
    return Base::end_object();
  }
  bool start_array(size_t size) {
    enter();
    return Base::start_array(size);
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }

 private:
  void enter() {
    if (++depth_ > kMaxDepth) {
      throw InputError(where_ + ": JSON nested deeper than " + std::to_string(kMaxDepth));
    }
    if (keys_.size() <= depth_) keys_.resize(depth_ + 1);
    keys_[depth_].clear();
  }

  const std::string& where_;
  size_t depth_ = 0;  // of open objects and arrays
  bool unique_;
  std::vector<std::vector<std::string>> keys_;  // of the open object at each depth, if unique_
};

template <class J>
J parse(std::string_view text, const std::string& where, bool unique) {
  J out;
  Builder<J> builder(out, where, unique);
  try {
    J::sax_parse(text.begin(), text.end(), &builder);
  } catch (const typename J::parse_error& e) {
    throw InputError(where + ": not valid JSON at byte " + std::to_string(e.byte));
  } catch (const typename J::exception& e) {  // a number that no double can hold
    throw InputError(where + ": JSON value out of range");
  }
  return out;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  return parse<Json>(text, where, false);
}

OrderedJson parse_ordered_json(std::string_view text, const std::string& where) {
  return parse<OrderedJson>(text, where, false);
}

Json parse_json_unique(std::string_view text, const std::string& where) {
  return parse<Json>(text, where, true);
}

std::string in_quotes(std::string_view text, size_t limit) {
  const bool cut = text.size() > limit;
  // ensure_ascii and replace: whatever the bytes are, one line of plain ASCII.
  std::string line =
      Json(text.substr(0, limit)).dump(-1, ' ', true, Json::error_handler_t::replace);
  if (cut) line.insert(line.size() - 1, "...");
  return line;
}

}  // namespace r1
