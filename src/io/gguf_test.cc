#include "io/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/testing.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

// A file's bytes, put together field by field as the format's description has them.
class Bytes {
 public:
  template <class T>
  Bytes& number(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& string(std::string_view s) {
    number(uint64_t{s.size()});
    text_ += s;
    return *this;
  }
  Bytes& header(uint32_t version, uint64_t tensors, uint64_t keys) {
    text_ += "GGUF";
    return number(version).number(tensors).number(keys);
  }
  Bytes& tensor(std::string_view name, std::vector<uint64_t> sizes, uint32_t type,
                uint64_t offset) {
    string(name).number(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) number(size);
    return number(type).number(offset);
  }
  Bytes& pad(size_t alignment = 32) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Bytes& zeros(size_t count) {
    text_.append(count, '\0');
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// The error of opening, after checking that it is one line that names the file.
std::string error_of(const fs::path& path) {
  try {
    Gguf::open(path);
  } catch (const InputError& e) {
    const std::string what = e.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_LT(what.size(), 700u);
    EXPECT_NE(what.find(path.string()), std::string::npos) << what;
    return what;
  }
  return "no error";
}

std::string error_of(const Bytes& bytes) {
  const TempFolder folder;
  write_file_atomic(folder / "m.gguf", bytes.text());
  return error_of(folder / "m.gguf");
}

Bytes one_tensor(std::vector<uint64_t> sizes, uint32_t type, uint64_t offset, size_t data) {
  return Bytes().header(3, 1, 0).tensor("t", std::move(sizes), type, offset).pad().zeros(data);
}

TEST(GgufRead, ValuesOfEveryType) {
  Bytes b;
  b.header(3, 0, 15);
  b.string("u8").number(0u).number<uint8_t>(200);
  b.string("i8").number(1u).number<int8_t>(-3);
  b.string("u16").number(2u).number<uint16_t>(65535);
  b.string("i16").number(3u).number<int16_t>(-30000);
  b.string("u32").number(4u).number<uint32_t>(4000000000u);
  b.string("i32").number(5u).number<int32_t>(-7);
  b.string("f32").number(6u).number(1.5f);
  b.string("bool").number(7u).number<uint8_t>(1);
  b.string("string").number(8u).string("a\nb\xff");
  b.string("array").number(9u).number(8u).number(uint64_t{2}).string("x").string("");
  b.string("numbers").number(9u).number(5u).number(uint64_t{2}).number(-1).number(2);
  b.string("empty").number(9u).number(4u).number(uint64_t{0});
  b.string("u64").number(10u).number(UINT64_MAX);
  b.string("i64").number(11u).number(INT64_MIN);
  b.string("f64").number(12u).number(0.1);
  const TempFolder folder;
  write_file_atomic(folder / "m.gguf", b.text());
  const Gguf file = Gguf::open(folder / "m.gguf");
  const auto value = [&](const char* key) { return file.metadata().find(key)->second.value; };
  EXPECT_EQ(value("u8"), 200);
  EXPECT_EQ(value("i8"), -3);
  EXPECT_EQ(value("u16"), 65535);
  EXPECT_EQ(value("i16"), -30000);
  EXPECT_EQ(value("u32"), 4000000000u);
  EXPECT_EQ(value("i32"), -7);
  EXPECT_EQ(value("f32"), 1.5);
  EXPECT_EQ(value("bool"), true);
  EXPECT_EQ(value("string").get<std::string>(), "a\nb\xff");
  EXPECT_EQ(value("array"), Json::array({"x", ""}));
  EXPECT_EQ(file.metadata().find("array")->second.type, GgufType::kString);
  EXPECT_EQ(value("numbers"), Json::array({-1, 2}));
  EXPECT_EQ(value("empty"), Json::array());
  EXPECT_EQ(value("u64"), UINT64_MAX);
  EXPECT_EQ(value("i64"), INT64_MIN);
  EXPECT_EQ(value("f64"), 0.1);
}

TEST(GgufRead, TensorsInPlaceShapesTurnedRound) {
  Bytes b;
  b.header(2, 3, 1);
  b.string("general.alignment").number(4u).number(64u);
  b.tensor("second", {32, 2}, 8, 64);  // Q8_0: two rows of one block
  b.tensor("first", {3, 2, 1}, 0, 0);
  b.tensor("odd", {256}, 10, 192);  // Q2_K, which has no DType
  b.pad(64);
  const size_t data = b.text().size();
  b.number(1.0f).number(-2.0f).zeros(192 - 8 + 84);
  const TempFolder folder;
  write_file_atomic(folder / "m.gguf", b.text());
  Gguf opened = Gguf::open(folder / "m.gguf");
  const Gguf file = std::move(opened);
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[0].name, "first");
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{1, 2, 3}));
  float values[2];
  std::memcpy(values, file.tensors()[0].bytes.data(), sizeof values);
  EXPECT_EQ(values[1], -2.0f);
  const GgufTensor* second = file.find("second");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->dtype, DType::kQ8_0);
  EXPECT_EQ(second->shape, (std::vector<int64_t>{2, 32}));
  EXPECT_EQ(second->bytes.size(), 68u);
  EXPECT_EQ(second->bytes.data() - file.tensors()[0].bytes.data(), 64);
  EXPECT_EQ(file.find("odd")->type, "Q2_K");
  EXPECT_EQ(file.find("odd")->dtype, std::nullopt);
  EXPECT_EQ(file.find("none"), nullptr);
  EXPECT_EQ(data % 64, 0u);
}

TEST(GgufRead, RefusesWhatIsNoGguf) {
  EXPECT_HAS(error_of(Bytes()), "empty");
  EXPECT_HAS(error_of(Bytes().string("x").zeros(100)), "expected \"GGUF\"");
  EXPECT_HAS(error_of(Bytes().header(1, 0, 0)), "version 1 is not read");
  EXPECT_HAS(error_of(Bytes().header(0x03000000, 0, 0)), "big-endian");
  EXPECT_HAS(error_of(Bytes().header(4, 0, 0)), "expected version 2 or 3, found 4");
  const TempFolder folder;
  EXPECT_HAS(error_of(folder / "none.gguf"), "none.gguf");
  EXPECT_HAS(error_of(folder.path()), folder.path().string());
}

TEST(GgufRead, RefusesLies) {
  EXPECT_HAS(error_of(Bytes().header(3, uint64_t{1} << 63, 0)), "more than its 0 bytes");
  EXPECT_HAS(error_of(Bytes().header(3, 0, uint64_t{1} << 63).zeros(8)), "metadata keys");
  EXPECT_HAS(error_of(Bytes().header(3, 0, 1).number(uint64_t{1} << 63).zeros(20)),
             "at most 65535");
  Bytes b = Bytes().header(3, 0, 1).string("s");
  EXPECT_HAS(error_of(Bytes(b).number(8u).number(uint64_t{1} << 63)),
             "found one of 9223372036854775808");
  EXPECT_HAS(error_of(Bytes(b).number(9u).number(0u).number(uint64_t{1} << 63).zeros(9)),
             "has room for");
  EXPECT_HAS(error_of(Bytes(b).number(9u).number(9u).number(uint64_t{1}).zeros(9)), "arrays");
  EXPECT_HAS(error_of(Bytes(b).number(9u).number(0u).number(uint64_t{5} << 20).zeros(5 << 20)),
             "in all arrays");
  EXPECT_HAS(error_of(Bytes(b).number(99u).zeros(8)), "value type");
  EXPECT_HAS(error_of(Bytes(b).number(7u).number<uint8_t>(2)), "bool");
  EXPECT_HAS(error_of(Bytes()
                          .header(3, 0, 2)
                          .string("k")
                          .number(0u)
                          .number<uint8_t>(1)
                          .string("k")
                          .number(0u)
                          .number<uint8_t>(1)),
             "comes twice");
  EXPECT_HAS(error_of(Bytes().header(3, 0, 1).string("general.alignment").number(4u).number(24u)),
             "power of two");
}

TEST(GgufRead, RefusesTensorsThatDoNotFit) {
  EXPECT_EQ(error_of(one_tensor({4, 2}, 0, 0, 32)), "no error");
  EXPECT_HAS(error_of(one_tensor({4, 2}, 0, 0, 31)), "cut short");
  EXPECT_HAS(error_of(one_tensor({4, 2}, 0, 32, 63)), "cut short");
  EXPECT_HAS(error_of(one_tensor({4, 2}, 0, uint64_t{1} << 63, 64)), "cut short");
  EXPECT_HAS(error_of(one_tensor({4, 2}, 0, 8, 64)), "multiple of 32");
  EXPECT_HAS(error_of(one_tensor({uint64_t{1} << 63}, 0, 0, 64)), "2^63 elements");
  EXPECT_HAS(error_of(one_tensor({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0, 64)), "2^63");
  EXPECT_HAS(error_of(one_tensor({uint64_t{1} << 62}, 0, 0, 64)), "2^64 bytes");
  EXPECT_HAS(error_of(one_tensor({0, uint64_t{1} << 62, uint64_t{1} << 62}, 0, 0, 64)), "2^63");
  EXPECT_HAS(error_of(one_tensor({4, 1, 1, 1, 2}, 0, 0, 32)), "4 dimensions");
  EXPECT_HAS(error_of(one_tensor({31}, 2, 0, 32)), "multiple of 32 elements");
  EXPECT_HAS(error_of(one_tensor({4}, 4, 0, 32)), "type");
  EXPECT_HAS(
      error_of(
          Bytes().header(3, 2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).pad().zeros(96)),
      "overlap");
  EXPECT_HAS(
      error_of(
          Bytes().header(3, 2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).pad().zeros(96)),
      "comes twice");
  EXPECT_HAS(error_of(Bytes().header(3, 1, 0).tensor("", {8}, 0, 0).pad().zeros(96)), "name");
}

// Whatever is cut off or changed: an InputError or a file that opens, nothing else.
TEST(GgufRead, EveryTruncationAndChangedByteIsHandled) {
  Bytes b;
  b.header(3, 2, 3);
  b.string("general.architecture").number(8u).string("llama");
  b.string("list").number(9u).number(8u).number(uint64_t{2}).string("ab").string("c");
  b.string("n").number(4u).number(7u);
  b.tensor("a", {32, 2}, 8, 0).tensor("b", {4}, 0, 96).pad().zeros(112);
  const TempFolder folder;
  const fs::path path = folder / "m.gguf";
  const std::string& whole = b.text();
  // Not flushed to the disk, which a few thousand times takes long.
  const auto write = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  };
  for (size_t size = 0; size < whole.size(); ++size) {
    write(whole.substr(0, size));
    EXPECT_NE(error_of(path), "no error") << size;
  }
  for (size_t at = 0; at < whole.size() - 112; ++at) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ change);
      write(changed);
      error_of(path);
    }
  }
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(GgufWrite, WhatIsWrittenIsReadBack) {
  const TempFolder folder;
  GgufMetadata metadata;
  metadata["general.architecture"] = GgufValue::string("llama");
  metadata["n"] = GgufValue::u32(3);
  metadata["x"] = GgufValue::f32(0.25);
  metadata["flag"] = GgufValue::boolean(true);
  metadata["list"] = {GgufType::kI32, Json::array({-1, 5})};
  metadata["names"] = {GgufType::kString, Json::array({"a", "\xff"})};
  std::string small(20, 'a'), blocks(2 * 34, 'b');
  GgufWriter writer(folder / "m.gguf", metadata,
                    {{"small", DType::kF32, {5}},
                     {"none", DType::kF32, {0, 4}},
                     {"blocks", DType::kQ8_0, {2, 32}},
                     {"end", DType::kF16, {3, 0}}});
  writer.write(bytes_of(small));
  writer.write({});
  writer.write(bytes_of(blocks).first(30));
  writer.write(bytes_of(blocks).subspan(30));
  writer.commit();
  const Gguf file = Gguf::open(folder / "m.gguf");
  ASSERT_EQ(file.metadata().size(), metadata.size());
  for (const auto& [key, value] : metadata) {
    EXPECT_EQ(file.metadata().find(key)->second.value, value.value) << key;
    EXPECT_EQ(file.metadata().find(key)->second.type, value.type) << key;
  }
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(std::memcmp(file.find("small")->bytes.data(), small.data(), small.size()), 0);
  EXPECT_EQ(std::memcmp(file.find("blocks")->bytes.data(), blocks.data(), blocks.size()), 0);
  EXPECT_EQ(file.find("blocks")->shape, (std::vector<int64_t>{2, 32}));
  EXPECT_EQ(file.find("none")->shape, (std::vector<int64_t>{0, 4}));
  EXPECT_TRUE(file.find("end")->bytes.empty());
}

TEST(GgufWrite, AFullDiskLeavesTheOldFile) {
  const TempFolder folder;
  write_file_atomic(folder / "m.gguf", "old");
  {
    const FileSizeLimit limit(100);
    EXPECT_THROW(
        {
          GgufWriter writer(folder / "m.gguf", {}, {{"t", DType::kF32, {1000}}});
          writer.write(bytes_of(std::string(4000, 'x')));
        },
        JobError);
  }
  EXPECT_EQ(read_file(folder / "m.gguf"), "old");
  EXPECT_EQ(folder.entries(), 1);
}

TEST(GgufSplits, AreOneModel) {
  const TempFolder folder;
  const auto part = [&](const std::string& name, uint64_t no, const std::string& tensor) {
    GgufMetadata metadata;
    metadata["split.no"] = {GgufType::kU16, no};
    metadata["split.count"] = {GgufType::kU16, 2};
    metadata["split.tensors.count"] = {GgufType::kI32, 2};
    GgufWriter writer(folder / name, metadata, {{tensor, DType::kF32, {1}}});
    writer.write(bytes_of(std::string(4, 'x')));
    writer.commit();
  };
  part("m-00001-of-00002.gguf", 0, "a");
  part("m-00002-of-00002.gguf", 1, "b");
  const Gguf file = Gguf::open(folder / "m-00001-of-00002.gguf");
  EXPECT_NE(file.find("a"), nullptr);
  EXPECT_NE(file.find("b"), nullptr);
  EXPECT_HAS(error_of(folder / "m-00002-of-00002.gguf"), "expected the first");
  part("m-00002-of-00002.gguf", 1, "a");
  EXPECT_HAS(error_of(folder / "m-00001-of-00002.gguf"), "comes twice");
}

}  // namespace
}  // namespace r1
