#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // the reference's limit
constexpr std::string_view kMetadata = "__metadata__";

// What an error message starts with: the file, and the tensor if one is to blame.
struct Where {
  const fs::path& file;
  std::string_view tensor = {};

  [[noreturn]] void fail(const std::string& what) const {
    std::string message = file.string() + ": ";
    if (!tensor.empty()) message += "tensor " + in_quotes(tensor) + ": ";
    throw InputError(message + what);
  }
};

// JSON escapes control characters itself, so this is one printable line.
std::string found(const Json& json) {
  constexpr size_t kShown = 60;
  const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() > kShown ? text.substr(0, kShown) + "..." : text;
}

// A member that must be a whole number from 0 to 2^63 - 1.
std::optional<uint64_t> whole(const Json& json) {
  if (!json.is_number_unsigned()) return std::nullopt;
  const auto value = json.get<uint64_t>();
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return value;
}

const Json& member(const Json& object, const char* key, const Where& where) {
  const auto it = object.find(key);
  if (it == object.end()) where.fail("expected the key \"" + std::string(key) + "\", found none");
  return *it;
}

DType parse_dtype(const Json& entry, const Where& where) {
  const Json& json = member(entry, "dtype", where);
  if (json.is_string()) {
    if (const auto dtype = find_dtype(json.get_ref<const std::string&>())) return *dtype;
  }
  where.fail("expected a dtype of " + dtype_names() + ", found " + found(json));
}

std::vector<int64_t> parse_shape(const Json& entry, const Where& where) {
  const Json& json = member(entry, "shape", where);
  if (!json.is_array()) where.fail("expected shape to be an array, found " + found(json));
  std::vector<int64_t> shape;
  for (const Json& item : json) {
    const auto size = whole(item);
    if (!size) where.fail("expected shape to hold whole numbers from 0, found " + found(item));
    shape.push_back(static_cast<int64_t>(*size));
  }
  return shape;
}

// The product of sizes and the element's size; nothing if 64 bits do not hold it.
std::optional<uint64_t> byte_size(DType dtype, std::span<const int64_t> shape) {
  uint64_t bytes = dtype_size(dtype);
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) return std::nullopt;
  }
  return bytes;
}

std::span<const std::byte> parse_bytes(const Json& entry, std::span<const std::byte> data,
                                       const TensorInfo& info, const Where& where) {
  const Json& json = member(entry, "data_offsets", where);
  const bool pair = json.is_array() && json.size() == 2;
  const auto begin = pair ? whole(json[0]) : std::nullopt;
  const auto end = pair ? whole(json[1]) : std::nullopt;
  if (!begin || !end) {
    where.fail("expected data_offsets to be two whole numbers from 0, found " + found(json));
  }
  if (*begin > *end) where.fail("expected data_offsets to ascend, found " + found(json));
  if (*end > data.size()) {
    where.fail("expected data_offsets within the file's " + std::to_string(data.size()) +
               " bytes of data, found " + found(json));
  }
  const auto size = byte_size(info.dtype, info.shape);
  const std::string type = std::string(dtype_name(info.dtype)) + " " + shape_text(info.shape);
  if (!size) where.fail("expected a size of less than 2^64 bytes, found " + type);
  if (*size != *end - *begin) {
    where.fail("expected " + std::to_string(*size) + " bytes for " + type + ", found " +
               std::to_string(*end - *begin) + " between its data_offsets");
  }
  return data.subspan(*begin, *size);
}

std::map<std::string, std::string> parse_metadata(const Json& json, const Where& where) {
  std::map<std::string, std::string> metadata;
  if (!json.is_object()) {
    where.fail("expected __metadata__ to be an object, found " + found(json));
  }
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      where.fail("expected __metadata__ to hold strings, found " + found(value) + " for " +
                 in_quotes(key));
    }
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// The tensors, sorted by where their data lies, must fill the data: no holes and no overlaps.
void check_layout(std::span<const TensorInfo> tensors, std::span<const std::byte> data,
                  const fs::path& path) {
  size_t end = 0;
  for (const TensorInfo& info : tensors) {
    const auto begin = static_cast<size_t>(info.bytes.data() - data.data());
    if (begin != end) {
      Where{path, info.name}.fail("expected its data to begin at " + std::to_string(end) +
                                  ", where the previous tensor ends, found " +
                                  std::to_string(begin) + (begin < end ? ": they overlap" : ""));
    }
    end = begin + info.bytes.size();
  }
  if (end != data.size()) {
    Where{path}.fail("expected " + std::to_string(end) + " bytes of data, found " +
                     std::to_string(data.size()));
  }
}

struct Header {
  std::string_view json;
  std::span<const std::byte> data;
};

Header split_header(std::span<const std::byte> bytes, const Where& where) {
  if (bytes.size() < kLengthBytes) {
    where.fail("expected at least 8 bytes, found " + std::to_string(bytes.size()));
  }
  uint64_t length;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  bytes = bytes.subspan(kLengthBytes);
  if (length > kMaxHeader) {
    where.fail("expected a header of at most " + std::to_string(kMaxHeader) + " bytes, found " +
               std::to_string(length) + ": not a safetensors file?");
  }
  if (length > bytes.size()) {
    where.fail("expected a header of " + std::to_string(length) + " bytes, found " +
               std::to_string(bytes.size()) + ": the file is cut short");
  }
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()), length);
  // Not even white space may come first: the reference wants to tell the format by its bytes.
  if (json.empty() || json.front() != '{') where.fail("expected the header to begin with {");
  return {json, bytes.subspan(length)};
}

struct Contents {
  std::vector<TensorInfo> tensors;  // by offset
  std::map<std::string, std::string> metadata;
};

Contents parse_file(const MappedFile& file) {
  const Where where{file.path()};
  const Header header = split_header(file.bytes(), where);
  const Json json = parse_json_unique(header.json, file.path().string() + ": header");
  Contents contents;
  for (const auto& [name, entry] : json.items()) {
    if (name == kMetadata) {
      contents.metadata = parse_metadata(entry, where);
      continue;
    }
    const Where at{file.path(), name};
    if (name.empty()) where.fail("expected every tensor to have a name, found an empty one");
    if (!entry.is_object()) at.fail("expected an object, found " + found(entry));
    TensorInfo info{name, parse_dtype(entry, at), parse_shape(entry, at), {}};
    info.bytes = parse_bytes(entry, header.data, info, at);
    contents.tensors.push_back(std::move(info));
  }
  std::sort(contents.tensors.begin(), contents.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) {
              if (a.bytes.data() != b.bytes.data()) return a.bytes.data() < b.bytes.data();
              if (a.bytes.size() != b.bytes.size()) return a.bytes.size() < b.bytes.size();
              return a.name < b.name;
            });
  check_layout(contents.tensors, header.data, file.path());
  return contents;
}

// A name that the index gives for a shard: of a file beside it, and nowhere else.
bool plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

// The index's weight_map: tensor name to shard name.
std::map<std::string, std::string> parse_weight_map(const fs::path& path) {
  const Where where{path};
  const Json json = parse_json_unique(read_file(path, kMaxHeader), path.string());
  if (!json.is_object()) where.fail("expected an object, found " + found(json));
  const Json& map = member(json, "weight_map", where);
  if (!map.is_object()) where.fail("expected weight_map to be an object, found " + found(map));
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : map.items()) {
    if (!shard.is_string() || !plain_file_name(shard.get_ref<const std::string&>())) {
      Where{path, name}.fail("expected the name of a file in the same folder, found " +
                             found(shard));
    }
    shards[name] = shard.get<std::string>();
  }
  return shards;
}

}  // namespace

SafeTensors SafeTensors::open(const fs::path& folder_or_file) {
  SafeTensors result;
  result.open_any(folder_or_file, nullptr);
  return result;
}

SafeTensors SafeTensors::open_present(const fs::path& folder_or_file,
                                      std::vector<std::string>& missing) {
  SafeTensors result;
  result.open_any(folder_or_file, &missing);
  return result;
}

void SafeTensors::open_any(const fs::path& folder_or_file, std::vector<std::string>* missing) {
  where_ = folder_or_file.string();
  std::error_code ignored;
  fs::path path = folder_or_file;
  if (fs::is_directory(path, ignored)) {
    const fs::path single = path / "model.safetensors", index = single.string() + ".index.json";
    path = fs::exists(single, ignored) ? single : index;
    if (!fs::exists(path, ignored)) {
      Where{folder_or_file}.fail(
          "expected model.safetensors or model.safetensors.index.json, found neither");
    }
  }
  if (path.extension() == ".json") {
    open_index(path, missing);
  } else {
    open_file(path);
  }
  build_index();
}

void SafeTensors::open_file(const fs::path& path) {
  Contents contents = parse_file(files_.emplace_back(path));
  tensors_ = std::move(contents.tensors);
  metadata_ = std::move(contents.metadata);
}

// The index decides: a tensor that a shard holds without being listed for it is left out.
void SafeTensors::open_index(const fs::path& path, std::vector<std::string>* missing) {
  std::map<std::string, std::string> shard_of = parse_weight_map(path);
  std::set<std::string> shards;
  for (const auto& [name, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) {
    const fs::path file = path.parent_path() / shard;
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
      if (missing) {
        missing->push_back(shard);
        std::erase_if(shard_of, [&](const auto& entry) { return entry.second == shard; });
        continue;
      }
      Where{path}.fail("expected the shard " + in_quotes(shard) + " beside it, found none");
    }
    Contents contents = parse_file(files_.emplace_back(file));
    metadata_.merge(contents.metadata);
    for (TensorInfo& info : contents.tensors) {
      const auto it = shard_of.find(info.name);
      if (it != shard_of.end() && it->second == shard) tensors_.push_back(std::move(info));
    }
  }
  if (tensors_.size() == shard_of.size()) return;
  std::set<std::string_view> present;
  for (const TensorInfo& info : tensors_) present.insert(info.name);
  for (const auto& [name, shard] : shard_of) {
    if (!present.contains(name)) {
      Where{path, name}.fail("expected it in " + in_quotes(shard) + ", found no such tensor there");
    }
  }
}

void SafeTensors::build_index() {
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
}

const TensorInfo* SafeTensors::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

SafeTensorsWriter::SafeTensorsWriter(const fs::path& path, std::vector<TensorSpec> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path), tensors_(std::move(tensors)) {
  // DType's values ascend with alignment as the reference's do.
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorSpec& a, const TensorSpec& b) {
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
  });
  const auto text_of = [](const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  // Put together by hand, because the order of the tensors is part of the format.
  std::string text = "{";
  if (!metadata.empty()) text += text_of(kMetadata) + ":" + text_of(metadata) + ",";
  std::set<std::string_view> names = {kMetadata};
  for (const TensorSpec& tensor : tensors_) {
    const auto size = byte_size(tensor.dtype, tensor.shape);
    R1_CHECK(size && !tensor.name.empty() && names.insert(tensor.name).second);
    text += text_of(tensor.name) + ":{\"dtype\":" + text_of(dtype_name(tensor.dtype)) +
            ",\"shape\":" + text_of(tensor.shape) +
            ",\"data_offsets\":" + text_of({left_, left_ + *size}) + "},";
    left_ += *size;
  }
  if (text.back() == ',') text.pop_back();
  text += '}';
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  const uint64_t length = text.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(text);
}

void SafeTensorsWriter::write(std::span<const std::byte> bytes) {
  R1_CHECK(bytes.size() <= left_);
  file_.write(bytes);
  left_ -= bytes.size();
}

void SafeTensorsWriter::commit() {
  R1_CHECK(left_ == 0);
  file_.commit();
}

void write_safetensors(const fs::path& path, std::span<const TensorOut> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs;
  std::map<std::string_view, const TensorOut*> by_name;
  for (const TensorOut& tensor : tensors) {
    R1_CHECK(byte_size(tensor.dtype, tensor.shape) == tensor.bytes.size());
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
    by_name[tensor.name] = &tensor;
  }
  SafeTensorsWriter writer(path, std::move(specs), metadata);
  for (const TensorSpec& spec : writer.order()) writer.write(by_name.at(spec.name)->bytes);
  writer.commit();
}

}  // namespace r1
