// Small text helpers for messages to people.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace r1 {

// How many insertions, deletions, replacements and swaps of neighbours turn `a` into `b` (optimal
// string alignment). Bytes, not characters. Time and memory O(|a| |b|).
size_t edit_distance(std::string_view a, std::string_view b);

// The candidate that `typo` most likely meant, the first of the nearest; empty if none is near
// enough (more than a third of its letters differ) or `typo` is not a name at all (over 64 bytes).
std::string nearest_name(std::string_view typo, std::span<const std::string> candidates);

// The same as the end of an error message: `, did you mean "steps"?`, or nothing.
std::string did_you_mean(std::string_view typo, std::span<const std::string> candidates);

}  // namespace r1
