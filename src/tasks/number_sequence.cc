// Number sequences: give the next term. The rule is one of four families, and sequences that fit
// two of them with different next terms are not asked.
#include <algorithm>
#include <set>

#include "tasks/builtin.h"
#include "tasks/procedural.h"

namespace r1 {
namespace {

using Terms = std::vector<int64_t>;

constexpr int64_t kLargestRatio = 9;

// How often neighbouring terms' differences are taken until they are constant: 1 for an arithmetic
// sequence, 2 for a quadratic one. Nothing if they are not constant then.
std::optional<int64_t> next_polynomial(Terms row, int order) {
  int64_t next = 0;
  for (int i = 0; i < order; ++i) {
    next += row.back();
    for (size_t j = 0; j + 1 < row.size(); ++j) row[j] = row[j + 1] - row[j];
    row.pop_back();
  }
  for (const int64_t difference : row) {
    if (difference != row[0]) return std::nullopt;
  }
  return next + row.back();
}

std::optional<int64_t> next_geometric(const Terms& t) {
  if (t[0] == 0 || t[1] % t[0] != 0) return std::nullopt;
  const int64_t ratio = t[1] / t[0];
  for (size_t i = 1; i < t.size(); ++i) {
    if (t[i] != t[i - 1] * ratio) return std::nullopt;
  }
  return t.back() * ratio;
}

std::optional<int64_t> next_fibonacci(const Terms& t) {
  for (size_t i = 2; i < t.size(); ++i) {
    if (t[i] != t[i - 1] + t[i - 2]) return std::nullopt;
  }
  return t[t.size() - 1] + t[t.size() - 2];
}

// The next terms under all rules of the families that the terms fit. At least 4 terms.
std::set<int64_t> next_terms(const Terms& t) {
  std::set<int64_t> next;
  for (const auto& n :
       {next_polynomial(t, 1), next_polynomial(t, 2), next_geometric(t), next_fibonacci(t)}) {
    if (n) next.insert(*n);
  }
  return next;
}

class NumberSequence : public NumberTask {
 public:
  explicit NumberSequence(const std::map<std::string, int64_t>& values)
      : NumberTask(
            "number-sequence",
            "the next term of an arithmetic, geometric, quadratic or Fibonacci-like sequence",
            {{"terms", "how many terms are shown", 4, 10, 6},
             {"max_number", "the largest first term and difference", 2, 100, 30}},
            values) {}

 private:
  // The terms to show and the one after them.
  Terms draw(Rng& rng, uint64_t family) const {
    const int64_t largest = knob("max_number");
    Terms t = {rng.between(1, largest)};
    int64_t step = rng.between(-largest, largest);
    const int64_t bend = family == 1 ? rng.between(-largest, largest) : 0;
    const int64_t ratio = rng.between(2, std::min(largest, kLargestRatio));
    if (family == 3) t.push_back(rng.between(1, largest));
    while (static_cast<int64_t>(t.size()) <= knob("terms")) {
      const int64_t last = t.back();
      if (family == 2) {
        t.push_back(last * ratio);
      } else if (family == 3) {
        t.push_back(last + t[t.size() - 2]);
      } else {
        t.push_back(last + step);
        step += bend;
      }
    }
    return t;
  }

  std::optional<Problem> make(Rng& rng, Split) const override {
    constexpr const char* kFamilies[] = {"arithmetic", "quadratic", "geometric", "fibonacci"};
    const uint64_t family = rng.below(4);
    Terms t = draw(rng, family);
    const int64_t next = t.back();
    t.pop_back();
    const bool constant = t[0] == t[1] && t[1] == t[2];
    if (constant || next_terms(t) != std::set<int64_t>{next}) return std::nullopt;
    Problem p;
    for (const int64_t n : t) p.key += (p.key.empty() ? "" : ", ") + std::to_string(n);
    p.prompt = "What number comes next in this sequence?\n" + p.key +
               ", ...\nPut it in <answer>...</answer>, as a whole number.\n";
    p.answer = std::to_string(next);
    p.data = {{"terms", t}, {"rule", kFamilies[family]}, {"answer", next}};
    return p;
  }
};

}  // namespace

std::unique_ptr<Task> make_number_sequence(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<NumberSequence>(knobs);
}

}  // namespace r1
