// TensorBoard's event files: docs/formats/tensorboard.md gives the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace r1 {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4): reflected polynomial 0x82F63B78.
uint32_t crc32c(std::span<const std::byte> bytes);

// Writes one new event file. Not for several threads at once.
class EventWriter {
 public:
  // Creates events.out.tfevents.SECONDS.HOST.PID in the folder, which exists, and writes the
  // file's version. `wall_time` is in seconds since 1970. JobError if the disk refuses or a file of
  // that name exists.
  EventWriter(std::filesystem::path folder, double wall_time);
  // Writes what was not flushed, if the disk still takes it.
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  // `tag` is UTF-8; TensorBoard groups by what stands before its first '/'. Kept in memory until
  // flush().
  void scalar(std::string_view tag, int64_t step, float value, double wall_time);
  // Hands all events to the system. JobError if the disk refuses: the file then ends with the last
  // whole record, and the next flush tries the others again.
  void flush();

  const std::filesystem::path& path() const { return path_; }

 private:
  void append_record(std::string_view event);
  int write_pending();  // 0 or an errno

  std::filesystem::path path_;
  std::string pending_;  // whole records
  int64_t written_ = 0;  // bytes of whole records in the file
  int fd_ = -1;
};

}  // namespace r1
