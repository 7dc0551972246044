// Lines from the user: edited and with a history on a terminal (libedit), plain elsewhere. And
// Ctrl-C, which stops what is going on and not the program.
#pragma once

#include <csignal>
#include <memory>
#include <optional>
#include <string>

namespace r1 {

// While it lives, Ctrl-C is noted instead of ending the program. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // Whether Ctrl-C was pressed since it was asked last.
  static bool take();

 private:
  struct sigaction before_ {};
};

class LineEditor {
 public:
  // `prompt` is shown on the standard error, if the standard input is a terminal.
  explicit LineEditor(std::string prompt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // The next line without its end, or nothing at the end of the input. Ctrl-C gives an empty line.
  std::optional<std::string> read();
  bool on_terminal() const { return terminal_ != nullptr; }

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;
};

}  // namespace r1
