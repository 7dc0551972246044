// Chain arithmetic: start with a number and add, subtract and multiply, one step after another on
// the result so far. Said in words, so that no precedence of operators is in play.
#include <cstdlib>

#include "tasks/builtin.h"
#include "tasks/procedural.h"

namespace r1 {
namespace {

constexpr int64_t kLargestProduct = 9999;

class ChainArithmetic : public NumberTask {
 public:
  explicit ChainArithmetic(const std::map<std::string, int64_t>& values)
      : NumberTask("chain-arithmetic",
                   "add, subtract and multiply small numbers, one step after another",
                   {{"steps", "how many operations", 1, 20, 4},
                    {"max_number", "the largest number", 2, 100, 12}},
                   values) {}

 private:
  std::optional<Problem> make(Rng& rng, Split) const override {
    const int64_t largest = knob("max_number");
    int64_t value = rng.between(1, largest);
    Problem p;
    p.key = std::to_string(value);
    std::string words;
    for (int64_t i = 0; i < knob("steps"); ++i) {
      const int64_t n = rng.between(1, largest);
      const bool may_multiply = n > 1 && std::abs(value) * n <= kLargestProduct;
      const uint64_t op = rng.below(may_multiply ? 3 : 2);
      const std::string number = std::to_string(n);
      constexpr const char* kWords[] = {"add ", "subtract ", "multiply by "};
      words += (i > 0 ? "; " : "") + (kWords[op] + number);
      p.key += std::string(" ") + "+-*"[op] + " " + number;
      value = op == 0 ? value + n : op == 1 ? value - n : value * n;
    }
    p.prompt = "Start with " + p.key.substr(0, p.key.find(' ')) +
               ". Then do these steps in order, each to the result so far: " + words +
               ".\nWhat number do you end with? Put it in <answer>...</answer>, as a whole "
               "number.\n";
    p.answer = std::to_string(value);
    p.data = {{"chain", p.key}, {"answer", value}};
    return p;
  }
};

}  // namespace

std::unique_ptr<Task> make_chain_arithmetic(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<ChainArithmetic>(knobs);
}

}  // namespace r1
