// What a run's page shows, as JSON text: read from the run's files and bounded, however long the
// run was. src/recipe/page/ draws it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace r1 {

// Keeps evenly spaced ones of the items it is given, at least capacity / 2 once there were as many,
// at most `capacity`, always the first.
template <class T>
class EvenSample {
 public:
  explicit EvenSample(size_t capacity) : capacity_(capacity) {}

  void add(const T& item) {
    if (seen_++ % stride_ != 0) return;
    items_.push_back(item);
    if (items_.size() <= capacity_) return;
    stride_ *= 2;
    for (size_t i = 1; 2 * i < items_.size(); ++i) items_[i] = std::move(items_[2 * i]);
    items_.resize((items_.size() + 1) / 2);
  }
  size_t seen() const { return seen_; }
  const std::vector<T>& items() const { return items_; }

 private:
  size_t capacity_, seen_ = 0, stride_ = 1;
  std::vector<T> items_;
};

// How much of a run the page holds. The defaults keep it under 20 MB.
struct ReportLimits {
  size_t points = 2000;                // of each curve
  size_t steps = 64;                   // with completions, all stages together
  size_t completions = 16;             // of each such step, half of them correct if there are
  size_t completion_bytes = 10 << 10;  // of each in the page
};

// JSON whose text holds no '<', '>' or '&', so that it can stand in a <script>. InputError if the
// folder is no run, or a file in it is damaged.
std::string report_data(const std::filesystem::path& run, const ReportLimits& limits = {});

}  // namespace r1
