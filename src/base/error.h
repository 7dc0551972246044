// The two ways a job ends badly, and the check for our own bugs.
//
// Libraries throw; only apps/ catch, print one line and exit. User input never aborts the process.
#pragma once

#include <stdexcept>
#include <string>

namespace r1 {

// Bad usage or bad input: a file, a recipe, a request. The message is one line that says what,
// where, what was expected and what came. Exit code 2.
struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The job itself failed: a full disk, an unwritable folder, a diverged run. Exit code 1.
struct JobError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace r1

// For bugs of ours alone: prints where and aborts.
#define R1_CHECK(condition)                                               \
  do {                                                                    \
    if (!(condition)) ::r1::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)
