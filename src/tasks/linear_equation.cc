// Linear equations a x + b = c x + d with one solution, answered as an exact fraction or decimal.
// An equation, with its sides swapped or all its signs changed, is in the same split.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "tasks/builtin.h"
#include "tasks/procedural.h"

namespace r1 {
namespace {

// "3x - 4", "-x", "7"
std::string side_text(int64_t slope, int64_t offset) {
  if (slope == 0) return std::to_string(offset);
  std::string text = slope == 1 ? "x" : slope == -1 ? "-x" : std::to_string(slope) + "x";
  if (offset != 0) text += (offset < 0 ? " - " : " + ") + std::to_string(std::abs(offset));
  return text;
}

std::string canonical_key(int64_t a, int64_t b, int64_t c, int64_t d) {
  using Coefficients = std::array<int64_t, 4>;
  const Coefficients first =
      std::max({Coefficients{a, b, c, d}, {c, d, a, b}, {-a, -b, -c, -d}, {-c, -d, -a, -b}});
  return side_text(first[0], first[1]) + " = " + side_text(first[2], first[3]);
}

class LinearEquation : public NumberTask {
 public:
  explicit LinearEquation(const std::map<std::string, int64_t>& values)
      : NumberTask("linear-equation", "solve a x + b = c x + d for x, exactly",
                   {{"max_coefficient", "the largest coefficient, of either sign", 2, 999, 12},
                    {"fractions", "1: solutions may be fractions; 0: they are whole", 0, 1, 1}},
                   values) {}

 private:
  std::optional<Problem> make(Rng& rng, Split) const override {
    const int64_t most = knob("max_coefficient");
    const int64_t a = rng.between(-most, most), b = rng.between(-most, most);
    const int64_t c = rng.between(-most, most), d = rng.between(-most, most);
    const auto x = Rational::make(d - b, a - c);  // nothing where a is c
    if (!x || (knob("fractions") == 0 && !x->is_integer())) return std::nullopt;
    Problem p;
    p.prompt = "Solve for x: " + side_text(a, b) + " = " + side_text(c, d) +
               "\nPut the value of x in <answer>...</answer>, as a whole number or as an exact "
               "fraction such as -22/7.\n";
    p.answer = x->text();
    p.key = canonical_key(a, b, c, d);
    p.data = {{"a", a}, {"b", b}, {"c", c}, {"d", d}, {"answer", x->text()}};
    return p;
  }
};

}  // namespace

std::unique_ptr<Task> make_linear_equation(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<LinearEquation>(knobs);
}

}  // namespace r1
