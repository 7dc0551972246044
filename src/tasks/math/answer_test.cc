#include "tasks/math/answer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace r1 {
namespace {

struct Pair {
  const char *expected, *given;
};

void expect_all(AnswerMatch match, const std::vector<Pair>& pairs) {
  for (const Pair& p : pairs) {
    EXPECT_EQ(match_answers(p.expected, p.given), match) << p.expected << " | " << p.given;
  }
}
void expect_same(const std::vector<Pair>& pairs) {
  expect_all(AnswerMatch::kSame, pairs);
}
void expect_different(const std::vector<Pair>& pairs) {
  expect_all(AnswerMatch::kDifferent, pairs);
}

TEST(MathAnswer, NumbersAreExact) {
  expect_same({{"3", "$3$."},
               {"0.5", R"(\frac12)"},
               {R"(\frac{1}{2})", ".5"},
               {R"(\dfrac{-7}{3})", R"(-\tfrac{7}{3})"},
               {"1234567", "1,234,567"},
               {"1{,}234", R"(1\,234)"},
               {R"(4 \frac{4}{9})", R"(\frac{40}{9})"},
               {"3/2", "1 1/2"},
               {"15000", R"(1.5 \times 10^{4})"},
               {"1e-3", "0.001"},
               {R"(0.1\overline{6})", "1/6"},
               {"2^{100}", "1267650600228229401496703205376"},
               {"-5",
                "\xE2\x88\x92"
                "5"}});
  expect_different({{"3", "3.0000000001"},
                    {R"(\frac{1}{3})", "0.3333333333333333"},
                    {"12", "-12"},
                    {"1267650600228229401496703205376", "1267650600228229401496703205377"},
                    {"0.1", "0.10000000000000000555"},
                    {"3", "4"}});
}

TEST(MathAnswer, Expressions) {
  expect_same({{"10-4 n", "-4n + 10"},
               {"p^{2}+14 p+49", "(p+7)^2"},
               {R"(\frac{x+y}{x y})", R"(\frac1x + \frac1y)"},
               {R"(\frac{48 i-56}{85})", R"(\frac{8i}{6-7i})"},
               {R"(\frac{\sqrt{6 p}}{3})", R"(\frac{\sqrt{2p^2}}{\sqrt{3p}})"},
               {R"(\sqrt[3]{-8})", "-2"},
               {R"(x \sqrt{x})", "x^{3/2}"},
               {R"(\sin ^{2} x)", R"(1-\cos^2 x)"},
               {R"(e^{2x})", R"(\exp(2x))"},
               {R"(\log_4 8)", R"(\frac{\ln 8}{\ln 4})"},
               {R"((\sqrt{2}+\sqrt{6})/2)", R"(2\cos(15^\circ))"},
               {"|x|", R"(\sqrt{x^2})"},
               {"5!", "120"},
               {R"(\binom{5}{2})", "10"},
               {"\xCF\x80/6", R"(\frac{\pi}{6})"},
               {"2 c_{1} e^{x}", "2e^x c_1"}});
  expect_different({{"10-4n", "10+4n"},
                    {"|x|", "x"},
                    {R"(\sin x)", R"(\cos x)"},
                    {"(p+7)^2", "p^2+49"},
                    {"x^2", "x^3"},
                    {"c_1", "c_2"},
                    {R"(\pi)", R"(\frac{22}{7})"},
                    {R"(\sqrt{2})", "1.41421356237309504880168872420969807856967"}});
}

TEST(MathAnswer, SolutionsSideBySide) {
  expect_same(
      {{"4,7", "7 and 4"},
       {"x=-1,3", R"(x = 3 \text{ or } x = -1)"},
       {"-6, 2", "x=-6, x=2"},
       {R"(\pm 2\sqrt6)", R"(2\sqrt{6}, -2\sqrt{6})"},
       {R"(\frac{5 \pm \sqrt{61}}{18})", R"(\frac{5-\sqrt{61}}{18}, \frac{5+\sqrt{61}}{18})"},
       {R"(\{1,2,3\})", "3, 2, 1"},
       {"325,950", "325 and 950"},
       {"P=7, S=2", "P = 7 and S = 2"}});
  expect_different({{"4,7", "4"},
                    {"4,7", "4,7,8"},
                    {"3", "3 or 4"},
                    {"3", R"(\{3, 4\})"},
                    {R"(\sqrt{2})", R"(\pm\sqrt{2})"},
                    {"1,1", "1,2"},
                    {"x=1, y=2", "2, 1"}});
}

TEST(MathAnswer, DefinitionsAndEquations) {
  expect_same({{"x=3", "3"},
               {"3", "x = 3"},
               {R"(\frac{40}{3}=a)", R"(a = \frac{40}{3})"},
               {R"(f^{-1}(x)=\frac{5+4x}{5})", R"(\frac{4x+5}{5})"},
               {"y=2x-11", "2x - y = 11"},
               {"x^2-2x+10=0", "2x^2-4x+20=0"},
               {R"(\log_5(25)=2)", "2"},
               {R"(\frac13)", R"(\frac13 \approx 0.333)"},
               {R"(x \neq \pm 5)", R"(x \ne \pm 5)"}});
  expect_different({{"x=3", "y=3"},
                    {"x^2-2x+10=0", "0"},
                    {"x^2-2x+10=0", "0=0"},
                    {"3", "x=3=4"},
                    {"3", "3=4"},
                    {R"(\frac13)", R"(\frac13 \approx 0.5)"}});
}

TEST(MathAnswer, TuplesIntervalsAndMatrices) {
  expect_same({{"(45,2),(-10,-9)", "(-10, -9), (45, 2)"},
               {R"((-\infty,-7))", "x < -7"},
               {R"(-1<x \leqslant 1:(-1,1])", "(-1, 1]"},
               {R"(-1<x \leqslant 1:(-1,1])", R"(-1 < x \le 1)"},
               {R"((-\infty,-20) \cup[2, \infty))", R"([2,\infty) \cup (-\infty,-20))"},
               {R"(\mathbb{R})", "all real numbers"},
               {R"((-\infty, \infty))", "all real numbers"},
               {R"(\{x \mid x \geq 0\})", R"([0, \infty))"},
               {R"(\emptyset)", "No solution"},
               {R"(\left[\begin{array}{rr}3 & 7 \\ 5 & 12\end{array}\right])",
                R"(\begin{pmatrix}3&7\\5&12\end{pmatrix})"},
               {"(1,2,3)", R"(\begin{bmatrix}1\\2\\3\end{bmatrix})"}});
  expect_different(
      {{"(1,2)", "(2,1)"},
       {"(1,2)", "[1,2]"},
       {"(-1,1]", "(-1,1)"},
       {"x<3", "x>3"},
       {"(1,2)", "(1,2,3)"},
       {R"(\begin{pmatrix}1&2\\3&4\end{pmatrix})", R"(\begin{pmatrix}1&3\\2&4\end{pmatrix})"}});
}

TEST(MathAnswer, UnitsMayBeLeftOutButNotReplaced) {
  expect_same({{R"(12 \mathrm{~min})", "12 minutes"},
               {R"(12 \mathrm{~min})", "12"},
               {"350,000 pages", "350000"},
               {R"(\$ 3040)", "3040 dollars"},
               {"18", "$18"},
               {R"(40 \%)", "0.4"},
               {R"(40 \%)", "40"},
               {R"(30^{\circ})", R"(\pi/6)"},
               {R"(29^{\circ})", "29"},
               {R"(3630 \mathrm{ft}^{2}, 522,720 \mathrm{in}^{2})", "3630, 522720"},
               {R"(5.13 \mathrm{ft} / \mathrm{sec})", "5.13 feet per second"}});
  expect_different({{"12 min", "12 ft"}, {"5 m", "5 m^2"}, {R"(40\%)", "4"}});
}

TEST(MathAnswer, TextByItsWords) {
  expect_same({{"Yes", "yes."},
               {"No solution", R"(\text{no solution})"},
               {"converges absolutely", R"(\text{Converges absolutely})"}});
  expect_different({{"Yes", "No"}, {"converges", "diverges"}});
  expect_all(AnswerMatch::kUnparseable, {{"3", "three apples"}, {"3", "))(("}, {"x^2", ""}});
}

// "17 x 23" for 391 leaves to the verifier what was asked for.
TEST(MathAnswer, ArithmeticLeftToDoIsNoNumber) {
  expect_all(AnswerMatch::kUnevaluated, {{"391", R"(17 \times 23)"},
                                         {"391", "17(20+3)"},
                                         {"2", R"(\sqrt{4})"},
                                         {R"(\frac32)", R"(\log_4 8)"},
                                         {"5", R"(\frac{10}{2})"}});
}

TEST(MathAnswer, NothingBlowsUp) {
  auto repeat = [](const std::string& part, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += part;
    return out;
  };
  std::string sines, wide = "(";
  for (int i = 0; i < 100; ++i) sines += R"(+\sin()" + std::to_string(i) + "x)";
  for (const char c : std::string("abcdfghjk")) wide += std::string("+") + c;
  const std::vector<std::string> hostile = {"9^9^9^9",
                                            "(a+b)^1000000",
                                            "((a+b)^{40})^{40}",
                                            wide + ")^{40}",
                                            "400!!!",
                                            "1e999999",
                                            R"(\sin(10^{1000}))",
                                            "e^{e^{e^{e^{e^x}}}}",
                                            "1/0",
                                            "0^{-1}",
                                            repeat("\\", 1000000),
                                            repeat("{", 1000000),
                                            repeat("^", 1000000),
                                            repeat("(", 3000),
                                            repeat("-", 3000),
                                            repeat("9", 1000000),
                                            repeat("9", 3900),
                                            repeat(R"(\frac{1}{)", 300) + repeat("}", 300),
                                            repeat(R"(\sqrt{)", 39) + "2" + repeat("}", 39),
                                            repeat(R"(\sin)", 39) + " x",
                                            repeat(R"(\pm 1,)", 300) + "1",
                                            repeat("|x", 200),
                                            sines,
                                            std::string(3000, '\0'),
                                            repeat("\xFF\xC3", 1000)};
  for (const std::string& a : hostile) {
    for (const std::string& b :
         {std::string("3"), std::string(R"(\sin x + \frac{\sqrt{x}}{2})"), "0+" + a}) {
      const auto begin = std::chrono::steady_clock::now();
      match_answers(b, a);
      match_answers(a, b);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      // Some 30 ms on a machine at rest.
      EXPECT_LT(took.count(), 2.0) << a.substr(0, 60) << " | " << b.substr(0, 60);
    }
  }
}

}  // namespace
}  // namespace r1
