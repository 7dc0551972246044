// The verifiers: any completion against any answer has a verdict, soon. The input's first line is
// the reference answer, the rest the completion.
#include <algorithm>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "fuzzing.h"
#include "tasks/math/answer.h"
#include "tasks/verifier.h"

namespace r1 {
namespace {

void verify(std::string_view input) {
  const size_t line = std::min(input.find('\n'), input.size());
  Problem problem;
  problem.answer = "3" + std::string(input.substr(0, line));
  problem.prompt = "Find " + problem.answer;
  const std::string completion(input.substr(std::min(line + 1, input.size())));
  const std::clock_t begin = std::clock();  // of this process: others may be busy
  for (const char* name : {"math", "exact"}) {
    const Verdict v = make_verifier(name)->verify(problem, completion);
    check((v.reward == 1) == (v.reason == "correct") && (v.parsed || v.reward == 0));
  }
  problem.answer = "B";
  make_verifier("choice")->verify(problem, completion);
  match_answers(completion, problem.answer);
  // An answer is itself.
  const std::string answer(input.substr(0, std::min(line, kMaxAnswerText)));
  if (!answer.empty()) match_answers(answer, answer + " ");
  check(std::clock() - begin < 2 * CLOCKS_PER_SEC);
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  r1::verify({reinterpret_cast<const char*>(data), size});
  return 0;
}
