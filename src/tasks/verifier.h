// Verifiers that belong to no procedural task: a problem, its reference answer and a completion in,
// a verdict out. Any bytes at all may be completions. docs/verifiers.md has the rules.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"

namespace r1 {

class Verifier {
 public:
  virtual ~Verifier() = default;
  virtual std::string name() const = 0;
  virtual std::string description() const = 0;  // one line

  // What is said behind a question, so that a model answers in a form that is found.
  virtual std::string instruction() const { return ""; }

  // InputError if the problem lacks what this verifier needs (mostly `answer`); JobError if it
  // cannot run here.
  virtual Verdict verify(const Problem& problem, std::string_view completion) const = 0;

  // The answer that a completion gives, as text; empty where it gives none. For majority votes.
  virtual std::string vote(std::string_view completion) const = 0;
  virtual bool same_vote(const std::string& a, const std::string& b) const { return a == b; }
};

std::vector<std::string> verifier_names();
// Also takes the name of a built-in task: its own verifier. InputError names the nearest known one.
std::unique_ptr<Verifier> make_verifier(std::string_view name);

// What a row of a file says: the parts of the problem stand in the row itself ("numbers", "target",
// ...) or in its object "problem" or "data"; "answer" is a string or a number; the text of the
// problem is its string "problem" or "prompt".
Problem problem_of_row(const OrderedJson& row);

// --- rows of verifier.cc's table ---

// Equal as mathematics (math_answer.h).
std::unique_ptr<Verifier> make_math_verifier();
// The letter of a multiple choice.
std::unique_ptr<Verifier> make_choice_verifier();
// Equal as numbers or as text.
std::unique_ptr<Verifier> make_exact_verifier();
// Programs, run against tests (code_verifier.cc).
std::unique_ptr<Verifier> make_code_verifier();

}  // namespace r1
