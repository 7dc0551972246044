// A GGUF file as a Hugging Face model: its metadata as a config.json, its tensors under Hugging
// Face names and in Hugging Face order. docs/formats/gguf.md has the tables.
//
// Source of names, keys and row orders: llama.cpp (gguf-py/gguf/constants.py,
// convert_hf_to_gguf.py).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "io/gguf.h"
#include "io/tensor_source.h"
#include "model/config.h"
#include "tensor/buffer.h"

namespace r1 {

// How a GGUF tensor comes from Hugging Face's.
enum class GgufLayout {
  kAsIs,
  kOlder,    // as it is; in files of older converters, no longer written
  kPairs,    // rows of each head as 0, D/2, 1, D/2 + 1, ...: Llama's q and k, whose RoPE turns
             // neighbours
  kExperts,  // one tensor an expert, stacked
  kKeyUp,    // of kv_b_proj's rows (of each head the keys', then the values'), a head's keys',
             // transposed
  kValueUp,  // ... and a head's values'
};

struct GgufName {
  std::string gguf;          // "blk.3.attn_q.weight"
  std::string hugging_face;  // "model.layers.3.self_attn.q_proj.weight"
  GgufLayout layout = GgufLayout::kAsIs;
  int64_t head_dim = 0;   // of kPairs; rows of a head's keys in kKeyUp and kValueUp
  int64_t value_dim = 0;  // rows of a head's values in these

  // Of kExperts: hugging_face has a star where the expert's number goes.
  std::string expert(int64_t number) const;
};

// GGUF's name for config.json's architecture: "qwen2". InputError if it has none.
std::string gguf_architecture(const Json& config, const std::string& where);

// The names that a model of this config.json may have; which ones it has, its files say.
// InputError names `where` for an architecture that GGUF has no name for.
std::vector<GgufName> gguf_names(const Json& config, const std::string& where);

// The row of a kPairs tensor in the GGUF file where Hugging Face's row `row` is.
int64_t gguf_row_of_pair(int64_t row, int64_t head_dim);

// The config.json of a GGUF file. InputError where a key is missing or of the wrong kind.
Json config_from_gguf(const Gguf& file);

// Sampling that a file recommends, and generation_config.json's names for it.
inline constexpr std::pair<const char*, const char*> kSamplingKeys[] = {
    {"general.sampling.temp", "temperature"},
    {"general.sampling.top_p", "top_p"},
    {"general.sampling.top_k", "top_k"},
    {"general.sampling.min_p", "min_p"}};

// The metadata that says what config.json says, but for the tokenizer's.
GgufMetadata gguf_from_config(const ModelConfig& config, const std::string& where);

// What Llama 3's RoPE divides each pair's frequency by (rope_freqs.weight); empty for other models.
std::vector<float> gguf_rope_factors(const ModelConfig& config);

// The tensors of a GGUF file. Those whose rows stand in another order are put in order when they
// are asked for, in memory that lives as long as this object or until forget().
class GgufModel : public TensorSource {
 public:
  static std::shared_ptr<GgufModel> open(const std::filesystem::path& file);

  const std::string& where() const override { return file_.where(); }
  // InputError if the tensor is of a type that this program does not read.
  const TensorInfo* find(std::string_view name) const override;
  // Of tensors that are to be put in order, the bytes are as in the file: find() has them right.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }

  const Gguf& file() const { return file_; }
  const Json& config() const { return config_; }

  // Gives up what find() has put in order: what it returned for such a tensor is then void.
  void forget() const;

 private:
  explicit GgufModel(Gguf file);
  void add(const GgufName& name, const GgufTensor& tensor);
  void add_experts(const GgufName& name, const GgufTensor& tensor);
  void add_latent(const GgufName& name, const GgufTensor& keys);

  Gguf file_;
  Json config_;
  std::vector<TensorInfo> tensors_;
  struct Made {
    Buffer memory;
    TensorInfo info;
  };
  struct Entry {
    size_t index;
    GgufName name;
    std::string_view unreadable;  // the type, if it is one that this program does not read
  };
  void make_pairs(const Entry& entry, Made& made) const;
  void make_latent(const Entry& entry, Made& made) const;
  [[noreturn]] void refuse(const GgufTensor& tensor, const std::string& expected) const;

  std::map<std::string, Entry, std::less<>> by_name_;
  mutable std::mutex mutex_;
  mutable std::map<size_t, Made> made_;  // by index
};

}  // namespace r1
