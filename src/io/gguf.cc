#include "io/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <set>

#include "base/error.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little, "little-endian files alone are read");

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kVersion = 3;
constexpr uint64_t kDefaultAlignment = 32, kMaxAlignment = 1 << 20;
constexpr uint64_t kMaxDimensions = 4;      // ggml's
constexpr uint64_t kMaxKey = 65535;         // the format's
constexpr uint64_t kMaxName = 4096;         // of a tensor; ggml's own limit is 63
constexpr uint64_t kMaxElements = 1 << 22;  // of all metadata arrays: vocabularies have 2^18
constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

// ggml's types that have a layout, by their number in files.
struct TensorType {
  uint32_t id;
  std::string_view name;
  int64_t block;   // elements
  uint64_t bytes;  // of a block
  std::optional<DType> dtype = std::nullopt;
};
constexpr TensorType kTensorTypes[] = {
    {0, "F32", 1, 4, DType::kF32},
    {1, "F16", 1, 2, DType::kF16},
    {2, "Q4_0", 32, 18, DType::kQ4_0},
    {3, "Q4_1", 32, 20, DType::kQ4_1},
    {6, "Q5_0", 32, 22, DType::kQ5_0},
    {7, "Q5_1", 32, 24, DType::kQ5_1},
    {8, "Q8_0", 32, 34, DType::kQ8_0},
    {9, "Q8_1", 32, 40},
    {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144, DType::kQ4_K},
    {13, "Q5_K", 256, 176, DType::kQ5_K},
    {14, "Q6_K", 256, 210, DType::kQ6_K},
    {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},
    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1, DType::kI8},
    {25, "I16", 1, 2, DType::kI16},
    {26, "I32", 1, 4, DType::kI32},
    {27, "I64", 1, 8, DType::kI64},
    {28, "F64", 1, 8, DType::kF64},
    {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2, DType::kBF16},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},
    {39, "MXFP4", 32, 17},
};

const TensorType* find_type(uint32_t id) {
  for (const TensorType& type : kTensorTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const TensorType* find_type(DType dtype) {
  for (const TensorType& type : kTensorTypes) {
    if (type.dtype == dtype) return &type;
  }
  return nullptr;
}

struct ValueType {
  std::string_view name;
  uint64_t bytes;  // the least that a value takes
};
constexpr std::array<ValueType, 13> kValueTypes = {{{"uint8", 1},
                                                    {"int8", 1},
                                                    {"uint16", 2},
                                                    {"int16", 2},
                                                    {"uint32", 4},
                                                    {"int32", 4},
                                                    {"float32", 4},
                                                    {"bool", 1},
                                                    {"string", 8},
                                                    {"array", 12},
                                                    {"uint64", 8},
                                                    {"int64", 8},
                                                    {"float64", 8}}};

uint64_t align(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

// Reads a file's header from its start. Every failure names the file, what was being read and the
// byte where it was.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const fs::path& path) : bytes_(bytes), path_(path) {}

  // What comes next, for messages: "the key 17", "metadata \"llama.block_count\"".
  void at(std::string what) { what_ = std::move(what); }
  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  [[noreturn]] void fail(const std::string& message) const {
    throw InputError(path_.string() + ": " + what_ + ": " + message);
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view string(uint64_t limit) {
    const auto length = number<uint64_t>();
    if (length > limit) {
      fail("expected a string of at most " + std::to_string(limit) + " bytes, found one of " +
           std::to_string(length));
    }
    const auto bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  GgufValue value(uint64_t& elements_left) {
    GgufValue out;
    out.type = value_type();
    if (out.type != GgufType::kArray) {
      out.value = scalar(out.type);
      return out;
    }
    out.type = value_type();
    if (out.type == GgufType::kArray) fail("expected an array of values, found one of arrays");
    const auto count = number<uint64_t>();
    const uint64_t room = left() / kValueTypes[static_cast<size_t>(out.type)].bytes;
    if (count > room) {
      fail("expected at most the " + std::to_string(room) +
           " elements that the file has room for, " + "found an array of " + std::to_string(count));
    }
    if (count > elements_left) {
      fail("expected at most " + std::to_string(kMaxElements) +
           " elements in all arrays, found more");
    }
    elements_left -= count;
    out.value = Json::array();
    out.value.get_ref<Json::array_t&>().reserve(count);
    for (uint64_t i = 0; i < count; ++i) out.value.push_back(scalar(out.type));
    return out;
  }

 private:
  std::span<const std::byte> take(uint64_t count) {
    if (count > left()) {
      fail("expected " + std::to_string(count) + " bytes at byte " + std::to_string(position_) +
           ", found " + std::to_string(left()) + ": the file is cut short");
    }
    position_ += count;
    return bytes_.subspan(position_ - count, count);
  }

  GgufType value_type() {
    const auto type = number<uint32_t>();
    if (type >= kValueTypes.size()) {
      fail("expected a value type of 0 to 12, found " + std::to_string(type));
    }
    return static_cast<GgufType>(type);
  }

  Json scalar(GgufType type) {
    switch (type) {
      case GgufType::kU8:
        return number<uint8_t>();
      case GgufType::kI8:
        return number<int8_t>();
      case GgufType::kU16:
        return number<uint16_t>();
      case GgufType::kI16:
        return number<int16_t>();
      case GgufType::kU32:
        return number<uint32_t>();
      case GgufType::kI32:
        return number<int32_t>();
      case GgufType::kF32:
        return number<float>();
      case GgufType::kU64:
        return number<uint64_t>();
      case GgufType::kI64:
        return number<int64_t>();
      case GgufType::kF64:
        return number<double>();
      case GgufType::kString:
        return std::string(string(left()));
      case GgufType::kBool: {
        const auto value = number<uint8_t>();
        if (value > 1) fail("expected a bool of 0 or 1, found " + std::to_string(value));
        return value == 1;
      }
      case GgufType::kArray:
        break;
    }
    R1_CHECK(false);
    return {};
  }

  std::span<const std::byte> bytes_;
  const fs::path& path_;
  uint64_t position_ = 0;
  std::string what_ = "header";
};

struct Counts {
  uint64_t tensors, keys;
};

Counts read_counts(Reader& reader) {
  if (reader.left() < kMagic.size()) reader.fail("expected a GGUF file, found an empty one");
  const auto magic = reader.number<std::array<char, 4>>();
  const std::string_view found(magic.data(), magic.size());
  if (found != kMagic) reader.fail("expected \"GGUF\" at the start, found " + in_quotes(found));
  const auto version = reader.number<uint32_t>();
  if (version == 1) reader.fail("version 1 is not read: expected 2 or 3; convert the model anew");
  if (version != 0 && (version & 0xffff) == 0) {
    reader.fail("expected a little-endian file, found a big-endian one");
  }
  if (version != 2 && version != kVersion) {
    reader.fail("expected version 2 or 3, found " + std::to_string(version));
  }
  Counts counts{reader.number<uint64_t>(), reader.number<uint64_t>()};
  // A tensor's description takes 24 bytes at least, a key and its value 13.
  for (const auto& [count, least, what] :
       {std::tuple{counts.tensors, 24, "tensors"}, std::tuple{counts.keys, 13, "metadata keys"}}) {
    if (count > reader.left() / static_cast<uint64_t>(least)) {
      reader.fail("claims " + std::to_string(count) + " " + what + ", more than its " +
                  std::to_string(reader.left()) + " bytes can hold");
    }
  }
  return counts;
}

GgufMetadata read_metadata(Reader& reader, uint64_t keys) {
  GgufMetadata metadata;
  uint64_t elements_left = kMaxElements;
  for (uint64_t i = 0; i < keys; ++i) {
    reader.at("metadata key " + std::to_string(i));
    const std::string key(reader.string(kMaxKey));
    if (key.empty()) reader.fail("expected a name, found an empty one");
    reader.at("metadata " + in_quotes(key));
    if (!metadata.try_emplace(key, reader.value(elements_left)).second) {
      reader.fail("the key comes twice");
    }
  }
  return metadata;
}

uint64_t read_alignment(const GgufMetadata& metadata, Reader& reader) {
  const auto it = metadata.find("general.alignment");
  if (it == metadata.end()) return kDefaultAlignment;
  const Json& value = it->second.value;
  const uint64_t alignment = value.is_number_unsigned() ? value.get<uint64_t>() : 0;
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    reader.at("metadata \"general.alignment\"");
    reader.fail("expected a power of two up to " + std::to_string(kMaxAlignment) + ", found " +
                value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60));
  }
  return alignment;
}

struct Description {
  GgufTensor tensor;  // without its bytes
  uint64_t offset, bytes;
};

Description read_description(Reader& reader, uint64_t index, uint64_t alignment) {
  reader.at("tensor " + std::to_string(index));
  Description out{};
  out.tensor.name = reader.string(kMaxName);
  if (out.tensor.name.empty()) reader.fail("expected a name, found an empty one");
  reader.at("tensor " + in_quotes(out.tensor.name));
  const auto dimensions = reader.number<uint32_t>();
  if (dimensions > kMaxDimensions) {
    reader.fail("expected at most 4 dimensions, found " + std::to_string(dimensions));
  }
  // The bound counts sizes of 0 as 1, so that the sizes' product fits in 63 bits in any order.
  uint64_t elements = 1, bound = 1;
  for (uint32_t d = 0; d < dimensions; ++d) {
    const auto size = reader.number<uint64_t>();
    if (__builtin_mul_overflow(bound, std::max<uint64_t>(size, 1), &bound) || bound > kMaxInt64) {
      reader.fail("expected fewer than 2^63 elements, found more");
    }
    elements *= size;
    out.tensor.shape.insert(out.tensor.shape.begin(), static_cast<int64_t>(size));
  }
  const auto id = reader.number<uint32_t>();
  const TensorType* type = find_type(id);
  if (!type) reader.fail("has a type that ggml does not have, number " + std::to_string(id));
  out.tensor.type = type->name;
  out.tensor.dtype = type->dtype;
  const int64_t columns = out.tensor.shape.empty() ? 1 : out.tensor.shape.back();
  if (columns % type->block != 0) {
    reader.fail("expected rows of a multiple of " + std::to_string(type->block) + " elements for " +
                std::string(type->name) + ", found " + shape_text(out.tensor.shape));
  }
  if (__builtin_mul_overflow(elements / static_cast<uint64_t>(type->block), type->bytes,
                             &out.bytes)) {
    reader.fail("expected a size of less than 2^64 bytes, found " + std::string(type->name) + " " +
                shape_text(out.tensor.shape));
  }
  out.offset = reader.number<uint64_t>();
  if (out.offset % alignment != 0) {
    reader.fail("expected an offset that is a multiple of " + std::to_string(alignment) +
                ", found " + std::to_string(out.offset));
  }
  return out;
}

// Points the tensors at their data; they must lie within it and not overlap. By offset.
std::vector<GgufTensor> place(std::vector<Description> descriptions,
                              std::span<const std::byte> data, Reader& reader) {
  std::sort(descriptions.begin(), descriptions.end(), [](const auto& a, const auto& b) {
    return std::tie(a.offset, a.bytes, a.tensor.name) < std::tie(b.offset, b.bytes, b.tensor.name);
  });
  std::vector<GgufTensor> tensors;
  uint64_t end = 0;
  for (Description& d : descriptions) {
    reader.at("tensor " + in_quotes(d.tensor.name));
    if (d.offset > data.size() || d.bytes > data.size() - d.offset) {
      reader.fail("expected its " + std::to_string(d.bytes) + " bytes at offset " +
                  std::to_string(d.offset) + " within the file's " + std::to_string(data.size()) +
                  " bytes of data: the file is cut short");
    }
    if (d.offset < end) {
      reader.fail("begins at offset " + std::to_string(d.offset) +
                  ", before the previous tensor ends at " + std::to_string(end) + ": they overlap");
    }
    end = d.offset + d.bytes;
    d.tensor.bytes = data.subspan(d.offset, d.bytes);
    tensors.push_back(std::move(d.tensor));
  }
  return tensors;
}

uint64_t split_number(const GgufMetadata& metadata, const char* key, uint64_t fallback) {
  const auto it = metadata.find(key);
  if (it == metadata.end() || !it->second.value.is_number_integer()) return fallback;
  return it->second.value.get<uint64_t>();
}

std::string split_name(const std::string& stem, uint64_t index, uint64_t count) {
  char text[40];
  std::snprintf(text, sizeof text, "-%05llu-of-%05llu.gguf",
                static_cast<unsigned long long>(index + 1), static_cast<unsigned long long>(count));
  return stem + text;
}

void append_number(std::string& out, auto value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_string(std::string& out, std::string_view text) {
  append_number(out, uint64_t{text.size()});
  out += text;
}

void append_scalar(std::string& out, GgufType type, const Json& value) {
  switch (type) {
    case GgufType::kU8:
      return append_number(out, value.get<uint8_t>());
    case GgufType::kI8:
      return append_number(out, value.get<int8_t>());
    case GgufType::kU16:
      return append_number(out, value.get<uint16_t>());
    case GgufType::kI16:
      return append_number(out, value.get<int16_t>());
    case GgufType::kU32:
      return append_number(out, value.get<uint32_t>());
    case GgufType::kI32:
      return append_number(out, value.get<int32_t>());
    case GgufType::kF32:
      return append_number(out, value.get<float>());
    case GgufType::kU64:
      return append_number(out, value.get<uint64_t>());
    case GgufType::kI64:
      return append_number(out, value.get<int64_t>());
    case GgufType::kF64:
      return append_number(out, value.get<double>());
    case GgufType::kBool:
      return append_number(out, static_cast<uint8_t>(value.get<bool>()));
    case GgufType::kString:
      return append_string(out, value.get_ref<const std::string&>());
    case GgufType::kArray:
      break;
  }
  R1_CHECK(false);
}

void append_value(std::string& out, const GgufValue& value) {
  if (!value.value.is_array()) {
    append_number(out, value.type);
    return append_scalar(out, value.type, value.value);
  }
  append_number(out, GgufType::kArray);
  append_number(out, value.type);
  append_number(out, uint64_t{value.value.size()});
  for (const Json& element : value.value) append_scalar(out, value.type, element);
}

std::string header_of(const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors) {
  std::string out(kMagic);
  append_number(out, kVersion);
  append_number(out, uint64_t{tensors.size()});
  append_number(out, uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    append_string(out, key);
    append_value(out, value);
  }
  uint64_t offset = 0;
  std::set<std::string_view> names;
  for (const TensorSpec& tensor : tensors) {
    const TensorType* type = find_type(tensor.dtype);
    R1_CHECK(type && names.insert(tensor.name).second);
    append_string(out, tensor.name);
    append_number(out, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t d = tensor.shape.size(); d-- > 0;) append_number(out, tensor.shape[d]);
    append_number(out, type->id);
    append_number(out, offset);
    offset = align(offset + tensor.bytes(), kDefaultAlignment);
  }
  out.resize(align(out.size(), kDefaultAlignment));
  return out;
}

}  // namespace

Gguf Gguf::open(const fs::path& file) {
  Gguf result;
  result.where_ = file.string();
  result.open_file(file);
  if (split_number(result.metadata_, "split.count", 1) > 1) result.open_splits(file);
  for (size_t i = 0; i < result.tensors_.size(); ++i) {
    const std::string& name = result.tensors_[i].name;
    if (!result.by_name_.emplace(name, i).second) {
      throw InputError(result.where_ + ": tensor " + in_quotes(name) + ": comes twice");
    }
  }
  return result;
}

void Gguf::open_file(const fs::path& path) {
  const MappedFile& file = files_.emplace_back(path);
  Reader reader(file.bytes(), path);
  const Counts counts = read_counts(reader);
  GgufMetadata metadata = read_metadata(reader, counts.keys);
  const uint64_t alignment = read_alignment(metadata, reader);
  std::vector<Description> descriptions;
  for (uint64_t i = 0; i < counts.tensors; ++i) {
    descriptions.push_back(read_description(reader, i, alignment));
  }
  // A file of metadata alone may end before the padding.
  const uint64_t begin = std::min(align(reader.position(), alignment), file.bytes().size());
  auto tensors = place(std::move(descriptions), file.bytes().subspan(begin), reader);
  tensors_.insert(tensors_.end(), std::make_move_iterator(tensors.begin()),
                  std::make_move_iterator(tensors.end()));
  if (files_.size() == 1) {
    metadata_ = std::move(metadata);
  } else if (split_number(metadata, "split.no", 0) != files_.size() - 1) {
    throw InputError(path.string() + ": expected split.no to be " +
                     std::to_string(files_.size() - 1));
  }
}

void Gguf::open_splits(const fs::path& first) {
  constexpr uint64_t kMaxSplits = 10000;
  const uint64_t count = split_number(metadata_, "split.count", 1);
  const std::string name = first.filename().string();
  const std::string ending = split_name("", 0, count);
  if (count > kMaxSplits || split_number(metadata_, "split.no", 0) != 0 ||
      !name.ends_with(ending)) {
    throw InputError(where_ + ": one of " + std::to_string(count) +
                     " files: expected the first, whose name ends in " + ending);
  }
  const std::string stem = name.substr(0, name.size() - ending.size());
  for (uint64_t i = 1; i < count; ++i) open_file(first.parent_path() / split_name(stem, i, count));
  const uint64_t expected = split_number(metadata_, "split.tensors.count", tensors_.size());
  if (expected != tensors_.size()) {
    throw InputError(where_ + ": expected " + std::to_string(expected) + " tensors in its " +
                     std::to_string(count) + " files, found " + std::to_string(tensors_.size()));
  }
}

const GgufTensor* Gguf::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

bool gguf_has(DType dtype) {
  return find_type(dtype) != nullptr;
}

GgufWriter::GgufWriter(const fs::path& path, const GgufMetadata& metadata,
                       std::vector<TensorSpec> tensors)
    : file_(path), tensors_(std::move(tensors)) {
  R1_CHECK(!metadata.contains("general.alignment"));
  file_.write(header_of(metadata, tensors_));
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  // Tensors of no bytes are passed over.
  while (next_ < tensors_.size() && written_ == tensors_[next_].bytes()) ++next_, written_ = 0;
  R1_CHECK(next_ < tensors_.size() && bytes.size() <= tensors_[next_].bytes() - written_);
  file_.write(bytes);
  written_ += bytes.size();
  const size_t size = tensors_[next_].bytes();
  if (written_ == size) {
    file_.write(std::string(align(size, kDefaultAlignment) - size, '\0'));
  }
}

void GgufWriter::commit() {
  while (next_ < tensors_.size() && written_ == tensors_[next_].bytes()) ++next_, written_ = 0;
  R1_CHECK(next_ == tensors_.size());
  file_.commit();
}

}  // namespace r1
