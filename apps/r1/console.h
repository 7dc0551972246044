// What people see while r1 works: on a terminal one line that moves, elsewhere plain lines.
// Everything goes to the standard error.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "recipe/runner.h"

namespace r1 {

// Styles are empty where the standard error is no terminal, or NO_COLOR is set.
struct Style {
  static const char* dim();
  static const char* bold();
  static const char* green();
  static const char* red();
  static const char* reset();
};

bool stderr_is_terminal();

// printf to the standard error, with any progress line out of the way.
__attribute__((format(printf, 1, 2))) void say(const char* format, ...);

// "4m 05s"
std::string duration_text(double seconds);
// "12.4% (95% interval 9.8 to 15.6)"
std::string percent_text(const Interval& interval);
// Control characters as escapes: model output and file contents never drive the terminal.
std::string printable(std::string_view text);

// The one moving line.
class ProgressLine {
 public:
  ~ProgressLine() { clear(); }
  // On a terminal: replaces the line, ten times a second at most. Elsewhere: prints `text` if
  // `milestone`.
  void show(double done, const std::string& text, bool milestone);
  void clear();

 private:
  std::chrono::steady_clock::time_point last_{};
};

// Shows a run: a bar with step, reward, accuracy, length, tokens/s and time left; every few steps a
// completion.
class ConsoleListener : public RunListener {
 public:
  // completion_every: steps between completions shown; 0: none.
  explicit ConsoleListener(int64_t completion_every) : completion_every_(completion_every) {}

  void on_change(const ChangeMetrics& change) override;
  void on_stage(const Stage& stage, int64_t first) override;
  void on_progress(const std::string& stage, int64_t step, double done) override;
  void on_metrics(const OrderedJson& row) override;
  void on_rollout(int64_t step, const GrpoStep& result) override;
  void on_time_limit(double max_seconds, int64_t step, int64_t steps) override;
  void on_evaluation(const std::string& label, int64_t step, const Evaluation& evaluation,
                     const std::vector<RolloutGroup>& groups) override;
  void on_skills(const SkillShares& shares) override;
  void on_dataset(const std::filesystem::path& file, int64_t rows) override;

 private:
  double seconds_left(int64_t steps_done) const;
  void draw(double extra, bool milestone);

  int64_t completion_every_;
  int64_t first_ = 0, steps_ = 0, done_ = 0;
  double max_seconds_ = 0, step_seconds_ = 0;  // of a step lately
  double stage_seconds_ = 0;
  std::string numbers_;  // of the last row
  ProgressLine line_;
};

// A completion with its thinking dimmed, each line behind `indent`.
std::string styled_completion(const std::string& text, const std::string& indent);

}  // namespace r1
