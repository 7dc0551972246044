// Multiplication of two numbers, given how many digits each has. A pair and its swap are in the
// same split.
#include <algorithm>

#include "tasks/answer.h"
#include "tasks/builtin.h"
#include "tasks/knobs.h"

namespace r1 {
namespace {

class Multiplication : public Task {
 public:
  explicit Multiplication(const std::map<std::string, int64_t>& values)
      : knobs_({{"digits_a", "digits of the first number", 1, 9, 2},
                {"digits_b", "digits of the second number", 1, 9, 2}},
               values, "multiplication") {}

  std::string name() const override { return "multiplication"; }
  std::string description() const override { return "the product of two whole numbers"; }
  std::vector<Knob> knobs() const override { return knobs_.list(); }

  Problem sample(Rng& rng, Split split) const override {
    return sample_in_split(rng, split, name(), [&](Rng& r) { return make(r); });
  }

  Verdict verify(const Problem& problem, std::string_view completion) const override {
    return verify_number(name(), problem, completion);
  }

 private:
  static int64_t number(Rng& rng, int64_t digits) {
    int64_t least = 1;
    for (int64_t i = 1; i < digits; ++i) least *= 10;
    return rng.between(least, 10 * least - 1);
  }

  std::optional<Problem> make(Rng& rng) const {
    const int64_t a = number(rng, knobs_["digits_a"]), b = number(rng, knobs_["digits_b"]);
    Problem p;
    p.prompt = "What is " + std::to_string(a) + " * " + std::to_string(b) +
               "? Put the product in <answer>...</answer>, as a whole number.\n";
    p.answer = std::to_string(a * b);
    p.key = std::to_string(std::min(a, b)) + " * " + std::to_string(std::max(a, b));
    p.data = {{"a", a}, {"b", b}, {"answer", a * b}};
    return p;
  }

  KnobValues knobs_;
};

}  // namespace

std::unique_ptr<Task> make_multiplication(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<Multiplication>(knobs);
}

}  // namespace r1
