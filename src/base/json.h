// JSON is nlohmann's; this adds what bad input needs: an error that says which file and where.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace r1 {

using Json = nlohmann::json;
// Keeps the order of keys: for rows that go back to the user as they came.
using OrderedJson = nlohmann::ordered_json;

// Parses text; `where` names its source in the InputError ("config.json", "rows.jsonl:17").
// Nesting deeper than 256 is refused. Of a key that comes twice in an object the last value counts.
Json parse_json(std::string_view text, const std::string& where);
OrderedJson parse_ordered_json(std::string_view text, const std::string& where);
// The same, but a key that comes twice in an object is refused: for formats that name things once.
Json parse_json_unique(std::string_view text, const std::string& where);

// Text from a file, for an error message: in quotes, escaped to one printable line, cut to `limit`
// bytes.
std::string in_quotes(std::string_view text, size_t limit = 80);

}  // namespace r1
