#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/testing.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& v) {
  return std::as_bytes(std::span(v));
}

// A file's bytes from its parts; the header's length is what it is unless `length` says otherwise.
std::string file_of(const std::string& header, const std::string& data,
                    std::optional<uint64_t> length = {}) {
  const uint64_t n = length.value_or(header.size());
  std::string file(8, '\0');
  std::memcpy(file.data(), &n, 8);
  return file + header + data;
}

std::string entry(const std::string& name, const std::string& shape, const std::string& offsets,
                  const std::string& dtype = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

// The error of opening, without the path, after checking that it is one line that names the file.
std::string error_of(const fs::path& path) {
  try {
    SafeTensors::open(path);
  } catch (const InputError& e) {
    const std::string what = e.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_LT(what.size(), 600u);
    EXPECT_NE(what.find(path.string()), std::string::npos) << what;
    return what;
  }
  return "no error";
}

std::string error_of_bytes(const std::string& bytes) {
  const TempFolder folder;
  write_file_atomic(folder / "m.safetensors", bytes);
  return error_of(folder / "m.safetensors");
}

TEST(SafeTensorsRead, FindsTensorsInPlace) {
  const TempFolder folder;
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "[2,2]", "[4,20]") + "," +
      entry("a", "[2]", "[0,4]", "BF16") + "," + entry("scalar", "[]", "[20,28]", "I64") + "," +
      entry("empty", "[0,9]", "[28,28]") + "}";
  std::string data(28, '\0');
  const float b[4] = {1, -2, 3.5f, 4};
  std::memcpy(data.data(), "\x80\x3f\x00\xc0", 4);
  std::memcpy(data.data() + 4, b, 16);
  write_file_atomic(folder / "model.safetensors", file_of(header, data));

  SafeTensors file = SafeTensors::open(folder.path());
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.tensors()[0].name, "a");
  EXPECT_EQ(file.tensors()[3].name, "empty");
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(file.find("none"), nullptr);
  const SafeTensors moved = std::move(file);
  const TensorInfo* found = moved.find("b");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->dtype, DType::kF32);
  EXPECT_EQ(found->shape, (std::vector<int64_t>{2, 2}));
  ASSERT_EQ(found->bytes.size(), 16u);
  EXPECT_EQ(std::memcmp(found->bytes.data(), b, 16), 0);
  EXPECT_TRUE(moved.find("scalar")->shape.empty());
  EXPECT_EQ(moved.find("scalar")->elements(), 1);
  EXPECT_EQ(moved.find("empty")->elements(), 0);

  float values[2];
  copy_to_f32(*moved.find("a"), values);
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(values[1], -2);
  copy_to_f32(*moved.find("empty"), values);
  EXPECT_THROW(copy_to_f32(*moved.find("scalar"), values), InputError);
}

TEST(SafeTensorsRead, NoTensorsAtAll) {
  EXPECT_EQ(error_of_bytes(file_of("{}", "")), "no error");
  EXPECT_EQ(error_of_bytes(file_of("{}      ", "")), "no error");
}

TEST(SafeTensorsRead, CopiesHalfPrecisionFromAnyAlignment) {
  const TempFolder folder;
  const std::string header =
      "{" + entry("odd", "[1]", "[0,1]", "U8") + "," + entry("h", "[3]", "[1,7]", "F16") + "}";
  write_file_atomic(folder / "m.safetensors",
                    file_of(header, std::string("x\x00\x3c\x01\x00\x00\xfc", 7)));
  const SafeTensors file = SafeTensors::open(folder / "m.safetensors");
  float values[3];
  copy_to_f32(*file.find("h"), values);
  EXPECT_EQ(values[0], 1.0f);
  EXPECT_EQ(values[1], 0x1p-24f);
  EXPECT_EQ(values[2], -INFINITY);
}

TEST(SafeTensorsHostile, Framing) {
  EXPECT_HAS(error_of_bytes(""), "expected at least 8 bytes, found 0");
  EXPECT_HAS(error_of_bytes("1234567"), "expected at least 8 bytes, found 7");
  for (const uint64_t length : {uint64_t{1} << 63, ~uint64_t{0}, uint64_t{100'000'001}}) {
    EXPECT_HAS(error_of_bytes(file_of("{}", "", length)),
               "expected a header of at most 100000000 bytes, found " + std::to_string(length));
  }
  EXPECT_HAS(error_of_bytes(file_of("{}", "", 3)), "expected a header of 3 bytes, found 2");
  EXPECT_HAS(error_of_bytes(file_of("", "")), "begin with {");
  EXPECT_HAS(error_of_bytes(file_of(" {}", "")), "begin with {");
  EXPECT_HAS(error_of_bytes(file_of("[]", "")), "begin with {");
  EXPECT_HAS(error_of_bytes(file_of("{\"a\":", "")), "header: not valid JSON at byte");
  EXPECT_HAS(error_of_bytes(file_of("{\"a\":\"\xff\"}", "")), "not valid JSON");
  EXPECT_HAS(error_of_bytes(file_of("{\"a\":" + std::string(100000, '['), "")), "nested deeper");
}

TEST(SafeTensorsHostile, EveryTruncationOfAGoodFile) {
  const std::string good =
      file_of("{" + entry("a", "[2]", "[0,8]") + "," + entry("b", "[1]", "[8,12]") + "}",
              std::string(12, 'x'));
  EXPECT_EQ(error_of_bytes(good), "no error");
  for (size_t n = 0; n < good.size(); ++n) {
    ASSERT_NE(error_of_bytes(good.substr(0, n)), "no error") << n;
  }
  EXPECT_HAS(error_of_bytes(good + "x"), "expected 12 bytes of data, found 13");
}

// One byte of the header changed, in every place and to several values: an error or a file that
// still holds together, never a crash (the sanitizers watch).
TEST(SafeTensorsHostile, EveryByteChanged) {
  const TempFolder folder;
  const std::string good =
      file_of("{" + entry("a", "[2]", "[0,8]") + "," + entry("b", "[1]", "[8,12]") + "}",
              std::string(12, 'x'));
  const fs::path path = folder / "m.safetensors";
  for (size_t i = 0; i < good.size() - 12; ++i) {
    for (const char c : {'\0', '\xff', '9', '-', '"', ']', 'e'}) {
      std::string bad = good;
      bad[i] = c;
      std::FILE* file = std::fopen(path.c_str(), "wb");  // not flushed to the disk each time
      std::fwrite(bad.data(), 1, bad.size(), file);
      std::fclose(file);
      try {
        const SafeTensors opened = SafeTensors::open(path);
        size_t sum = 0;
        for (const TensorInfo& tensor : opened.tensors()) sum += tensor.bytes.size();
        ASSERT_EQ(sum, 12u);
      } catch (const InputError&) {
      }
    }
  }
}

TEST(SafeTensorsHostile, LyingEntries) {
  const auto error = [](const std::string& entries, size_t data = 8) {
    return error_of_bytes(file_of("{" + entries + "}", std::string(data, 'x')));
  };
  EXPECT_HAS(error(entry("a", "[2]", "[0,8]", "F33")),
             "tensor \"a\": expected a dtype of BOOL, U8");
  EXPECT_HAS(error(entry("a", "[2]", "[0,8]", "F33")), ", found \"F33\"");
  EXPECT_HAS(error(entry("a", "[-2]", "[0,8]")), "whole numbers from 0, found -2");
  EXPECT_HAS(error(entry("a", "[2.0]", "[0,8]")), "found 2.0");
  EXPECT_HAS(error(entry("a", "[9223372036854775808]", "[0,8]")), "whole numbers from 0");
  EXPECT_HAS(error(entry("a", "[18446744073709551618]", "[0,8]")), "whole numbers from 0");
  EXPECT_HAS(error(entry("a", "[4294967296,4294967296,2]", "[0,8]")),
             "less than 2^64 bytes, found F32 [4294967296, 4294967296, 2]");
  // 2^62 + 2 elements of 4 bytes are 8 bytes, modulo 2^64.
  EXPECT_HAS(error(entry("a", "[4611686018427387906]", "[0,8]")), "less than 2^64 bytes");
  EXPECT_HAS(error(entry("a", "[3]", "[0,8]")),
             "tensor \"a\": expected 12 bytes for F32 [3], found 8 between");
  EXPECT_HAS(error(entry("a", "[0]", "[8,0]")), "expected data_offsets to ascend");
  EXPECT_HAS(error(entry("a", "[4]", "[0,16]")), "within the file's 8 bytes of data");
  EXPECT_HAS(error(entry("a", "[2]", "[0,18446744073709551615]")), "two whole numbers");
  EXPECT_HAS(error(entry("a", "[2]", "[-8,0]")), "two whole numbers");
  EXPECT_HAS(error(entry("a", "[2]", "[0,4,8]")), "two whole numbers");
  EXPECT_HAS(error(entry("a", "[2]", "\"x\"")), "two whole numbers");
  EXPECT_HAS(error(entry("a", "7", "[0,8]")), "expected shape to be an array");
  EXPECT_HAS(error("\"a\":7"), "tensor \"a\": expected an object");
  EXPECT_HAS(error("\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}"), "expected the key \"dtype\"");
  EXPECT_HAS(error("\"a\":{\"dtype\":\"F32\"}"), "expected the key \"shape\"");
  EXPECT_HAS(error("\"a\":{\"dtype\":\"F32\",\"shape\":[2]}"), "expected the key \"data_offsets\"");
  EXPECT_HAS(error(entry("", "[2]", "[0,8]")), "found an empty one");
  EXPECT_HAS(error("\"__metadata__\":[]"), "expected __metadata__ to be an object");
  EXPECT_HAS(error("\"__metadata__\":{\"k\":1}"), "__metadata__ to hold strings");
}

TEST(SafeTensorsHostile, Layout) {
  const auto error = [](const std::string& entries) {
    return error_of_bytes(file_of("{" + entries + "}", std::string(16, 'x')));
  };
  EXPECT_HAS(error(entry("a", "[2]", "[0,8]") + "," + entry("b", "[3]", "[4,16]")),
             "tensor \"b\": expected its data to begin at 8, where the previous tensor ends, "
             "found 4: they overlap");
  EXPECT_HAS(error(entry("a", "[4]", "[0,16]") + "," + entry("b", "[4]", "[0,16]")), "overlap");
  EXPECT_HAS(error(entry("a", "[1]", "[0,4]") + "," + entry("b", "[2]", "[8,16]")),
             "begin at 4, where the previous tensor ends, found 8");
  EXPECT_HAS(error(entry("a", "[2]", "[0,8]")), "expected 8 bytes of data, found 16");
  EXPECT_HAS(error(entry("a", "[3]", "[4,16]")), "begin at 0");
  EXPECT_HAS(error(entry("a", "[2]", "[0,8]") + "," + entry("a", "[2]", "[8,16]")),
             "the key \"a\" comes twice");
}

TEST(SafeTensorsHostile, NamesDoNotReachTheTerminalRaw) {
  const std::string error =
      error_of_bytes(file_of("{" + entry("a\\n\\u001b[2J", "[2]", "[0,4]") + "}", "1234"));
  EXPECT_HAS(error, "tensor \"a\\n\\u001b[2J\"");
  const std::string name(100000, 'n');
  EXPECT_HAS(error_of_bytes(file_of("{" + entry(name, "[2]", "[0,4]") + "}", "1234")), "nnn...\"");
}

class ShardedTest : public ::testing::Test {
 protected:
  ShardedTest() {
    const std::vector<float> a = {1, 2}, b = {3}, extra = {4};
    const TensorOut ta{"a", DType::kF32, {2}, bytes_of(a)}, tb{"b", DType::kF32, {1}, bytes_of(b)};
    const TensorOut te{"extra", DType::kF32, {1}, bytes_of(extra)};
    write_safetensors(folder_ / "s1.safetensors", std::vector{ta, te}, {{"format", "pt"}});
    write_safetensors(folder_ / "s2.safetensors", std::vector{tb}, {{"format", "x"}, {"k", "v"}});
  }
  std::string error_with(const std::string& weight_map) {
    write_file_atomic(index_,
                      "{\"metadata\":{\"total_size\":12},\"weight_map\":" + weight_map + "}");
    return error_of(index_);
  }
  TempFolder folder_;
  const fs::path index_ = folder_ / "model.safetensors.index.json";
};

TEST_F(ShardedTest, Opens) {
  EXPECT_EQ(error_with(R"({"b":"s2.safetensors","a":"s1.safetensors"})"), "no error");
  const SafeTensors model = SafeTensors::open(folder_.path());
  ASSERT_EQ(model.tensors().size(), 2u);
  EXPECT_EQ(model.find("extra"), nullptr);  // not in the index
  float b;
  copy_to_f32(*model.find("b"), &b);
  EXPECT_EQ(b, 3);
  EXPECT_EQ(model.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"k", "v"}}));
}

TEST_F(ShardedTest, NamesThatEscapeTheFolder) {
  for (const char* name : {"../s1.safetensors", "/etc/passwd", "..", ".", "", "x/s1.safetensors",
                           "x\\\\y", "s1.safetensors\\u0000"}) {
    EXPECT_HAS(error_with("{\"a\":\"" + std::string(name) + "\"}"),
               "tensor \"a\": expected the name of a file in the same folder");
  }
}

TEST_F(ShardedTest, BadIndexes) {
  EXPECT_HAS(error_with(R"({"a":"s3.safetensors"})"),
             "expected the shard \"s3.safetensors\" beside it, found none");
  EXPECT_HAS(error_with(R"({"a":"s2.safetensors"})"),
             "tensor \"a\": expected it in \"s2.safetensors\", found no such tensor there");
  EXPECT_HAS(error_with(R"({"a":"s1.safetensors","a":"s1.safetensors"})"), "comes twice");
  EXPECT_HAS(error_with(R"({"a":1})"), "the name of a file");
  EXPECT_HAS(error_with("[]"), "expected weight_map to be an object");
  write_file_atomic(index_, "{}");
  EXPECT_HAS(error_of(index_), "expected the key \"weight_map\", found none");
  write_file_atomic(index_, "[]");
  EXPECT_HAS(error_of(index_), "expected an object");
  fs::resize_file(folder_ / "s1.safetensors", 20);
  write_file_atomic(index_, R"({"weight_map":{"a":"s1.safetensors"}})");
  EXPECT_THROW(SafeTensors::open(folder_.path()), InputError);
}

TEST(SafeTensorsRead, MissingFiles) {
  const TempFolder folder;
  EXPECT_HAS(error_of(folder.path()), "found neither");
  EXPECT_HAS(error_of(folder / "none.safetensors"), "No such file");
  EXPECT_HAS(error_of(folder / "none.json"), "No such file");
}

// The bytes that Python's safetensors 0.8.0 writes for these tensors (save_file of numpy arrays).
TEST(SafeTensorsWrite, SameBytesAsTheReference) {
  const TempFolder folder;
  const std::vector<uint8_t> u8 = {7};
  const std::vector<uint16_t> f16 = {0x3c00, 0xc000};
  const std::vector<float> z = {1, 2}, m = {3};
  const std::vector<int64_t> i64 = {-1};
  const std::vector<TensorOut> tensors = {{"u", DType::kU8, {1}, bytes_of(u8)},
                                          {"z", DType::kF32, {2, 1}, bytes_of(z)},
                                          {"half", DType::kF16, {2}, bytes_of(f16)},
                                          {"m\"\xc3\xa9", DType::kF32, {}, bytes_of(m)},
                                          {"i", DType::kI64, {1}, bytes_of(i64)}};
  write_safetensors(folder / "f", tensors, {{"format", "pt"}});
  const std::string expected_header =
      R"({"__metadata__":{"format":"pt"},)"
      R"("i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      "\"m\\\"\xc3\xa9\""
      R"(:{"dtype":"F32","shape":[],"data_offsets":[8,12]},)"
      R"("z":{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]},)"
      R"("half":{"dtype":"F16","shape":[2],"data_offsets":[20,24]},)"
      R"("u":{"dtype":"U8","shape":[1],"data_offsets":[24,25]}})";
  const std::string padding((8 - expected_header.size() % 8) % 8, ' ');
  std::string data(25, '\0');
  std::memcpy(data.data(), i64.data(), 8);
  std::memcpy(data.data() + 8, m.data(), 4);
  std::memcpy(data.data() + 12, z.data(), 8);
  std::memcpy(data.data() + 20, f16.data(), 4);
  data[24] = 7;
  EXPECT_EQ(read_file(folder / "f"), file_of(expected_header + padding, data));
}

TEST(SafeTensorsWrite, ComesBack) {
  const TempFolder folder;
  write_safetensors(folder / "none", {});
  EXPECT_TRUE(SafeTensors::open(folder / "none").tensors().empty());

  std::vector<std::vector<float>> values;
  std::vector<TensorOut> tensors;
  for (int i = 0; i < 50; ++i) values.emplace_back(static_cast<size_t>(i * i), i + 0.5f);
  for (int i = 0; i < 50; ++i) {
    tensors.push_back(
        {std::to_string(i), DType::kF32, {i, i}, bytes_of(values[static_cast<size_t>(i)])});
  }
  write_safetensors(folder / "f", tensors);
  const SafeTensors file = SafeTensors::open(folder / "f");
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (const TensorOut& tensor : tensors) {
    const TensorInfo* info = file.find(tensor.name);
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(info->shape, tensor.shape);
    EXPECT_TRUE(std::equal(info->bytes.begin(), info->bytes.end(), tensor.bytes.begin(),
                           tensor.bytes.end()));
  }
}

TEST(SafeTensorsWrite, FullDiskLeavesTheOldFile) {
  const TempFolder folder;
  const std::vector<float> values(50000, 1.0f);
  const std::vector<TensorOut> small = {{"a", DType::kF32, {1}, bytes_of(values).first(4)}};
  const std::vector<TensorOut> large = {{"a", DType::kF32, {50000}, bytes_of(values)}};
  write_safetensors(folder / "f", small);
  {
    const FileSizeLimit limit(100000);
    EXPECT_THROW(write_safetensors(folder / "f", large), JobError);
  }
  EXPECT_EQ(SafeTensors::open(folder / "f").find("a")->elements(), 1);
  EXPECT_EQ(folder.entries(), 1);
  EXPECT_THROW(write_safetensors(folder / "no/f", small), JobError);
}

}  // namespace
}  // namespace r1
