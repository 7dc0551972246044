#include "base/text_util.h"

#include <algorithm>
#include <vector>

#include "base/json.h"

namespace r1 {

size_t edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the table: distance of a's first i bytes to b's first j.
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string nearest_name(std::string_view typo, std::span<const std::string> candidates) {
  constexpr size_t kLongestName = 64;
  std::string best;
  if (typo.empty() || typo.size() > kLongestName) return best;
  size_t best_distance = kLongestName;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongestName) continue;
    const size_t distance = edit_distance(typo, candidate);
    if (3 * distance <= std::max(typo.size(), candidate.size()) && distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view typo, std::span<const std::string> candidates) {
  const std::string name = nearest_name(typo, candidates);
  return name.empty() ? "" : ", did you mean " + in_quotes(name) + "?";
}

}  // namespace r1
