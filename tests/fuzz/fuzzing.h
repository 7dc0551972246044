// What the fuzz targets share: a check that stops the fuzzer, and files for readers that map them.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace r1 {

inline void check(bool holds) {
  if (!holds) __builtin_trap();
}

// A file that holds `data` while this object lives: in memory, where there is such a place.
class FuzzFile {
 public:
  FuzzFile(const char* data, size_t size, const std::string& extension)
      : path_(folder() / ("r1-fuzz-" + std::to_string(::getpid()) + extension)) {
    std::ofstream(path_, std::ios::binary).write(data, static_cast<std::streamsize>(size));
  }
  ~FuzzFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  FuzzFile(const FuzzFile&) = delete;
  FuzzFile& operator=(const FuzzFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  static std::filesystem::path folder() {
    return std::filesystem::is_directory("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                     : std::filesystem::temp_directory_path();
  }
  std::filesystem::path path_;
};

}  // namespace r1
