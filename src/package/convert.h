// Models from one kind of file to another: Hugging Face folders and GGUF files, each to each, with
// other element types or shards. Tensors pass through one by one: a model may be larger than
// memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace r1 {

struct ConvertOptions {
  // Of matrices; vectors and routers keep a type that loses nothing. None: as they are, but for
  // what the destination cannot hold (float8 weights with block scales and, in a folder, block
  // formats), which becomes BF16.
  std::optional<DType> dtype;
  // A folder's files are split where they would be larger.
  uint64_t shard_bytes = 5'000'000'000;
  // Replaces a model that is there.
  bool overwrite = false;
};

struct Conversion {
  int64_t tensors = 0;
  uint64_t bytes = 0;                 // of tensors, written
  std::vector<std::string> warnings;  // a line each
};

// `source` as resolve_model gives it; `destination` is a GGUF file if it ends in .gguf, else a
// folder. It appears when it is whole. `progress` hears the share that is done. InputError where
// the source is wrong or cannot be expressed in the other format, JobError where writing fails.
Conversion convert_model(const std::filesystem::path& source,
                         const std::filesystem::path& destination, const ConvertOptions& options,
                         ThreadPool& pool, const std::function<void(double done)>& progress);

}  // namespace r1
