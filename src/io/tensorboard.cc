#include "io/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "base/error.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    table[i] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kCrcTable = crc_table();

// A CRC of bytes that hold their own CRC is degenerate, so TFRecord rotates it and adds a constant.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return std::rotr(crc, 15) + 0xA282EAD8u;
}

// Little-endian on every machine.
template <class T>
void append_fixed(std::string& out, T bits) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>((bits >> (8 * i)) & 0xFF);
}

// Protocol buffers' wire types.
enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  out += static_cast<char>(value);
}

void append_key(std::string& out, uint32_t field, WireType type) {
  append_varint(out, field << 3 | type);
}

void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}

// Event.wall_time = 1: a double.
std::string event_at(double wall_time) {
  std::string event;
  append_key(event, 1, kFixed64);
  append_fixed(event, std::bit_cast<uint64_t>(wall_time));
  return event;
}

std::string file_name(double wall_time) {
  std::array<char, 256> host{};
  const bool named = ::gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0';
  return "events.out.tfevents." + std::to_string(std::llround(std::floor(wall_time))) + "." +
         (named ? host.data() : "localhost") + "." + std::to_string(::getpid());
}

[[noreturn]] void job_error(const fs::path& path, int error) {
  throw JobError(path.string() + ": cannot be written: " + std::generic_category().message(error));
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint32_t>(byte)) & 0xFF];
  }
  return ~crc;
}

EventWriter::EventWriter(fs::path folder, double wall_time)
    : path_(std::move(folder) / file_name(wall_time)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) job_error(path_, errno);
  std::string event = event_at(wall_time);
  append_bytes(event, 3, "brain.Event:2");  // Event.file_version
  append_record(event);
  if (const int error = write_pending(); error != 0) {
    ::close(fd_);
    ::unlink(path_.c_str());
    job_error(path_, error);
  }
}

EventWriter::~EventWriter() {
  write_pending();
  ::close(fd_);
}

void EventWriter::scalar(std::string_view tag, int64_t step, float value, double wall_time) {
  std::string summary_value;  // Summary.Value: tag = 1, simple_value = 2
  append_bytes(summary_value, 1, tag);
  append_key(summary_value, 2, kFixed32);
  append_fixed(summary_value, std::bit_cast<uint32_t>(value));
  std::string summary;  // Summary.value = 1
  append_bytes(summary, 1, summary_value);
  std::string event = event_at(wall_time);
  append_key(event, 2, kVarint);  // Event.step; a negative one takes ten bytes
  append_varint(event, static_cast<uint64_t>(step));
  append_bytes(event, 5, summary);  // Event.summary
  append_record(event);
}

void EventWriter::flush() {
  if (const int error = write_pending(); error != 0) job_error(path_, error);
}

void EventWriter::append_record(std::string_view event) {
  std::string length;
  append_fixed(length, uint64_t{event.size()});
  pending_ += length;
  append_fixed(pending_, masked_crc(length));
  pending_ += event;
  append_fixed(pending_, masked_crc(event));
}

int EventWriter::write_pending() {
  for (size_t done = 0; done < pending_.size();) {
    const ssize_t n = ::pwrite(fd_, pending_.data() + done, pending_.size() - done,
                               written_ + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      // Where this fails the torn record stays; the next flush writes over it.
      [[maybe_unused]] const int cut = ::ftruncate(fd_, written_);
      return error;
    }
    done += static_cast<size_t>(n);
  }
  written_ += static_cast<int64_t>(pending_.size());
  pending_.clear();
  return 0;
}

}  // namespace r1
