// What a model is and what it takes to run and to train it, from its config and the headers of its
// files: nothing of the weights is read, so a model of 700 GB is described at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/dtype.h"

namespace r1 {

struct ModelFacts {
  std::filesystem::path path;
  size_t files = 0;
  std::vector<std::string> missing;   // shards that the index names and that are not there
  std::optional<ModelConfig> config;  // nothing where this program does not run the model
  std::string unsupported;            // then: why
  std::string architecture;

  // Of the tensors that are there. Scales of float8 blocks are bytes, not parameters.
  std::map<DType, uint64_t> bytes;  // by type
  uint64_t other_bytes = 0;         // of types that this program does not read
  int64_t tensors = 0;
  int64_t parameters = 0;               // without the next one
  int64_t prediction_parameters = 0;    // of layers that predict further tokens (DeepSeek-V3's MTP)
  int64_t active_parameters = 0;        // that one token uses: of the experts, those it is sent to
  std::map<DType, uint64_t> converted;  // bytes as convert_model writes it in a type, of those of
                                        // inference_fits

  int tokenizer_vocab_size = 0;    // 0: it has none
  int64_t kv_bytes_per_token = 0;  // 0 where this program does not run the model

  uint64_t total_bytes() const;
};

// `path` as resolve_model gives it.
ModelFacts model_facts(const std::filesystem::path& path);

// Bytes of memory that programs can have now (MemAvailable).
uint64_t available_memory();

// A way to run a model.
struct Fit {
  std::string dtype;   // "f32", "q8_0"
  double weights = 0;  // bytes
  double context = 0;  // tokens whose keys and values fit beside them, at most what the model
                       // takes; negative: the weights do not fit
};
std::vector<Fit> inference_fits(const ModelFacts& facts, double available);

// Bytes that full training holds beside activations: float32 masters, gradients and AdamW's two
// moments, and the two copies of the products' weights (forward, backward) in `dtype`.
struct TrainingState {
  double masters = 0, gradients = 0, moments = 0, copies = 0;
  double total() const { return masters + gradients + moments + copies; }
};
TrainingState training_state(const ModelFacts& facts, DType dtype);

}  // namespace r1
