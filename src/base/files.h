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
// A reader sees the old file or the new one. JobError on failure (path and reason), nothing changed.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

// Creates the folder and its parents. JobError if that fails or it cannot be written to.
void make_folder(const std::filesystem::path& path);

// Renames a finished folder into place, replacing an older one of that name, and flushes.
void replace_folder(const std::filesystem::path& from, const std::filesystem::path& to);

// A file mapped read-only for the life of the object. Movable. InputError where it cannot be opened.
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
