// Reading and writing GGUF, ggml's model files (https://github.com/ggml-org/ggml, docs/gguf.md):
// a header of typed metadata and tensor descriptions, then the tensors' bytes, aligned. Versions 2
// and 3 are read, version 3 is written.
//
// This is the container alone: names are the file's (blk.0.attn_q.weight) and metadata keys are
// keys; what they mean for a model is package/gguf_model.h's business. Files are treated as hostile,
// as in safetensors.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "io/tensor_source.h"

namespace r1 {

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// A metadata value as JSON, with the type that the file gives it; of an array (which holds no
// arrays), its elements' type. Strings need not be UTF-8.
struct GgufValue {
  GgufType type = GgufType::kU32;
  Json value;

  static GgufValue u32(uint64_t value) { return {GgufType::kU32, value}; }
  static GgufValue f32(double value) { return {GgufType::kF32, value}; }
  static GgufValue boolean(bool value) { return {GgufType::kBool, value}; }
  static GgufValue string(std::string value) { return {GgufType::kString, std::move(value)}; }
};
using GgufMetadata = std::map<std::string, GgufValue, std::less<>>;

struct GgufTensor {
  std::string name;
  std::string_view type;       // ggml's name for it: "Q4_K"
  std::optional<DType> dtype;  // nothing where the type is known but cannot be computed with here
  std::vector<int64_t> shape;  // rows first, columns last: the reverse of the file's order
  // In the mapped file: not necessarily aligned.
  std::span<const std::byte> bytes;
};

// Movable, and the tensors stay where they are.
class Gguf {
 public:
  // One file, or the first of NAME-00001-of-0000N.gguf, which opens the others too.
  static Gguf open(const std::filesystem::path& file);

  const std::string& where() const { return where_; }
  // Of several files, the first one's.
  const GgufMetadata& metadata() const { return metadata_; }
  // File by file, by offset.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find(std::string_view name) const;
  size_t file_count() const { return files_.size(); }

 private:
  Gguf() = default;
  void open_file(const std::filesystem::path& path);
  void open_splits(const std::filesystem::path& first);

  std::string where_;
  std::vector<MappedFile> files_;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// Whether GGUF has this element type (F8_E4M3 it has not).
bool gguf_has(DType dtype);

// Writes a file tensor by tensor, so that it may be larger than memory, and replaces the old one
// when it is whole. JobError on failure, and the file that was there stays.
class GgufWriter {
 public:
  // The tensors will come in this order. Their names must differ.
  GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
             std::vector<TensorSpec> tensors);
  // More of the tensors' bytes, in pieces of any size that end where a tensor ends.
  void write(std::span<const std::byte> bytes);
  // Last, when all bytes are written.
  void commit();

 private:
  AtomicFile file_;
  std::vector<TensorSpec> tensors_;
  size_t next_ = 0;     // the tensor whose bytes are being written
  size_t written_ = 0;  // of them
};

}  // namespace r1
