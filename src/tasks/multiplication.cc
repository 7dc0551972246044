// Multiplication of two numbers, given how many digits each has. A pair and its swap are in the
// same split.
#include <algorithm>

#include "tasks/builtin.h"
#include "tasks/procedural.h"

namespace r1 {
namespace {

class Multiplication : public NumberTask {
 public:
  explicit Multiplication(const std::map<std::string, int64_t>& values)
      : NumberTask("multiplication", "the product of two whole numbers",
                   {{"digits_a", "digits of the first number", 1, 9, 2},
                    {"digits_b", "digits of the second number", 1, 9, 2}},
                   values) {}

 private:
  static int64_t number(Rng& rng, int64_t digits) {
    int64_t least = 1;
    for (int64_t i = 1; i < digits; ++i) least *= 10;
    return rng.between(least, 10 * least - 1);
  }

  std::optional<Problem> make(Rng& rng, Split) const override {
    const int64_t a = number(rng, knob("digits_a")), b = number(rng, knob("digits_b"));
    Problem p;
    p.prompt = "What is " + std::to_string(a) + " * " + std::to_string(b) +
               "? Put the product in <answer>...</answer>, as a whole number.\n";
    p.answer = std::to_string(a * b);
    p.key = std::to_string(std::min(a, b)) + " * " + std::to_string(std::max(a, b));
    p.data = {{"a", a}, {"b", b}, {"answer", a * b}};
    return p;
  }
};

}  // namespace

std::unique_ptr<Task> make_multiplication(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<Multiplication>(knobs);
}

}  // namespace r1
