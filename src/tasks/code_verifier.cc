// The verifier `code`: the program in a completion's last fenced block must turn each test's input
// into its output. It runs in a sandbox (sandbox.h) and sees one input at a time, no output.
//
//   {"tests": [{"input": "1 2\n", "output": "3\n"}], "language": "python", "completion": "..."}
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "tasks/final_answer.h"
#include "tasks/rational.h"
#include "tasks/sandbox.h"
#include "tasks/verifier.h"

namespace r1 {
namespace {

struct Language {
  std::string_view name;
  std::string_view tags;  // of fences, each between spaces
  const char* file;
  std::vector<std::string> compile;  // empty: interpreted
  std::vector<std::string> run;
};

const std::vector<Language>& languages() {
  static const std::vector<Language> all = {
      {"python", " python python3 py ", "main.py", {}, {"/usr/bin/python3", "/box/main.py"}},
      {"cpp",
       " cpp c++ cc cxx ",
       "main.cc",
       {"/usr/bin/g++", "-O1", "-std=c++20", "-o", "/box/main", "/box/main.cc"},
       {"/box/main"}},
      {"c",
       " c ",
       "main.c",
       {"/usr/bin/gcc", "-O1", "-o", "/box/main", "/box/main.c", "-lm"},
       {"/box/main"}},
      {"sh", " sh bash shell ", "main.sh", {}, {"/bin/sh", "/box/main.sh"}},
      {"javascript", " javascript js node ", "main.js", {}, {"/usr/bin/node", "/box/main.js"}},
      {"perl", " perl ", "main.pl", {}, {"/usr/bin/perl", "/box/main.pl"}},
  };
  return all;
}

const Language* language_of(std::string_view name) {
  for (const Language& l : languages()) {
    if (l.tags.find(" " + std::string(name) + " ") != l.tags.npos) return &l;
  }
  return nullptr;
}

struct Block {
  std::string_view tag, text;
};

// The last fenced block that ends; nothing where there is none.
std::optional<Block> last_block(std::string_view text) {
  constexpr std::string_view kFence = "```";
  std::optional<Block> out;
  for (size_t at = text.find(kFence); at != text.npos;) {
    const size_t line = text.find('\n', at);
    if (line == text.npos) break;
    const size_t end = text.find("\n```", line);
    if (end == text.npos) break;
    out = {trim(text.substr(at + 3, line - at - 3)), text.substr(line + 1, end - line)};
    at = text.find(kFence, end + 4);
  }
  return out;
}

// Lines without white space at their ends, and without empty lines at the end.
std::string normal_output(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) {
      line.remove_suffix(1);
    }
    out.append(line).push_back('\n');
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  while (out.ends_with("\n")) out.pop_back();
  return out;
}

struct Test {
  std::string input, output;
};

InputError bad_row(const std::string& what) {
  return InputError("the verifier code needs " + what +
                    ", as in {\"tests\": [{\"input\": \"1 2\\n\", \"output\": \"3\\n\"}]}");
}

std::vector<Test> tests_of(const Json& data) {
  if (!data.is_object() || !data.contains("tests") || !data["tests"].is_array() ||
      data["tests"].empty()) {
    throw bad_row("\"tests\", a list that is not empty");
  }
  std::vector<Test> out;
  for (const Json& t : data["tests"]) {
    const bool ok = t.is_object() && t.contains("output") && t["output"].is_string() &&
                    (!t.contains("input") || t["input"].is_string());
    if (!ok) throw bad_row("strings \"input\" and \"output\" in each test");
    out.push_back({t.value("input", ""), t["output"]});
  }
  return out;
}

class CodeVerifier : public Verifier {
 public:
  std::string name() const override { return "code"; }
  std::string description() const override {
    return "the program in the last ``` block passes the row's \"tests\", run in a sandbox";
  }

  std::string instruction() const override {
    return "\nWrite a program that reads the standard input and writes the answer to the standard "
           "output. Put it into one ``` block.";
  }

  Verdict verify(const Problem& problem, std::string_view completion) const override {
    const std::vector<Test> tests = tests_of(problem.data);
    const std::string named = named_language(problem.data);
    const auto answer = after_thinking(completion);
    if (!answer) return {0, "thinking does not end", false};
    const auto block = last_block(*answer);
    if (!block) return {0, "no program", false};
    const Language* language = language_of(!named.empty() ? named : std::string(block->tag));
    if (language == nullptr && block->tag.empty()) language = language_of("python");
    if (language == nullptr) return {0, "unknown language", false};
    check_machine(*language);
    return run_tests(*language, *block, tests, limits(problem.data));
  }

  // Programs do not vote: that two are the same cannot be told.
  std::string vote(std::string_view) const override { return ""; }

 private:
  static std::string named_language(const Json& data) {
    if (!data.contains("language")) return "";
    const bool known = data["language"].is_string() &&
                       language_of(data["language"].get_ref<const std::string&>()) != nullptr;
    if (!known) {
      throw InputError("the verifier code knows python, cpp, c, sh, javascript and perl, no " +
                       in_quotes(data["language"].dump()));
    }
    return data["language"];
  }

  static SandboxLimits limits(const Json& data) {
    SandboxLimits out;
    auto number = [&](const char* key, double most, double otherwise) {
      if (!data.contains(key)) return otherwise;
      const bool ok = data[key].is_number() && data[key] > 0.0 && data[key] <= most;
      if (!ok) {
        throw InputError(std::string("the verifier code needs \"") + key +
                         "\" above 0 and at most " + std::to_string(static_cast<int>(most)));
      }
      return data[key].get<double>();
    };
    out.seconds = number("time_limit_s", 60, 5);
    out.memory_bytes = static_cast<int64_t>(number("memory_limit_mb", 4096, 1024) * 1048576);
    return out;
  }

  void check_machine(const Language& language) const {
    std::call_once(tried_, [&] { obstacle_ = sandbox_obstacle(); });
    if (!obstacle_.empty()) throw JobError("the verifier code: " + obstacle_);
    const std::string& program = (language.compile.empty() ? language.run : language.compile)[0];
    if (::access(program.c_str(), X_OK) != 0) {
      throw JobError("the verifier code: a " + std::string(language.name) + " program needs " +
                     program + ", which is not there");
    }
  }

  static Verdict run_tests(const Language& language, const Block& block,
                           const std::vector<Test>& tests, const SandboxLimits& limits) {
    SandboxFolder box;
    box.write(language.file, std::string(block.text));
    if (!language.compile.empty()) {
      const SandboxLimits generous = {30, int64_t{4} << 30, int64_t{64} << 20, 64};
      const SandboxRun compiled = run_sandboxed(language.compile, box, true, "", generous);
      if (compiled.end != SandboxRun::End::kExit || compiled.code != 0) {
        return {0, "does not compile", true};
      }
    }
    for (size_t i = 0; i < tests.size(); ++i) {
      const SandboxRun run = run_sandboxed(language.run, box, false, tests[i].input, limits);
      const std::string which = " on test " + std::to_string(i + 1);
      if (run.end == SandboxRun::End::kTimeLimit) return {0, "time limit" + which, true};
      if (run.end == SandboxRun::End::kOutputLimit) return {0, "output limit" + which, true};
      if (run.code != 0) {
        return {0, "exit code " + std::to_string(run.code) + which, true};
      }
      if (normal_output(run.output) != normal_output(tests[i].output)) {
        return {0, "wrong output" + which, true};
      }
    }
    return Verdict::right();
  }

  mutable std::once_flag tried_;
  mutable std::string obstacle_;
};

}  // namespace

std::unique_ptr<Verifier> make_code_verifier() {
  return std::make_unique<CodeVerifier>();
}

}  // namespace r1
