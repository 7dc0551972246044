// JSON is nlohmann's; this adds what bad input needs: an error that says which file and where.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace r1 {

using Json = nlohmann::json;
// Keeps the order of keys: for rows that go back to the user as they came.
using OrderedJson = nlohmann::ordered_json;

// Parses text; `where` names its source in the InputError ("config.json", "rows.jsonl:17").
// Nesting deeper than 256 is refused.
Json parse_json(std::string_view text, const std::string& where);
OrderedJson parse_ordered_json(std::string_view text, const std::string& where);

}  // namespace r1
