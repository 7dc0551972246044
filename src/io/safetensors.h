// Reading and writing safetensors (https://github.com/huggingface/safetensors): 8 bytes of header
// length, a JSON header, the tensors' bytes. A model is one such file, or several with an index.
//
// Files are treated as hostile: everything the header claims is checked before it is used, and what
// is wrong is an InputError that names the file and the tensor, what was expected and what was
// found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "io/tensor_source.h"

namespace r1 {

// The tensors of a model's safetensors files. Movable, and the tensors stay where they are.
class SafeTensors : public TensorSource {
 public:
  // A *.safetensors file, an index (*.json), or a folder with model.safetensors or
  // model.safetensors.index.json (in this order, as transformers has it).
  static SafeTensors open(const std::filesystem::path& folder_or_file);
  // The same of a model that is being copied: shards that are not there are named in `missing`, and
  // their tensors are left out.
  static SafeTensors open_present(const std::filesystem::path& folder_or_file,
                                  std::vector<std::string>& missing);

  const std::string& where() const override { return where_; }
  const TensorInfo* find(std::string_view name) const override;
  // Shard by shard, by offset.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  // The headers' __metadata__; of a key in several shards the first shard's.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  size_t file_count() const { return files_.size(); }

 private:
  SafeTensors() = default;
  void open_file(const std::filesystem::path& path);
  void open_any(const std::filesystem::path& folder_or_file, std::vector<std::string>* missing);
  void open_index(const std::filesystem::path& path, std::vector<std::string>* missing);
  void build_index();

  std::string where_;
  std::vector<MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
};

struct TensorOut {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // dtype_size * product of shape
};

// Writes a file tensor by tensor, so that it may be larger than memory, and replaces the old one
// when it is whole. The layout is the reference implementation's: tensors by decreasing alignment
// of their type, then by name, so that the same tensors give the same bytes. JobError on failure,
// and the file that was there stays.
class SafeTensorsWriter {
 public:
  // Names must differ.
  SafeTensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  // The order in which the tensors' bytes are to be written.
  const std::vector<TensorSpec>& order() const { return tensors_; }
  // More of their bytes, in pieces of any size.
  void write(std::span<const std::byte> bytes);
  // Last, when all bytes are written.
  void commit();

 private:
  AtomicFile file_;
  std::vector<TensorSpec> tensors_;
  uint64_t left_ = 0;  // bytes that are still to come
};

// The same at once.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorOut> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace r1
