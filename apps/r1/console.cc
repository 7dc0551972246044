#include "console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "text/think.h"

namespace r1 {
namespace {

ProgressLine* shown_line = nullptr;  // the line on the terminal now, if any

bool use_style() {
  static const bool use = stderr_is_terminal() && std::getenv("NO_COLOR") == nullptr;
  return use;
}

int terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 100;
}

std::string bar(double done, int width) {
  static const char* const kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(std::clamp(done, 0.0, 1.0) * width * 8);
  std::string text;
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  text += kEighths[eighths % 8];
  for (int i = (eighths + 7) / 8; i < width; ++i) text += " ";
  return "▕" + text + "▏";
}

std::string count_text(double n) {
  char text[32];
  if (n >= 10000) {
    std::snprintf(text, sizeof text, "%.1fk", n / 1000);
  } else {
    std::snprintf(text, sizeof text, "%.0f", n);
  }
  return text;
}

std::string format(const char* pattern, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

}  // namespace

bool stderr_is_terminal() {
  static const bool is = ::isatty(STDERR_FILENO) == 1;
  return is;
}

const char* Style::dim() {
  return use_style() ? "\033[2m" : "";
}
const char* Style::bold() {
  return use_style() ? "\033[1m" : "";
}
const char* Style::green() {
  return use_style() ? "\033[32m" : "";
}
const char* Style::red() {
  return use_style() ? "\033[31m" : "";
}
const char* Style::reset() {
  return use_style() ? "\033[0m" : "";
}

void say(const char* pattern, ...) {
  if (shown_line) shown_line->clear();
  va_list arguments;
  va_start(arguments, pattern);
  std::vfprintf(stderr, pattern, arguments);
  va_end(arguments);
}

std::string duration_text(double seconds) {
  const int64_t s = static_cast<int64_t>(std::lround(seconds));
  if (s >= 3600)
    return format("%dh %02dm", static_cast<int>(s / 3600), static_cast<int>(s / 60 % 60));
  if (s >= 60) return format("%dm %02ds", static_cast<int>(s / 60), static_cast<int>(s % 60));
  return format("%ds", static_cast<int>(s));
}

std::string percent_text(const Interval& i) {
  return format("%.1f%% (95%% interval %.1f to %.1f)", 100 * i.value, 100 * i.low, 100 * i.high);
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7F) || c == '\n' || c == '\t') {
      out += c;
    } else {
      out += format("\\x%02x", byte);
    }
  }
  return out;
}

void ProgressLine::show(double done, const std::string& text, bool milestone) {
  if (!stderr_is_terminal()) {
    if (milestone) std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(100) && done < 1.0) return;
  last_ = now;
  const int width = terminal_width();
  std::string cut = text.substr(0, static_cast<size_t>(std::max(0, width - 24)));
  std::fprintf(stderr, "\r\033[K%s %s", bar(done, 20).c_str(), cut.c_str());
  std::fflush(stderr);
  shown_line = this;
}

void ProgressLine::clear() {
  if (shown_line != this) return;
  std::fprintf(stderr, "\r\033[K");
  shown_line = nullptr;
}

void ConsoleListener::on_change(const ChangeMetrics& change) {
  say("%s is %s from here on; it was %s\n", change.change.c_str(), change.after.c_str(),
      change.before.c_str());
}

void ConsoleListener::on_stage(const Stage& stage, int64_t first) {
  first_ = done_ = first;
  steps_ = stage.max_steps();
  max_seconds_ = stage.max_seconds();
  step_seconds_ = stage_seconds_ = 0;
  numbers_.clear();
  std::string what = stage.summary();
  if (what == stage.name()) what.clear();
  say("%s%s%s  %s%s\n", Style::bold(), stage.name().c_str(), Style::reset(), what.c_str(),
      first > 0 ? format(", going on after step %lld", static_cast<long long>(first)).c_str() : "");
}

double ConsoleListener::seconds_left(int64_t steps_done) const {
  const double by_steps = step_seconds_ * static_cast<double>(steps_ - steps_done);
  if (max_seconds_ <= 0) return by_steps;
  return std::min(by_steps, std::max(0.0, max_seconds_ - stage_seconds_));
}

void ConsoleListener::draw(double extra, bool milestone) {
  if (steps_ == 0) {
    line_.show(extra, "evaluating", false);
    return;
  }
  const double steps = static_cast<double>(steps_);
  double done = (static_cast<double>(done_) + extra) / steps;
  if (max_seconds_ > 0) done = std::max(done, stage_seconds_ / max_seconds_);
  std::string text =
      format("step %lld/%lld", static_cast<long long>(done_), static_cast<long long>(steps_));
  if (!numbers_.empty()) text += "  " + numbers_;
  if (done_ > first_) text += "  " + duration_text(seconds_left(done_)) + " left";
  line_.show(done, text, milestone);
}

void ConsoleListener::on_progress(const std::string&, int64_t, double done) {
  draw(done, false);
}

void ConsoleListener::on_metrics(const OrderedJson& row) {
  done_ = row.at("step").get<int64_t>();
  const double seconds = row.at("seconds").get<double>();
  stage_seconds_ += seconds;
  step_seconds_ = step_seconds_ == 0 ? seconds : 0.8 * step_seconds_ + 0.2 * seconds;
  auto number = [&](const char* key) { return row.at(key).get<double>(); };
  if (row.contains("reward")) {
    numbers_ = format("reward %.3f  accuracy %4.1f%%  length %3.0f  %s tok/s", number("reward"),
                      100 * number("accuracy"), number("completion_length"),
                      count_text(number("tokens_per_second")).c_str());
    if (row.at("logprob_mismatch") != 0) {
      numbers_ += format("  MISMATCH %lld",
                         static_cast<long long>(row.at("logprob_mismatch").get<int64_t>()));
    }
  } else {
    numbers_ = format("loss %.4f  %s tok/s", number("loss"),
                      count_text(number("tokens_per_second")).c_str());
  }
  const int64_t every = std::max<int64_t>(1, steps_ / 40);
  draw(0, done_ % every == 0 || done_ == steps_ || done_ == first_ + 1);
}

void ConsoleListener::on_time_limit(double max_seconds, int64_t step, int64_t steps) {
  say("ended by its limit of %s (max_seconds) after %lld of %lld steps\n",
      duration_text(max_seconds).c_str(), static_cast<long long>(step),
      static_cast<long long>(steps));
}

void ConsoleListener::on_rollout(int64_t step, const GrpoStep& result) {
  if (completion_every_ == 0 || step % completion_every_ != 0) return;
  // A right one if there is one, of the middle group: problems differ from step to step.
  const RolloutGroup& group = result.groups[result.groups.size() / 2];
  const GradedCompletion* chosen = &group.completions[0];
  for (const GradedCompletion& c : group.completions) {
    if (c.verdict.correct) {
      chosen = &c;
      break;
    }
  }
  std::string prompt = printable(group.problem.prompt);
  std::replace(prompt.begin(), prompt.end(), '\n', ' ');
  say("\n  step %lld: %s%s%s(%s, %zu tokens)%s\n%s\n", static_cast<long long>(step + 1),
      prompt.c_str(), chosen->verdict.correct ? Style::green() : Style::red(), "",
      chosen->verdict.reason.c_str(), chosen->completion.ids.size(), Style::reset(),
      styled_completion(chosen->text, "    ").c_str());
}

void ConsoleListener::on_evaluation(const std::string& label, int64_t step,
                                    const Evaluation& evaluation,
                                    const std::vector<RolloutGroup>&) {
  say("  %s%s: %s on %lld held-out problems, %.0f tokens a completion\n", label.c_str(),
      label == "step" ? format(" %lld", static_cast<long long>(step)).c_str() : "",
      percent_text(evaluation.accuracy).c_str(), static_cast<long long>(evaluation.problems),
      evaluation.completion_length);
}

void ConsoleListener::on_skills(const SkillShares& shares) {
  for (const auto& [name, share] : shares) {
    say("    %-12s %6.2f%%  of %lld\n", name.c_str(), 100 * share.value(),
        static_cast<long long>(share.total));
  }
}

void ConsoleListener::on_dataset(const std::filesystem::path& file, int64_t rows) {
  say("  %lld rows in %s\n", static_cast<long long>(rows), file.c_str());
}

std::string styled_completion(const std::string& text, const std::string& indent) {
  const std::string clean = printable(text);
  std::string out = indent;
  bool thinking = false;
  for (size_t i = 0; i < clean.size(); ++i) {
    if (!thinking && clean.compare(i, kThinkOpen.size(), kThinkOpen) == 0) {
      thinking = true;
      out += Style::dim();
    }
    out += clean[i];
    if (thinking && clean.compare(i - std::min(i, kThinkClose.size() - 1), kThinkClose.size(),
                                  kThinkClose) == 0) {
      thinking = false;
      out += Style::reset();
    }
    if (clean[i] == '\n' && i + 1 < clean.size()) out += indent;
  }
  return out + (thinking ? Style::reset() : "");
}

}  // namespace r1
