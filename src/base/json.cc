#include "base/json.h"

#include "base/error.h"

namespace r1 {
namespace {

template <class J>
J parse(std::string_view text, const std::string& where) {
  constexpr int kMaxDepth = 256;
  auto guard = [&](int depth, typename J::parse_event_t, J&) {
    if (depth > kMaxDepth) {
      throw InputError(where + ": JSON nested deeper than " + std::to_string(kMaxDepth));
    }
    return true;
  };
  try {
    return J::parse(text.begin(), text.end(), guard);
  } catch (const typename J::parse_error& e) {
    throw InputError(where + ": not valid JSON at byte " + std::to_string(e.byte));
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  return parse<Json>(text, where);
}

OrderedJson parse_ordered_json(std::string_view text, const std::string& where) {
  return parse<OrderedJson>(text, where);
}

}  // namespace r1
