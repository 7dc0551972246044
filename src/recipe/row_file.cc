#include "recipe/row_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxLine = size_t{64} << 20;

[[noreturn]] void job_error(const fs::path& path, const char* what) {
  const int error = errno;
  throw JobError(path.string() + ": " + what + ": " + std::generic_category().message(error));
}

// Calls visit(line, number, complete) for each line, without its newline; a last line that has
// none is not complete.
void for_each_line(const fs::path& path,
                   const std::function<void(std::string_view, int64_t, bool)>& visit) {
  std::error_code error;
  if (!fs::exists(path, error)) return;
  std::ifstream file(path, std::ios::binary);
  if (!fs::is_regular_file(path, error) || !file) {
    throw InputError(path.string() + ": expected a file that can be read");
  }
  std::string chunk(size_t{1} << 20, '\0'), line;
  int64_t number = 1;
  while (file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    std::string_view rest(chunk.data(), static_cast<size_t>(file.gcount()));
    for (;;) {
      const size_t end = rest.find('\n');
      line.append(rest.substr(0, end));
      if (line.size() > kMaxLine) {
        throw InputError(path.string() + ":" + std::to_string(number) +
                         ": expected a line of at most 64 MiB, found a longer one");
      }
      if (end == std::string_view::npos) break;
      visit(line, number++, true);
      line.clear();
      rest.remove_prefix(end + 1);
    }
  }
  if (file.bad()) throw InputError(path.string() + ": cannot be read");
  if (!line.empty()) visit(line, number, false);
}

// Where the last complete line ends.
off_t end_of_rows(int fd, off_t size, const fs::path& path) {
  std::string block(size_t{1} << 16, '\0');
  while (size > 0) {
    const auto want = std::min<off_t>(size, static_cast<off_t>(block.size()));
    const ssize_t got = ::pread(fd, block.data(), static_cast<size_t>(want), size - want);
    if (got < 0 && errno == EINTR) continue;
    if (got != want) job_error(path, "cannot be read");
    const size_t newline = std::string_view(block.data(), static_cast<size_t>(want)).rfind('\n');
    if (newline != std::string_view::npos) return size - want + static_cast<off_t>(newline) + 1;
    size -= want;
  }
  return 0;
}

// for_each_row with the text of the line.
void for_each_row_line(const fs::path& path,
                       const std::function<void(const Json&, std::string_view, int64_t)>& visit) {
  // One line late, because only the last may be damaged (by a power failure, newline and all).
  std::string damage;
  for_each_line(path, [&](std::string_view line, int64_t number, bool complete) {
    if (!damage.empty()) throw InputError(damage);
    if (!complete) return;
    const std::string where = path.string() + ":" + std::to_string(number);
    Json row;
    try {
      row = parse_json(line, where);
    } catch (const InputError& e) {
      damage = e.what();
      return;
    }
    if (!row.is_object()) throw InputError(where + ": expected a JSON object");
    visit(row, line, number);
  });
}

}  // namespace

void for_each_row(const fs::path& path, const std::function<void(const Json&, int64_t)>& visit) {
  for_each_row_line(path,
                    [&](const Json& row, std::string_view, int64_t number) { visit(row, number); });
}

RowFile::RowFile(fs::path path) : path_(std::move(path)) {
  open();
}

void RowFile::open() {
  std::error_code error;
  if (fs::exists(path_, error) && !fs::is_regular_file(path_, error)) {
    throw JobError(path_.string() + ": cannot be written: it exists and is not a regular file");
  }
  const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) job_error(path_, "cannot be written");
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  struct stat status;
  if (::fstat(fd_, &status) != 0) job_error(path_, "cannot be read");
  const off_t end = end_of_rows(fd_, status.st_size, path_);
  if (end != status.st_size && ::ftruncate(fd_, end) != 0) job_error(path_, "cannot be cut");
}

RowFile::~RowFile() {
  if (fd_ >= 0) ::close(fd_);
}

RowFile::RowFile(RowFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

void RowFile::append(const OrderedJson& row) {
  const std::string line = row.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + '\n';
  struct stat before;
  if (::fstat(fd_, &before) != 0) job_error(path_, "cannot be read");
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int failure = errno;
      // If this fails as well, the torn line is cut off when the file is next opened.
      [[maybe_unused]] const int cut = ::ftruncate(fd_, before.st_size);
      errno = failure;
      job_error(path_, "cannot be written");
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

void RowFile::sync() {
  if (::fsync(fd_) != 0 && errno != EINVAL) job_error(path_, "cannot be flushed");
}

int64_t RowFile::filter(const std::function<bool(const Json&)>& keep) {
  AtomicFile kept(path_);
  std::string buffer;
  int64_t dropped = 0;
  for_each_row_line(path_, [&](const Json& row, std::string_view line, int64_t) {
    if (!keep(row)) {
      ++dropped;
      return;
    }
    (buffer += line) += '\n';
    if (buffer.size() > (size_t{1} << 20)) {
      kept.write(buffer);
      buffer.clear();
    }
  });
  if (dropped == 0) return 0;
  kept.write(buffer);
  kept.commit();
  open();
  return dropped;
}

}  // namespace r1
