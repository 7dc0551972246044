#include "package/model_facts.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "model/batch.h"
#include "package/gguf_model.h"
#include "package/gguf_plan.h"
#include "package/model_files.h"

namespace r1 {
namespace {

// The number after `mark`, or -1.
int64_t number_after(std::string_view name, std::string_view mark) {
  const size_t at = name.find(mark);
  if (at == std::string_view::npos) return -1;
  int64_t number = -1;
  const std::string_view rest = name.substr(at + mark.size());
  std::from_chars(rest.data(), rest.data() + rest.size(), number);
  return number;
}

// Counts tensors one by one, under Hugging Face's names or GGUF's.
class Counter {
 public:
  Counter(ModelFacts& facts, const Json& config) : facts_(facts) {
    const auto field = [&](const char* key, int64_t fallback) {
      const auto it = config.find(key);
      return it != config.end() && it->is_number_integer() ? it->get<int64_t>() : fallback;
    };
    layers_ = field("num_hidden_layers", INT32_MAX);
    experts_ = field("n_routed_experts", field("num_experts", 0));
    used_ = field("num_experts_per_tok", 0);
  }

  void add(std::string_view name, std::optional<DType> dtype, int64_t elements, uint64_t bytes) {
    ++facts_.tensors;
    (dtype ? facts_.bytes[*dtype] : facts_.other_bytes) += bytes;
    if (name.ends_with("_scale_inv")) return;
    const int64_t layer = std::max(number_after(name, "model.layers."), number_after(name, "blk."));
    if (layer >= layers_) {
      facts_.prediction_parameters += elements;
      return;
    }
    facts_.parameters += elements;
    const bool expert = name.find(".mlp.experts.") != name.npos || name.find("_exps.") != name.npos;
    (expert ? in_experts_ : facts_.active_parameters) += elements;
  }

  void finish() {
    const double share =
        experts_ > 0 ? static_cast<double>(used_) / static_cast<double>(experts_) : 1;
    facts_.active_parameters +=
        static_cast<int64_t>(static_cast<double>(in_experts_) * std::clamp(share, 0.0, 1.0));
  }

 private:
  ModelFacts& facts_;
  int64_t layers_ = 0, experts_ = 0, used_ = 0, in_experts_ = 0;
};

// The ways to run a model that are told of.
constexpr std::pair<const char*, DType> kRunTypes[] = {
    {"f32", DType::kF32}, {"bf16", DType::kBF16}, {"q8_0", DType::kQ8_0}, {"q4_k", DType::kQ4_K}};

// As convert_model plans it; where it would refuse, tensor by tensor.
uint64_t converted_bytes(const TensorSource& tensors, const ModelFacts& facts, DType dtype) {
  uint64_t bytes = 0;
  try {
    if (facts.config) {
      for (const TensorPlan& plan : plan_gguf(tensors, *facts.config, tensors.where(), dtype)) {
        bytes += plan.out.bytes();
      }
      return bytes;
    }
  } catch (const InputError&) {
  }
  bytes = 0;
  for (const TensorInfo& t : tensors.tensors()) {
    if (t.name.ends_with("_scale_inv")) continue;
    bytes += TensorSpec{t.name, gguf_dtype(t.name, t.shape, t.dtype, dtype), t.shape}.bytes();
  }
  return bytes;
}

uint64_t converted_bytes(const Gguf& file, DType dtype) {
  uint64_t bytes = 0;
  for (const GgufTensor& t : file.tensors()) {
    bytes += t.dtype
                 ? TensorSpec{t.name, gguf_dtype(t.name, t.shape, *t.dtype, dtype), t.shape}.bytes()
                 : t.bytes.size();
  }
  return bytes;
}

int64_t product(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

void read_folder(ModelFacts& facts, const Json& config) {
  const SafeTensors tensors = SafeTensors::open_present(facts.path, facts.missing);
  facts.files = tensors.file_count();
  Counter counter(facts, config);
  for (const TensorInfo& t : tensors.tensors()) {
    counter.add(t.name, t.dtype, t.elements(), t.bytes.size());
  }
  counter.finish();
  for (const auto& [name, dtype] : kRunTypes) {
    facts.converted[dtype] = converted_bytes(tensors, facts, dtype);
  }
}

void read_gguf(ModelFacts& facts, const Gguf& file, const Json& config) {
  facts.files = file.file_count();
  Counter counter(facts, config);
  for (const GgufTensor& t : file.tensors()) {
    counter.add(t.name, t.dtype, product(t.shape), t.bytes.size());
  }
  counter.finish();
  for (const auto& [name, dtype] : kRunTypes) facts.converted[dtype] = converted_bytes(file, dtype);
}

// What of the config this program cannot use is said, and the rest is told all the same.
void read_config(ModelFacts& facts, const Json& config, const std::string& where) {
  if (const auto it = config.find("architectures");
      it != config.end() && it->is_array() && !it->empty() && it->front().is_string()) {
    facts.architecture = it->front().get<std::string>();
  }
  try {
    facts.config = parse_model_config(config, where);
    facts.kv_bytes_per_token = KvCache::page_bytes(*facts.config, facts.config->num_hidden_layers) /
                               static_cast<int64_t>(kPageSize);
  } catch (const InputError& e) {
    facts.unsupported = e.what();
  }
}

}  // namespace

uint64_t ModelFacts::total_bytes() const {
  uint64_t total = other_bytes;
  for (const auto& [dtype, size] : bytes) total += size;
  return total;
}

ModelFacts model_facts(const std::filesystem::path& path) {
  ModelFacts facts;
  facts.path = path;
  Json config;
  if (is_gguf(path)) {
    const Gguf file = Gguf::open(path);
    config = config_from_gguf(file);
    read_config(facts, config, path.string());
    read_gguf(facts, file, config);
  } else {
    const std::string where = (path / "config.json").string();
    config = parse_json(read_file(where, uint64_t{64} << 20), where);
    read_config(facts, config, where);
    read_folder(facts, config);
  }
  std::error_code ignored;
  if (is_gguf(path) || std::filesystem::exists(path / "tokenizer.json", ignored)) {
    facts.tokenizer_vocab_size =
        parse_tokenizer(tokenizer_files(path.string()), path.string()).vocab_size();
  }
  return facts;
}

uint64_t available_memory() {
  const std::string text = read_file("/proc/meminfo", 1 << 20);
  const int64_t kilobytes = [&] {
    const size_t at = text.find("MemAvailable:");
    const size_t digits = at == text.npos ? at : text.find_first_of("0123456789", at);
    return digits == text.npos ? int64_t{0} : number_after(text.substr(digits - 1), " ");
  }();
  return static_cast<uint64_t>(std::max<int64_t>(kilobytes, 0)) * 1024;
}

std::vector<Fit> inference_fits(const ModelFacts& facts, double available) {
  std::vector<Fit> fits;
  for (const auto& [name, dtype] : kRunTypes) {
    Fit fit{name, static_cast<double>(facts.converted.at(dtype)), -1};
    const double room = available - fit.weights;
    if (room >= 0) {
      fit.context =
          facts.kv_bytes_per_token > 0 ? room / static_cast<double>(facts.kv_bytes_per_token) : 0;
      if (facts.config) {
        fit.context =
            std::min(fit.context, static_cast<double>(facts.config->max_position_embeddings));
      }
    }
    fits.push_back(fit);
  }
  return fits;
}

TrainingState training_state(const ModelFacts& facts, DType dtype) {
  const auto count = static_cast<double>(facts.parameters);
  return {4 * count, 4 * count, 8 * count, 2 * count * static_cast<double>(dtype_size(dtype))};
}

}  // namespace r1
