// The built-in tasks' problems, checked by other means than those that made them; and the forms of
// answers.
#include "tasks/builtin.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <sstream>

#include "tasks/answer.h"

namespace r1 {
namespace {

Rational fraction(int64_t numerator, int64_t denominator) {
  return Rational::make(numerator, denominator).value();
}

std::vector<Problem> samples(const std::string& task, int n,
                             const std::map<std::string, int64_t>& knobs = {}) {
  const auto t = make_task(task, knobs);
  Rng rng(12);
  std::vector<Problem> problems;
  for (int i = 0; i < n; ++i) problems.push_back(t->sample(rng, Split::kTrain));
  return problems;
}

Verdict judge(const std::string& task, const char* data, const std::string& answer) {
  Problem p;
  p.data = parse_json(data, "test");
  return make_task(task)->verify(p, "<answer>" + answer + "</answer>");
}

TEST(StatedNumber, IsANumberOrTheEndOfATrueEquation) {
  EXPECT_EQ(stated_number("408"), Rational(408));
  EXPECT_EQ(stated_number("x = -7/3"), fraction(-7, 3));
  EXPECT_EQ(stated_number("x=14/6=7/3"), fraction(7, 3));
  EXPECT_EQ(stated_number("12 * 34 = 408"), Rational(408));
  EXPECT_EQ(stated_number("(2 + 3) × 4 = 5 · 4 = 20"), Rational(20));
  EXPECT_EQ(stated_number("-(2) = −2"), Rational(-2));
}

TEST(StatedNumber, IsNothingWhereTheSidesDisagreeOrAreNoNumbers) {
  for (const char* text :
       {"",          "=",         "= 5",          "5 =",           "5 = 7",
        "7 = 5 = 5", "x",         "x =",          "x = y",         "y = x = 5",
        "xy = 5",    "2x = 10",   "x = 5, x = 7", "5 or x = 7",    "x == 5",
        "1 / 0 = 5", "x = 5 = y", "12 * 34",      "408 = 12 * 34", "the answer is 5",
        "5 = 5."}) {
    EXPECT_FALSE(stated_number(text)) << text;
  }
}

TEST(VerifyNumber, ComparesValuesNotSpellings) {
  const char* third = R"({"answer": "-7/3"})";
  for (const char* answer : {"-7/3", "−7/3", "-14/6", "x = -7/3", " -7 / 3 "}) {
    EXPECT_TRUE(judge("linear-equation", third, answer).correct) << answer;
  }
  EXPECT_TRUE(judge("linear-equation", R"({"answer": "5/2"})", "2.50").correct);
  EXPECT_TRUE(judge("linear-equation", R"({"answer": "2.5"})", "x = 10/4").correct);
  EXPECT_TRUE(judge("multiplication", R"({"answer": 1234567})", "1,234,567").correct);
  EXPECT_EQ(judge("linear-equation", third, "-2.333").reason, "wrong");
  EXPECT_EQ(judge("linear-equation", third, "7/3").reason, "wrong");
  EXPECT_EQ(judge("linear-equation", third, "-7/3 or 7/3").reason, "unparseable");
  EXPECT_EQ(judge("linear-equation", third, "-7/0").reason, "unparseable");
}

TEST(ChainArithmetic, AnswersFollowTheWords) {
  for (const Problem& p : samples("chain-arithmetic", 300, {{"steps", 8}})) {
    std::istringstream words(p.prompt.substr(std::string("Start with ").size()));
    int64_t value = 0, steps = 0;
    words >> value;
    for (std::string word; words >> word && word != "What";) {
      int64_t n = 0;
      if (word == "add" && words >> n) value += n, ++steps;
      if (word == "subtract" && words >> n) value -= n, ++steps;
      if (word == "multiply" && words >> word >> n) value *= n, ++steps;
    }
    EXPECT_EQ(steps, 8);
    EXPECT_EQ(std::to_string(value), p.answer) << p.prompt;
  }
}

TEST(Multiplication, HasTheDigitsAskedFor) {
  for (const Problem& p : samples("multiplication", 200, {{"digits_a", 9}, {"digits_b", 1}})) {
    const auto a = p.data["a"].get<int64_t>(), b = p.data["b"].get<int64_t>();
    EXPECT_EQ(std::to_string(a).size(), 9u);
    EXPECT_EQ(std::to_string(b).size(), 1u);
    EXPECT_EQ(parse_number(p.answer), multiply(a, b));
    EXPECT_NE(p.prompt.find(std::to_string(a) + " * " + std::to_string(b) + "?"),
              std::string::npos);
  }
}

TEST(NumberSequence, TheAnswerGoesOnByTheRule) {
  std::set<std::string> rules;
  for (const Problem& p : samples("number-sequence", 400, {{"terms", 4}})) {
    auto t = p.data["terms"].get<std::vector<int64_t>>();
    ASSERT_EQ(t.size(), 4u);
    t.push_back(p.data["answer"].get<int64_t>());
    const auto rule = p.data["rule"].get<std::string>();
    rules.insert(rule);
    for (size_t i = 2; i < t.size(); ++i) {
      if (rule == "arithmetic") {
        EXPECT_EQ(t[i] - t[i - 1], t[1] - t[0]) << p.key;
      }
      if (rule == "geometric") {
        EXPECT_EQ(t[i] * t[0], t[i - 1] * t[1]) << p.key;
      }
      if (rule == "fibonacci") {
        EXPECT_EQ(t[i], t[i - 1] + t[i - 2]) << p.key;
      }
      if (rule == "quadratic" && i > 2) {
        EXPECT_EQ(t[i] - 3 * t[i - 1] + 3 * t[i - 2] - t[i - 3], 0) << p.key;
      }
    }
  }
  EXPECT_EQ(rules.size(), 4u);
}

TEST(NumberSequence, NoOtherRuleGivesAnotherTerm) {
  for (const Problem& p : samples("number-sequence", 2000, {{"terms", 4}, {"max_number", 3}})) {
    const auto t = p.data["terms"].get<std::vector<int64_t>>();
    const auto answer = p.data["answer"].get<int64_t>();
    if (t[2] == t[0] + t[1] && t[3] == t[1] + t[2]) {
      EXPECT_EQ(answer, t[2] + t[3]) << p.key;
    }
    if (t[3] - 3 * t[2] + 3 * t[1] - t[0] == 0) {
      EXPECT_EQ(answer, 3 * t[3] - 3 * t[2] + t[1]) << p.key;
    }
    if (t[0] * t[1] != 0 && t[1] % t[0] == 0 && t[2] * t[0] == t[1] * t[1] &&
        t[3] * t[1] == t[2] * t[2]) {
      EXPECT_EQ(answer, t[3] * (t[1] / t[0])) << p.key;
    }
  }
}

// Whether the statement in quotes is true, from its words alone.
bool sentence_holds(const std::string& sentence, const std::string& speaker,
                    const std::map<std::string, bool>& knight) {
  std::istringstream in(sentence);
  std::vector<std::string> w;
  for (std::string word; in >> word;) w.push_back(word);
  auto kind = [&](const std::string& name) {
    return knight.at(name == "I" || name == "me" ? speaker : name);
  };
  if (w.size() == 4) return kind(w[0]) == (w[3] == "knight.");  // Ann is a knight.
  if (w[0] != "At") {                                           // Ann and I are of ...
    return (kind(w[0]) == kind(w[2])) == (w.back() == "kind.");
  }
  const bool asked = w.back() == "knight.";  // At least one of Ann and me is a knight.
  return kind(w[4]) == asked || kind(w[6]) == asked;
}

TEST(KnightsKnaves, ThePromptHasOneSolutionAndTheAnswerIsIt) {
  for (const int64_t people : {2, 3, 4, 6}) {
    for (const Problem& p : samples("knights-knaves", 100, {{"people", people}})) {
      std::vector<std::string> names;
      std::map<std::string, std::string> says;
      std::istringstream lines(p.prompt);
      for (std::string line; std::getline(lines, line);) {
        const size_t at = line.find(" says: \"");
        if (at == std::string::npos) continue;
        names.push_back(line.substr(0, at));
        says[names.back()] = line.substr(at + 8, line.size() - at - 9);
      }
      ASSERT_EQ(names.size(), static_cast<size_t>(people));
      std::vector<std::string> solutions;
      for (unsigned mask = 0; mask < 1u << names.size(); ++mask) {
        std::map<std::string, bool> knight;
        std::string text;
        for (size_t i = 0; i < names.size(); ++i) {
          knight[names[i]] = mask >> i & 1;
          text += (i > 0 ? ", " : "") + names[i] + (knight[names[i]] ? ": knight" : ": knave");
        }
        bool ok = true;
        for (const auto& [name, what] : says) {
          ok = ok && sentence_holds(what, name, knight) == knight[name];
        }
        if (ok) solutions.push_back(text);
      }
      EXPECT_EQ(solutions, std::vector<std::string>{p.answer}) << p.prompt;
    }
  }
}

TEST(KnightsKnaves, AcceptsEveryOrderAndSpelling) {
  const char* data = R"({"people": {"Ann": "knight", "Bob": "knave", "Cleo": "knight"}})";
  for (const char* answer :
       {"Ann: knight, Bob: knave, Cleo: knight", "cleo: KNIGHT; ANN: Knight; bob: knave",
        "Bob: knave\nAnn: knight\nCleo: knight\n",
        "Ann is a knight, Bob is a knave and Cleo is a "
        "knight.",
        "Ann = knight, Bob=knave, and Cleo = knight", "Ann:knight,Bob:knave,\nCleo:knight"}) {
    EXPECT_TRUE(judge("knights-knaves", data, answer).correct) << answer;
  }
  EXPECT_EQ(judge("knights-knaves", data, "Ann: knave, Bob: knave, Cleo: knight").reason, "wrong");
  for (const char* answer :
       {"Ann: knight, Cleo: knight", "Ann: knight, Bob: knave, Cleo: knight, Dan: knave",
        "Ann: knight, Ann: knight, Bob: knave, Cleo: knight", "knight, knave, knight",
        "Ann: knight, Bob: knave, Bob: knight, Cleo: knight",
        "Ann: knight, Bob: liar, Cleo: knight", "Ann: knight or knave, Bob: knave, Cleo: knight",
        "Ann", ":", ",", "Ann:, Bob:, Cleo:", "Ann: knight Bob: knave Cleo: knight"}) {
    const Verdict v = judge("knights-knaves", data, answer);
    EXPECT_EQ(v.reason, "unparseable") << answer;
  }
}

bool is_full_grid(const std::string& g) {
  auto all_four = [&](std::array<int, 4> cells) {
    return std::set<char>{g[static_cast<size_t>(cells[0])], g[static_cast<size_t>(cells[1])],
                          g[static_cast<size_t>(cells[2])],
                          g[static_cast<size_t>(cells[3])]} == std::set<char>{'1', '2', '3', '4'};
  };
  for (int i = 0; i < 4; ++i) {
    const int corner = i / 2 * 8 + i % 2 * 2;
    if (!all_four({4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3}) ||
        !all_four({i, i + 4, i + 8, i + 12}) ||
        !all_four({corner, corner + 1, corner + 4, corner + 5})) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> all_grids() {
  std::vector<std::string> rows, grids;
  std::string row = "1234";
  do {
    rows.push_back(row);
  } while (std::next_permutation(row.begin(), row.end()));
  for (const auto& a : rows) {
    for (const auto& b : rows) {
      if (a[0] == b[0] || a[1] == b[1] || a[0] == b[1] || a[1] == b[0]) continue;
      for (const auto& c : rows) {
        for (const auto& d : rows) {
          if (is_full_grid(a + b + c + d)) grids.push_back(a + b + c + d);
        }
      }
    }
  }
  return grids;
}

TEST(Sudoku4, EveryPuzzleHasOneOfThe288GridsAsItsOnlySolution) {
  const auto grids = all_grids();
  ASSERT_EQ(grids.size(), 288u);
  std::set<std::string> seen;
  for (const int64_t blanks : {1, 8, 12}) {
    for (const Problem& p : samples("sudoku4", blanks == 8 ? 2000 : 100, {{"blanks", blanks}})) {
      const auto puzzle = p.data["puzzle"].get<std::string>();
      EXPECT_EQ(std::count(puzzle.begin(), puzzle.end(), '.'), blanks);
      std::vector<std::string> fitting;
      for (const std::string& g : grids) {
        bool fits = true;
        for (size_t i = 0; i < 16; ++i) fits = fits && (puzzle[i] == '.' || puzzle[i] == g[i]);
        if (fits) fitting.push_back(g);
      }
      EXPECT_EQ(fitting, std::vector<std::string>{p.answer}) << p.prompt;
      seen.insert(p.answer);
    }
  }
  EXPECT_GT(seen.size(), 200u);
}

TEST(Sudoku4, ReadsGridsAndSeesWhatIsWrong) {
  const char* data = R"({"puzzle": "1..434..21..4.21"})";
  EXPECT_TRUE(judge("sudoku4", R"({"puzzle": "1234341221434321"})", "1234341221434321").correct);
  EXPECT_TRUE(
      judge("sudoku4", R"({"puzzle": "1..43...2..3...1"})", "1 2 3 4\n3 4 1 2\n\t2143\n4321")
          .correct);
  EXPECT_EQ(judge("sudoku4", R"({"puzzle": "1..43...2..3...1"})", "1234341221434312").reason,
            "wrong");
  // A right grid, but of another puzzle.
  EXPECT_EQ(judge("sudoku4", R"({"puzzle": "2..43...2..3...1"})", "1234341221434321").reason,
            "wrong");
  EXPECT_EQ(judge("sudoku4", data, "1234341221434329").reason, "wrong");
  EXPECT_EQ(judge("sudoku4", data, "0000000000000000").reason, "wrong");
  for (const char* answer : {"123434122143432", "12343412214343211", "1234 3412 2143 432.", "x",
                             "1,2,3,4,3,4,1,2,2,1,4,3,4,3,2,1"}) {
    EXPECT_EQ(judge("sudoku4", data, answer).reason, "unparseable") << answer;
  }
  Problem bad;
  for (const char* puzzle : {R"({"puzzle": "1..4"})", R"({"puzzle": "5..43...2..3...1"})"}) {
    bad.data = parse_json(puzzle, "test");
    EXPECT_THROW(make_task("sudoku4")->verify(bad, ""), InputError) << puzzle;
  }
}

TEST(Sorting, SortsEitherWayAndKeepsRepeatedNumbers) {
  const char* up = R"({"numbers": [3, 1, 12, 3, -2], "order": "ascending"})";
  const char* down = R"({"numbers": [3, 1, 12, 3, -2], "order": "descending"})";
  for (const char* answer : {"-2, 1, 3, 3, 12", "[-2,1,3,3,12]", "-2 1 3 3 12", "−2, 1, 3,\n3, 12",
                             "-2 , 1 , 3 , 3 , 12"}) {
    EXPECT_TRUE(judge("sorting", up, answer).correct) << answer;
    EXPECT_EQ(judge("sorting", down, answer).reason, "wrong") << answer;
  }
  EXPECT_TRUE(judge("sorting", down, "12, 3, 3, 1, -2").correct);
  EXPECT_EQ(judge("sorting", up, "-2, 1, 3, 12").reason, "wrong");
  EXPECT_EQ(judge("sorting", up, "-2, 1, 3, 3, 12, 12").reason, "wrong");
  for (const char* answer : {"-2, 1, 3, 3, 12,", ", -2, 1", "-2,, 1", "-2; 1", "-2 < 1 < 3", "1.5",
                             "[", "]", "a, b", "-2, 1, 3, 3, 12 (ascending)"}) {
    EXPECT_EQ(judge("sorting", up, answer).reason, "unparseable") << answer;
  }
  Problem bad;
  bad.data = parse_json(R"({"numbers": [1], "order": "sideways"})", "test");
  EXPECT_THROW(make_task("sorting")->verify(bad, ""), InputError);
}

TEST(LinearEquation, TheSolutionSolvesTheEquation) {
  bool fractions = false;
  for (const Problem& p : samples("linear-equation", 300)) {
    const Rational x = parse_number(p.answer).value();
    auto side = [&](const char* slope, const char* offset) {
      return add(multiply(p.data[slope].get<int64_t>(), x).value(), p.data[offset].get<int64_t>());
    };
    EXPECT_EQ(side("a", "b"), side("c", "d")) << p.prompt;
    fractions = fractions || !x.is_integer();
  }
  EXPECT_TRUE(fractions);
  for (const Problem& p : samples("linear-equation", 300, {{"fractions", 0}})) {
    EXPECT_TRUE(parse_number(p.answer).value().is_integer()) << p.prompt;
  }
}

TEST(LinearEquation, IsWrittenAsPeopleDo) {
  std::set<std::string> sides;
  for (const Problem& p : samples("linear-equation", 3000, {{"max_coefficient", 2}})) {
    const size_t begin = p.prompt.find(": ") + 2, equals = p.prompt.find(" = ");
    sides.insert(p.prompt.substr(begin, equals - begin));
  }
  for (const char* side : {"x", "-x", "2x", "x + 1", "-x - 2", "-2x + 2", "0", "-1"}) {
    EXPECT_TRUE(sides.contains(side)) << side;
  }
  EXPECT_EQ(sides.size(), 25u);
}

}  // namespace
}  // namespace r1
