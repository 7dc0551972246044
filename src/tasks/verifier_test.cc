#include "tasks/verifier.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "base/error.h"
#include "tasks/math/answer.h"
#include "tasks/math/latex.h"
#include "tasks/sandbox.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

Problem asks(const std::string& answer, const std::string& text = "") {
  Problem p;
  p.answer = answer;
  p.prompt = text;
  return p;
}

std::string reason(const std::string& verifier, const Problem& p, const std::string& completion) {
  const Verdict v = make_verifier(verifier)->verify(p, completion);
  EXPECT_EQ(v.reward == 1, v.reason == "correct");
  return v.reason;
}

std::string math(const std::string& answer, const std::string& completion) {
  return reason("math", asks(answer), completion);
}

TEST(MathVerifier, FindsTheFinalAnswer) {
  for (const char* completion : {R"(So it is \boxed{18}.)",
                                 R"(First \boxed{5}, no: \boxed{18})",
                                 R"($\boxed{\text{18}}$)",
                                 R"(\fbox{18})",
                                 R"(\boxed 18)",
                                 "#### 18",
                                 "... so\nThe answer is 18.",
                                 "Answer: 18",
                                 "**Answer:** 18",
                                 "sums\nA: 18",
                                 "<answer>18</answer>",
                                 "<answer>\\boxed{18}</answer>",
                                 "He has 3 + 15 = 18 apples\nand that is all: 18 of them",
                                 "18",
                                 "$18$",
                                 "$18",
                                 "The answer is $18 because 20 is wrong.\n",
                                 "the answer is:\n\n18 dollars",
                                 "<think>17, 19</think>18",
                                 "17</think>\\boxed{18}"}) {
    const std::string expected =
        std::string(completion).find("20") == std::string::npos ? "correct" : "unparseable";
    EXPECT_EQ(math("18", completion), expected) << completion;
  }
  EXPECT_EQ(math(R"(\frac{1}{\{2\}})", R"(\boxed{\frac{1}{\{2\}}})"), "correct");
  EXPECT_EQ(math("the sum\n#### 18", "18"), "correct");  // a solution as the reference
}

TEST(MathVerifier, TellsWrongFromNoAnswer) {
  EXPECT_EQ(math("18", R"(\boxed{19})"), "wrong");
  EXPECT_EQ(math("18", R"(\boxed{unsure})"), "unparseable");
  EXPECT_EQ(math("18", R"(\boxed{})"), "empty answer");
  EXPECT_EQ(math("18", R"(\boxed{18)"), "malformed answer");
  EXPECT_EQ(math("18", ""), "no answer");
  EXPECT_EQ(math("18", "I do not\nknow"), "no answer");
  EXPECT_EQ(math("18", R"(<think>\boxed{18})"), "thinking does not end");
  EXPECT_EQ(math("18", "<think>a</think>b<think>18"), "thinking does not end");
  EXPECT_EQ(math("18", "<answer>18</answer><answer>19</answer>"), "several answers");
  EXPECT_FALSE(make_verifier("math")->verify(asks("18"), R"(\boxed{unsure})").parsed);
  EXPECT_TRUE(make_verifier("math")->verify(asks("18"), R"(\boxed{19})").parsed);
}

TEST(MathVerifier, PaysNothingForTricks) {
  EXPECT_EQ(math("18", R"(\boxed{17, 18, 19})"), "wrong");
  EXPECT_EQ(math("18", R"(\boxed{17 or 18})"), "wrong");
  EXPECT_EQ(math("18", R"(\boxed{18=19})"), "wrong");
  EXPECT_EQ(math("18", R"(\boxed{18 \approx 19})"), "wrong");
  EXPECT_EQ(math("18", R"(\boxed{2 \cdot 9})"), "arithmetic left to do");
  EXPECT_EQ(math("18", R"(\boxed{18} \boxed{19})"), "wrong");
  const Problem expand = asks("p^2+14p+49", "Expand: $(p+7)^{2}$");
  EXPECT_EQ(reason("math", expand, R"(\boxed{(p+7)^2})"), "repeats the problem");
  EXPECT_EQ(reason("math", expand, R"(\boxed{49+14p+p^2})"), "correct");
  const Problem reduce = asks(R"(\frac{1}{2})", "Reduce $\\frac{2}{4}$.");
  EXPECT_EQ(reason("math", reduce, R"(\boxed{2/4})"), "correct");
  EXPECT_EQ(reason("math", reduce, R"(\boxed{\frac24})"), "repeats the problem");
  const Problem factor = asks(R"(7 \times 9)", "Factor 63.");
  EXPECT_EQ(reason("math", factor, R"(\boxed{63})"), "repeats the problem");
  EXPECT_EQ(reason("math", factor, R"(\boxed{9 \cdot 7})"), "correct");
}

TEST(MathVerifier, RefusesRowsWithoutAnAnswer) {
  EXPECT_THROW(math("", "3"), InputError);
  EXPECT_EQ(problem_of_row({{"answer", 18}}).answer, "18");
  EXPECT_EQ(problem_of_row({{"answer", nullptr}}).answer, "");
  EXPECT_EQ(problem_of_row({{"problem", "text"}, {"answer", "1"}}).prompt, "text");
}

TEST(ChoiceVerifier, FindsTheLetter) {
  const Problem p = asks("B");
  for (const char* completion :
       {R"(\boxed{B})", R"(\boxed{\text{B}})", R"(\boxed{\textbf{(B)}})", "The answer is (B).",
        "answer is B", "Answer: B) 12 apples", "(b)", "B", R"(\boxed{B. 12})", "<answer>B</answer>",
        R"(\boxed{\text{(B) } 12})", "The answer is option B"}) {
    EXPECT_EQ(reason("choice", p, completion), "correct") << completion;
  }
  EXPECT_EQ(reason("choice", p, R"(\boxed{C})"), "wrong");
  EXPECT_EQ(reason("choice", p, R"(\boxed{A or B})"), "unparseable");
  EXPECT_EQ(reason("choice", p, R"(\boxed{(A)(B)})"), "unparseable");
  EXPECT_EQ(reason("choice", p, R"(\boxed{12})"), "unparseable");
  EXPECT_EQ(reason("choice", p, "hm\nhm"), "no answer");
  EXPECT_EQ(make_verifier("choice")->vote(R"(\boxed{(b)})"), "B");
  EXPECT_THROW(reason("choice", asks("12"), "B"), InputError);
}

TEST(ExactVerifier, ComparesNumbersAndText) {
  EXPECT_EQ(reason("exact", asks("1,000"), R"(\boxed{1000.0})"), "correct");
  EXPECT_EQ(reason("exact", asks("Paris"), "The answer is Paris."), "correct");
  EXPECT_EQ(reason("exact", asks("Paris"), R"(\boxed{paris})"), "wrong");
  EXPECT_EQ(reason("exact", asks("3"), R"(\boxed{x})"), "unparseable");
}

TEST(Verifiers, AreFoundByName) {
  EXPECT_EQ(make_verifier("countdown")->name(), "countdown");
  for (const std::string& name : verifier_names()) {
    EXPECT_EQ(make_verifier(name)->name(), name);
    EXPECT_FALSE(make_verifier(name)->description().empty());
  }
  try {
    make_verifier("maths");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean \"math\""), std::string::npos) << e.what();
  }
}

// --- programs ---

class Code : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string obstacle = sandbox_obstacle();
    if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  }
  static std::string grade(const std::string& tag, const std::string& program, const Json& row) {
    Problem p;
    p.data = row;
    return reason("code", p, "So:\n```" + tag + "\n" + program + "\n```\n");
  }
  const Json sums_ = {
      {"tests",
       {{{"input", "1 2\n"}, {"output", "3\n"}}, {{"input", "20 22\n"}, {"output", "42"}}}},
      {"time_limit_s", 2}};
  const Json silent_ = {{"tests", {{{"output", "ok"}}}}, {"time_limit_s", 1}};
};

TEST_F(Code, RunsTests) {
  EXPECT_EQ(grade("sh", "read a b; echo $((a + b))", sums_), "correct");
  EXPECT_EQ(grade("sh", "echo 3", sums_), "wrong output on test 2");
  EXPECT_EQ(grade("sh", "exit 7", sums_), "exit code 7 on test 1");
  EXPECT_EQ(grade("rust", "fn main() {}", sums_), "unknown language");
}

TEST_F(Code, CompilesWhereThereIsACompiler) {
  if (!fs::exists("/usr/bin/g++")) GTEST_SKIP() << "no /usr/bin/g++";
  EXPECT_EQ(grade("cpp",
                  "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; "
                  "std::cout << a + b << '\\n'; }",
                  sums_),
            "correct");
  EXPECT_EQ(grade("cpp", "int main( {}", sums_), "does not compile");
}

TEST_F(Code, HoldsProgramsIn) {
  EXPECT_EQ(grade("sh", "while :; do :; done", silent_), "time limit on test 1");
  EXPECT_EQ(grade("sh", "sleep 60", silent_), "time limit on test 1");
  EXPECT_EQ(grade("sh", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", silent_),
            "output limit on test 1");
  // What it starts ends with it.
  EXPECT_EQ(grade("sh", "sleep 60 & echo ok", silent_), "correct");
  const std::string fork_bomb = grade("sh", "f() { f | f & }; f; wait; sleep 9", silent_);
  EXPECT_NE(fork_bomb, "correct");
}

TEST_F(Code, HidesTheMachine) {
  const std::string home = fs::current_path().string();
  EXPECT_EQ(grade("sh",
                  "touch /usr/x /box/x /etc/x /x 2>/dev/null && echo wrote\n"
                  "ls / | tr '\\n' ' ' >/tmp/ls; test -e " +
                      home +
                      " && echo sees\n"
                      "test -e /etc/passwd && echo passwords\n"
                      "test $(ls /sys/class/net 2>/dev/null | wc -l) = 0 || echo network\n"
                      "test $(grep -vc '^ *lo:' /proc/net/dev) = 2 || echo interfaces\n"
                      "echo ok",
                  silent_),
            "correct");
}

TEST(CodeRows, AreRefusedWithoutTests) {
  const auto verifier = make_verifier("code");
  for (const Json& row : {Json::object(), Json{{"tests", Json::array()}}, Json{{"tests", {3}}},
                          Json{{"tests", {{{"output", 3}}}}}, Json(nullptr),
                          Json{{"tests", {{{"output", "3"}}}}, {"language", "cobol"}}}) {
    Problem p;
    p.data = row;
    EXPECT_THROW(verifier->verify(p, "```sh\necho 3\n```"), InputError) << row;
  }
}

// --- real completions and answers, which are not in the repository ---

std::vector<Json> data_rows(const std::string& name) {
  std::ifstream in(fs::path(R1_SOURCE_DIR) / "../shared/data" / name);
  std::vector<Json> rows;
  for (std::string line; std::getline(in, line);) rows.push_back(Json::parse(line));
  return rows;
}

// Lines of a file in testdata, "key: explanation", by key.
std::map<std::string, std::string> explanations(const std::string& name) {
  std::ifstream in(fs::path(R1_SOURCE_DIR) / "src/tasks/testdata" / name);
  EXPECT_TRUE(in) << name;
  std::map<std::string, std::string> out;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t colon = line.find(": ");
    EXPECT_NE(colon, line.npos) << line;
    out[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return out;
}

TEST(MathVerifier, AgreesWithRecordedGrades) {
  const auto rows = data_rows("verifier/gsm8k-completions.jsonl");
  if (rows.empty()) GTEST_SKIP() << "no ../shared/data";
  const auto explained = explanations("gsm8k_disagreements.txt");
  const auto verifier = make_verifier("math");
  size_t disagreements = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const Verdict v = verifier->verify(asks(rows[i]["answer"], rows[i]["problem"]),
                                       rows[i]["completion"].get<std::string>());
    if (v.correct == rows[i]["correct"].get<bool>()) continue;
    ++disagreements;
    EXPECT_TRUE(explained.contains(std::to_string(i + 1))) << "line " << i + 1 << ": " << v.reason;
  }
  EXPECT_EQ(disagreements, explained.size());
  EXPECT_GE(static_cast<double>(rows.size() - disagreements),
            0.995 * static_cast<double>(rows.size()));
}

// Each answer is itself, and none of 20 others unless the two are explained to be equal.
TEST(MathVerifier, TellsCollegeAnswersApart) {
  const auto rows = data_rows("problems/college-math.jsonl");
  if (rows.empty()) GTEST_SKIP() << "no ../shared/data";
  const auto explained = explanations("college_math_equal.txt");
  const auto verifier = make_verifier("math");
  std::vector<std::string> answers, texts;
  for (const Json& row : rows) {
    answers.push_back(row["answer"]);
    texts.push_back(normal_text(math_tokens(answers.back())));
  }
  std::set<std::string> met;
  Rng rng(1, 2);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Problem p = asks(answers[i], rows[i]["problem"]);
    EXPECT_EQ(verifier->verify(p, "\\boxed{" + answers[i] + "}").reason, "correct") << i + 1;
    for (int others = 0; others < 20;) {
      const size_t j = rng.below(rows.size());
      if (texts[i] == texts[j]) continue;
      ++others;
      if (match_answers(answers[i], answers[j]) != AnswerMatch::kSame) continue;
      const std::string pair = std::to_string(i + 1) + " " + std::to_string(j + 1);
      met.insert(pair);
      EXPECT_TRUE(explained.contains(pair)) << pair << ": " << answers[i] << " | " << answers[j];
    }
  }
  EXPECT_EQ(met.size(), explained.size());
}

}  // namespace
}  // namespace r1
