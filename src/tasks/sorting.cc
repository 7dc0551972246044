// Sorting whole numbers, ascending or descending. All orders of the same numbers are in the same
// split.
#include <algorithm>

#include "tasks/builtin.h"
#include "tasks/procedural.h"

namespace r1 {
namespace {

using Numbers = std::vector<int64_t>;

std::string list_text(const Numbers& numbers) {
  std::string text;
  for (const int64_t n : numbers) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return text;
}

// Integers with commas or white space between them, in square brackets or not.
std::optional<Numbers> parse_list(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  Numbers numbers;
  for (text = trim(text); !text.empty();) {
    const size_t end = text.find_first_of(", \t\r\n\f\v");
    const auto number = parse_number(text.substr(0, end));
    if (!number || !number->is_integer()) return std::nullopt;
    numbers.push_back(number->numerator());
    text = end == text.npos ? std::string_view{} : trim(text.substr(end));
    if (!text.starts_with(',')) continue;
    text = trim(text.substr(1));
    if (text.empty()) return std::nullopt;
  }
  return numbers;
}

struct SortingProblem {
  Numbers numbers;
  bool descending = false;

  Numbers sorted() const {
    Numbers result = numbers;
    std::sort(result.begin(), result.end());
    if (descending) std::reverse(result.begin(), result.end());
    return result;
  }
};

SortingProblem sorting_problem(const Json& d) {
  constexpr const char* kError =
      "a sorting problem needs 'numbers' (a list of integers) and 'order' (\"ascending\" or "
      "\"descending\")";
  if (!d.is_object() || !d.contains("numbers") || !d["numbers"].is_array() ||
      !d.contains("order") || (d["order"] != "ascending" && d["order"] != "descending")) {
    throw InputError(kError);
  }
  SortingProblem p;
  p.descending = d["order"] == "descending";
  for (const Json& n : d["numbers"]) {
    const auto integer = json_integer(n);
    if (!integer) throw InputError(kError);
    p.numbers.push_back(*integer);
  }
  return p;
}

class Sorting : public ProceduralTask {
 public:
  explicit Sorting(const std::map<std::string, int64_t>& values)
      : ProceduralTask("sorting", "put whole numbers into ascending or descending order",
                       {{"count", "how many numbers", 2, 50, 6},
                        {"max_number", "the largest number", 9, 9999, 99}},
                       values) {}

  Verdict verify(const Problem& problem, std::string_view completion) const override {
    const Numbers right = sorting_problem(problem.data).sorted();
    return grade(completion, [&](std::string_view answer) -> std::optional<bool> {
      const auto numbers = parse_list(answer);
      if (!numbers) return std::nullopt;
      return *numbers == right;
    });
  }

 private:
  std::optional<Problem> make(Rng& rng, Split) const override {
    SortingProblem sorting;
    for (int64_t i = 0; i < knob("count"); ++i) {
      sorting.numbers.push_back(rng.between(1, knob("max_number")));
    }
    Problem p;
    p.key = list_text(sorting.sorted());
    sorting.descending = rng.below(2) == 1;
    p.answer = list_text(sorting.sorted());
    p.prompt = std::string("Sort these numbers from the ") +
               (sorting.descending ? "largest to the smallest" : "smallest to the largest") + ": " +
               list_text(sorting.numbers) +
               "\nPut all of them, repeated ones too, in <answer>...</answer> with commas between "
               "them.\n";
    p.data = {{"numbers", sorting.numbers},
              {"order", sorting.descending ? "descending" : "ascending"}};
    return p;
  }
};

}  // namespace

std::unique_ptr<Task> make_sorting(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<Sorting>(knobs);
}

}  // namespace r1
