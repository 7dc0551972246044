#include "base/json.h"

#include <set>
#include <vector>

#include "base/error.h"

namespace r1 {
namespace {

// `visit` sees every parse event: (depth, event, value).
template <class J, class Visit>
J parse(std::string_view text, const std::string& where, Visit&& visit) {
  constexpr int kMaxDepth = 256;
  auto guard = [&](int depth, typename J::parse_event_t event, J& value) {
    if (depth > kMaxDepth) {
      throw InputError(where + ": JSON nested deeper than " + std::to_string(kMaxDepth));
    }
    visit(event, value);
    return true;
  };
  try {
    return J::parse(text.begin(), text.end(), guard);
  } catch (const typename J::parse_error& e) {
    throw InputError(where + ": not valid JSON at byte " + std::to_string(e.byte));
  } catch (const typename J::exception& e) {  // a number that no double can hold
    throw InputError(where + ": JSON value out of range");
  }
}

constexpr auto kVisitNothing = [](auto, auto&) {};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  return parse<Json>(text, where, kVisitNothing);
}

OrderedJson parse_ordered_json(std::string_view text, const std::string& where) {
  return parse<OrderedJson>(text, where, kVisitNothing);
}

Json parse_json_unique(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  return parse<Json>(text, where, [&](Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        throw InputError(where + ": the key " + in_quotes(key) + " comes twice in one object");
      }
    }
  });
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
