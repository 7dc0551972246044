#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

std::string reason(int error) {
  return std::generic_category().message(error);
}

[[noreturn]] void job_error(const fs::path& path, const std::string& what, int error) {
  throw JobError(path.string() + ": " + what + ": " + reason(error));
}

// A file descriptor that is closed on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Opens an existing regular file for reading; InputError otherwise. O_NONBLOCK, because opening a
// named pipe would wait for a writer. `size` is what fstat says.
int open_regular(const fs::path& path, uint64_t* size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw InputError(path.string() + ": cannot be opened: " + reason(errno));
  struct stat status;
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    const bool folder = S_ISDIR(status.st_mode);
    ::close(fd);
    throw InputError(path.string() + ": expected a regular file, found a " +
                     (folder ? "folder" : "special file"));
  }
  *size = static_cast<uint64_t>(status.st_size);
  return fd;
}

// Makes a file's or a folder's present content survive a power failure. Some file systems cannot
// flush a folder and say EINVAL: nothing better can be done there.
void flush_path(const fs::path& path, bool folder) {
  const int flags = O_RDONLY | O_CLOEXEC | (folder ? O_DIRECTORY : O_NONBLOCK);
  const Descriptor fd(::open(path.c_str(), flags));
  if (fd.get() < 0) job_error(path, "cannot be flushed", errno);
  if (::fsync(fd.get()) != 0 && errno != EINVAL) job_error(path, "cannot be flushed", errno);
}

void flush_tree(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_symlink()) continue;
    if (it->is_directory()) {
      flush_tree(it->path());
    } else if (it->is_regular_file()) {
      flush_path(it->path(), false);
    }
  }
  if (error) job_error(folder, "cannot be listed", error.value());
  flush_path(folder, true);
}

// A name in `folder` that no file has: short, so that it fits wherever the final name does.
fs::path temporary_name(const fs::path& folder, int attempt) {
  return folder / (".r1-tmp-" + std::to_string(::getpid()) + "-" + std::to_string(attempt));
}

constexpr int kMaxAttempts = 10000;

}  // namespace

std::string read_file(const fs::path& path, uint64_t max_bytes) {
  uint64_t size = 0;
  const Descriptor fd(open_regular(path, &size));
  const auto too_large = [&] {
    return InputError(path.string() + ": expected at most " + std::to_string(max_bytes) +
                      " bytes, found more");
  };
  if (size > max_bytes) throw too_large();
  // The size is a hint: files of /proc say 0, and a log may grow while it is read.
  std::string bytes;
  size_t used = 0;
  bytes.resize(static_cast<size_t>(size) + 1);
  for (;;) {
    const ssize_t n = ::read(fd.get(), bytes.data() + used, bytes.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw InputError(path.string() + ": cannot be read: " + reason(errno));
    if (n == 0) break;
    used += static_cast<size_t>(n);
    if (used > max_bytes) throw too_large();
    if (used == bytes.size()) bytes.resize(2 * bytes.size() + 4096);
  }
  bytes.resize(used);
  return bytes;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  // Renaming over /dev/null or a pipe would destroy it.
  struct stat status;
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw JobError(path_.string() + ": cannot be written: it exists and is not a regular file");
  }
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temporary_ = temporary_name(parent_of(path_), attempt);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && (errno != EEXIST || attempt == kMaxAttempts)) {
      job_error(path_, "cannot be written", errno);
    }
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) job_error(path_, "cannot be written", errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void AtomicFile::commit() {
  R1_CHECK(fd_ >= 0);
  if (::fsync(fd_) != 0) job_error(path_, "cannot be flushed", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    job_error(path_, "cannot be replaced", errno);
  }
  ::close(fd_);
  fd_ = -1;
  flush_path(parent_of(path_), true);
}

void write_file_atomic(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw JobError(path.string() + ": cannot be created: " + error.message());
  if (!fs::is_directory(path, error)) {
    throw JobError(path.string() + ": cannot be created: a file of that name exists");
  }
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    job_error(path, "cannot be written to", errno);
  }
}

void replace_folder(const fs::path& from, const fs::path& to) {
  flush_tree(from);
  const fs::path parent = parent_of(to);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    flush_path(parent, true);
    return;
  }
  std::error_code error;
  if (errno == EEXIST && fs::is_directory(to, error) &&
      ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    flush_path(parent, true);
    fs::remove_all(from, error);
    if (error) throw JobError(from.string() + ": cannot be removed: " + error.message());
    return;
  }
  // No renameat2 here (some network file systems), or a plain failure that rename will name.
  fs::path old;
  for (int attempt = 0; fs::exists(to, error); ++attempt) {
    if (!fs::is_directory(to)) throw JobError(to.string() + ": cannot be replaced: not a folder");
    old = temporary_name(parent, attempt);
    if (fs::exists(old, error) && attempt < kMaxAttempts) continue;
    if (::rename(to.c_str(), old.c_str()) != 0) job_error(to, "cannot be replaced", errno);
  }
  if (::rename(from.c_str(), to.c_str()) != 0) {
    const int failure = errno;
    if (!old.empty()) ::rename(old.c_str(), to.c_str());
    job_error(to, "cannot be replaced", failure);
  }
  flush_path(parent, true);
  if (!old.empty()) fs::remove_all(old, error);
}

MappedFile::MappedFile(const fs::path& path) : path_(path) {
  uint64_t size = 0;
  const Descriptor fd(open_regular(path, &size));
  if (size == 0) return;  // mmap refuses nothing at all
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) throw InputError(path.string() + ": cannot be mapped: " + reason(errno));
  data_ = static_cast<const std::byte*>(data);
  size_ = static_cast<size_t>(size);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace r1
