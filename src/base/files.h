// Reading and atomically replacing files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace r1 {

// The whole file. InputError if it is missing, not a regular file, or larger than max_bytes.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 32);

// Replaces `path` by `bytes`: a temporary name beside it, fsync, rename, fsync of the folder.
// A reader sees the old file or the new one. JobError on failure (path and reason), nothing
// changed.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

// The same for a file written piece by piece. Until commit() only a temporary file beside `path`
// exists, and the destructor removes it: whatever fails, the old file stays as it was.
class AtomicFile {
 public:
  // JobError if the folder cannot be written to, or `path` is something else than a regular file.
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Appends. JobError on failure (a full disk). Not buffered: write large pieces.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view bytes) { write(std::as_bytes(std::span(bytes))); }
  // Flushes to the disk and renames into place. At most once, and last.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
};

// Creates the folder and its parents. JobError if that fails or it cannot be written to.
void make_folder(const std::filesystem::path& path);

// Flushes everything in the finished folder `from` and renames it into place, replacing an older
// folder of that name. A reader sees the old folder or the new one; where the file system cannot
// exchange two names, for an instant neither. Both must be on one file system. JobError on failure.
void replace_folder(const std::filesystem::path& from, const std::filesystem::path& to);

// A regular file mapped read-only for the life of the object. Movable, and bytes() stays where it
// is. InputError where it cannot be opened. Nothing guards against another program truncating the
// file while it is mapped; our own writers rename instead, which leaves the mapped file as it was.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace r1
