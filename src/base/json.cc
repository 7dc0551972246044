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

 protected:
  const std::string& where_;
  size_t depth_ = 0;  // of open objects and arrays

 private:
  bool unique_;
  std::vector<std::vector<std::string>> keys_;  // of the open object at each depth, if unique_
};

// Makes an array of the object at a path.
class FlatBuilder : public Builder<Json> {
  using Base = Builder<Json>;

 public:
  FlatBuilder(Json& out, const std::string& where, std::span<const std::string_view> path)
      : Base(out, where, false), path_(path) {}

  bool start_object(size_t size) {
    if (!at_path()) return Base::start_object(size);
    flat_ = depth_ + 1;
    return Base::start_array(size);
  }
  bool key(std::string& key) {
    if (depth_ == flat_) return Base::string(key);
    if (depth_ <= path_.size() && depth_ <= matched_ + 1) {
      matched_ = path_[depth_ - 1] == key ? depth_ : depth_ - 1;
    }
    return Base::key(key);
  }
  bool end_object() {
    if (depth_ != flat_) return Base::end_object();
    flat_ = 0;
    return Base::end_array();
  }
  bool start_array(size_t size) {
    if (at_path()) {
      std::string path;
      for (const std::string_view key : path_) path += (path.empty() ? "" : ".") + std::string(key);
      throw InputError(where_ + ": " + path + ": expected an object, came array");
    }
    return Base::start_array(size);
  }

 private:
  // Whether the next value is the path's.
  bool at_path() const { return depth_ == path_.size() && matched_ == depth_; }

  const std::span<const std::string_view> path_;
  size_t matched_ = 0;  // keys of the path that lead to where we are
  size_t flat_ = 0;     // the depth inside the array that is made; 0: outside
};

template <class J, class B>
void parse(std::string_view text, const std::string& where, B&& builder) {
  try {
    J::sax_parse(text.begin(), text.end(), &builder);
  } catch (const typename J::parse_error& e) {
    throw InputError(where + ": not valid JSON at byte " + std::to_string(e.byte));
  } catch (const typename J::exception& e) {  // a number that no double can hold
    throw InputError(where + ": JSON value out of range");
  }
}

template <class J>
J parse(std::string_view text, const std::string& where, bool unique) {
  J out;
  parse<J>(text, where, Builder<J>(out, where, unique));
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

Json parse_json_flat(std::string_view text, const std::string& where,
                     std::span<const std::string_view> path) {
  Json out;
  parse<Json>(text, where, FlatBuilder(out, where, path));
  return out;
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
