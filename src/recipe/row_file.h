// JSON rows appended to a file, one a line, so that kill -9 at any instant loses at most the row
// being written: every row is one write to the kernel, a torn last line is ignored by the reader
// and cut off by the next writer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/json.h"

namespace r1 {

// Calls visit(row, line) for each row; line counts from 1. Memory is bounded by the longest line. A
// last line that is torn (no newline, or not JSON) is skipped; any other line that is not a JSON
// object, or is longer than 64 MiB, is an InputError with file and line. A missing file has no
// rows.
void for_each_row(const std::filesystem::path& path,
                  const std::function<void(const Json& row, int64_t line)>& visit);

class RowFile {
 public:
  // Opens for appending, creating it; cuts off a torn last line. JobError if it cannot be written.
  explicit RowFile(std::filesystem::path path);
  ~RowFile();
  RowFile(RowFile&& other) noexcept;
  RowFile& operator=(RowFile&&) = delete;

  // Bytes that are not UTF-8 become U+FFFD; NaN and infinity become null. On a full disk JobError,
  // and the file ends with the row before.
  void append(const OrderedJson& row);
  // Rows so far survive a power failure.
  void sync();
  // Keeps the rows for which keep(row) says so: atomically, the others are gone or all are there.
  // Returns how many went.
  int64_t filter(const std::function<bool(const Json& row)>& keep);

  const std::filesystem::path& path() const { return path_; }

 private:
  void open();

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace r1
