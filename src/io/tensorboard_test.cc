#include "io/tensorboard.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

// One field of a protocol-buffer message: varints and fixed values in `number`, bytes in `bytes`.
struct Field {
  uint64_t id = 0, number = 0;
  std::string bytes;
};

uint64_t take_fixed(std::string_view& from, size_t size) {
  EXPECT_GE(from.size(), size);
  uint64_t value = 0;
  for (size_t i = 0; i < size && i < from.size(); ++i) {
    value |= uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  }
  from.remove_prefix(std::min(size, from.size()));
  return value;
}

uint64_t take_varint(std::string_view& from) {
  uint64_t value = 0;
  for (unsigned shift = 0; !from.empty() && shift < 70; shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  ADD_FAILURE() << "a varint does not end";
  return value;
}

std::vector<Field> fields_of(std::string_view message) {
  std::vector<Field> fields;
  while (!message.empty()) {
    const uint64_t key = take_varint(message);
    Field& field = fields.emplace_back();
    field.id = key >> 3;
    if ((key & 7) == 0) {
      field.number = take_varint(message);
    } else if ((key & 7) == 1) {
      field.number = take_fixed(message, 8);
    } else if ((key & 7) == 5) {
      field.number = take_fixed(message, 4);
    } else {
      EXPECT_EQ(key & 7, 2u);
      const uint64_t size = take_varint(message);
      EXPECT_LE(size, message.size());
      field.bytes = message.substr(0, size);
      message.remove_prefix(std::min<size_t>(size, message.size()));
    }
  }
  return fields;
}

// TensorFlow's crc32c.h: how TFRecord stores a CRC.
uint64_t masked(std::string_view bytes) {
  const uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

// The events of a file: length, CRC of the length, event, CRC of the event.
std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  for (std::string_view rest = file; rest.size() >= 16;) {
    const std::string_view length_bytes = rest.substr(0, 8);
    const uint64_t length = take_fixed(rest, 8);
    EXPECT_EQ(take_fixed(rest, 4), masked(length_bytes));
    EXPECT_GE(rest.size(), length + 4);
    if (rest.size() < length + 4) break;
    records.emplace_back(rest.substr(0, length));
    rest.remove_prefix(length);
    EXPECT_EQ(take_fixed(rest, 4), masked(records.back()));
    if (rest.empty()) return records;
  }
  ADD_FAILURE() << "the file does not end with a whole record";
  return records;
}

struct Scalar {
  std::string tag;
  int64_t step;
  float value;
  double wall_time;
  bool operator==(const Scalar&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Scalar& s) {
  return out << s.tag << " " << s.step << " " << s.value << " " << s.wall_time;
}

Scalar scalar_of(std::string_view event) {
  const std::vector<Field> fields = fields_of(event);
  EXPECT_EQ(fields.size(), 3u);
  EXPECT_EQ(fields.at(0).id, 1u);
  EXPECT_EQ(fields.at(1).id, 2u);
  EXPECT_EQ(fields.at(2).id, 5u);
  const std::vector<Field> summary = fields_of(fields.at(2).bytes);
  EXPECT_EQ(summary.size(), 1u);
  EXPECT_EQ(summary.at(0).id, 1u);
  const std::vector<Field> value = fields_of(summary.at(0).bytes);
  EXPECT_EQ(value.size(), 2u);
  EXPECT_EQ(value.at(0).id, 1u);
  EXPECT_EQ(value.at(1).id, 2u);
  return {value.at(0).bytes, static_cast<int64_t>(fields.at(1).number),
          std::bit_cast<float>(static_cast<uint32_t>(value.at(1).number)),
          std::bit_cast<double>(fields.at(0).number)};
}

// RFC 3720, appendix B.4, and the usual check value.
TEST(TensorBoard, Crc32cKnownAnswers) {
  const auto crc = [](std::string_view text) { return crc32c(std::as_bytes(std::span(text))); };
  EXPECT_EQ(crc(""), 0u);
  EXPECT_EQ(crc("123456789"), 0xE3069283u);
  EXPECT_EQ(crc(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc(std::string(32, '\xFF')), 0x62A8AB43u);
}

TEST(TensorBoard, ScalarsReadBack) {
  const TempFolder folder;
  const std::vector<Scalar> scalars = {
      {"grpo/reward", 1, 0.25f, 1700000001.5},
      {"eval/before/accuracy", 0, -1.5f, 1700000002.0},
      {"t" + std::string(300, 'x'), int64_t{1} << 40, std::numeric_limits<float>::infinity(), 0},
      {"\xCE\xB1", -1, std::numeric_limits<float>::denorm_min(), 1e9}};
  EventWriter writer(folder.path(), 1700000000.75);
  for (const Scalar& s : scalars) writer.scalar(s.tag, s.step, s.value, s.wall_time);
  writer.flush();

  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  EXPECT_EQ(writer.path(), folder / (std::string("events.out.tfevents.1700000000.") + host.data() +
                                     "." + std::to_string(::getpid())));
  const std::vector<std::string> records = records_of(read_file(writer.path()));
  ASSERT_EQ(records.size(), 5u);
  const std::vector<Field> version = fields_of(records[0]);
  ASSERT_EQ(version.size(), 2u);
  EXPECT_EQ(version[0].id, 1u);
  EXPECT_EQ(std::bit_cast<double>(version[0].number), 1700000000.75);
  EXPECT_EQ(version[1].id, 3u);
  EXPECT_EQ(version[1].bytes, "brain.Event:2");
  for (size_t i = 0; i < scalars.size(); ++i) EXPECT_EQ(scalar_of(records[i + 1]), scalars[i]);
}

// The bytes as a message of event.proto and summary.proto has them.
TEST(TensorBoard, BytesOfOneEvent) {
  const TempFolder folder;
  EventWriter writer(folder.path(), 1);
  writer.scalar("a/b", 300, 1, 2);
  writer.flush();
  const std::string event(
      "\x09\x00\x00\x00\x00\x00\x00\x00\x40"  // wall_time 2.0
      "\x10\xAC\x02"                          // step 300
      "\x2A\x0C\x0A\x0A"                      // summary, value
      "\x0A\x03"
      "a/b"
      "\x15\x00\x00\x80\x3F",
      26);  // tag, 1.0f
  EXPECT_EQ(records_of(read_file(writer.path())).at(1), event);
}

TEST(TensorBoard, EachFlushAddsAndTheEndWritesTheRest) {
  const TempFolder folder;
  fs::path path;
  {
    EventWriter writer(folder.path(), 1);
    path = writer.path();
    EXPECT_EQ(records_of(read_file(path)).size(), 1u);
    writer.scalar("a", 1, 1, 1);
    EXPECT_EQ(records_of(read_file(path)).size(), 1u);
    writer.flush();
    writer.flush();
    EXPECT_EQ(records_of(read_file(path)).size(), 2u);
    writer.scalar("a", 2, 2, 2);
  }
  EXPECT_EQ(records_of(read_file(path)).size(), 3u);
}

std::string job_error_of(const auto& f) {
  try {
    f();
  } catch (const JobError& e) {
    return e.what();
  }
  return "no error";
}

TEST(TensorBoard, FullDiskKeepsWholeRecords) {
  const TempFolder folder;
  EventWriter writer(folder.path(), 1);
  writer.scalar("a", 1, 1, 1);
  writer.flush();
  const std::string before = read_file(writer.path());
  writer.scalar("a", 2, 2, 2);
  {
    const FileSizeLimit limit(before.size() + 10);
    EXPECT_TRUE(job_error_of([&] { writer.flush(); }).starts_with(writer.path().string() + ": "));
  }
  EXPECT_EQ(read_file(writer.path()), before);
  writer.flush();
  const std::vector<std::string> records = records_of(read_file(writer.path()));
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(scalar_of(records[2]), (Scalar{"a", 2, 2, 2}));
}

TEST(TensorBoard, FilesThatCannotBeMade) {
  const TempFolder folder;
  const std::string missing = (folder / "none").string();
  EXPECT_TRUE(job_error_of([&] {
                EventWriter writer(missing, 1);
              }).starts_with(missing + "/events.out.tfevents.1."));
  {
    const FileSizeLimit limit(10);
    EXPECT_TRUE(job_error_of([&] {
                  EventWriter writer(folder.path(), 1);
                }).starts_with(folder.path().string()));
  }
  EXPECT_EQ(folder.entries(), 0);
  const EventWriter writer(folder.path(), 1);  // another writer's file is not written over
  EXPECT_NE(job_error_of([&] { EventWriter second(folder.path(), 1); }), "no error");
}

}  // namespace
}  // namespace r1
