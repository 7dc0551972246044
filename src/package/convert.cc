#include "package/convert.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "package/gguf_model.h"
#include "package/gguf_plan.h"
#include "package/gguf_tokenizer.h"
#include "package/model_files.h"
#include "package/tensor_copy.h"
#include "tensor/quant.h"
#include "text/chat_template.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

using Sink = std::function<void(std::span<const std::byte>)>;

bool is_block_format(DType dtype) {
  return dtype_block(dtype) > 1;
}

DType folder_dtype(DType in, const std::optional<DType>& wanted) {
  if (!can_dequantize(in)) return in;
  if (wanted) return *wanted;
  return in == DType::kF8E4M3 || is_block_format(in) ? DType::kBF16 : in;
}

// llama.cpp's number for what most of a file's matrices are (llama_ftype).
uint32_t file_type(std::span<const TensorPlan> plans) {
  std::map<DType, uint64_t> bytes;
  for (const TensorPlan& plan : plans) bytes[plan.out.dtype] += plan.out.bytes();
  DType most = DType::kF32;
  for (const auto& [dtype, size] : bytes) {
    if (size > bytes[most]) most = dtype;
  }
  static const std::map<DType, uint32_t> kNumbers = {
      {DType::kF32, 0},   {DType::kF16, 1},   {DType::kQ4_0, 2}, {DType::kQ4_1, 3},
      {DType::kQ8_0, 7},  {DType::kQ5_0, 8},  {DType::kQ5_1, 9}, {DType::kQ4_K, 14},
      {DType::kQ5_K, 16}, {DType::kQ6_K, 18}, {DType::kBF16, 32}};
  const auto it = kNumbers.find(most);
  return it == kNumbers.end() ? 1024 : it->second;  // 1024: guess
}

class Converter {
 public:
  Converter(const ConvertOptions& options, ThreadPool& pool,
            const std::function<void(double)>& progress)
      : options_(options), pool_(pool), progress_(progress) {}

  Conversion run(const fs::path& source, const fs::path& destination);

 private:
  void gguf_to_gguf(const fs::path& source, const fs::path& destination);
  void model_to_gguf(const ModelFiles& model, const fs::path& destination);
  void model_to_folder(const ModelFiles& model, const fs::path& folder);

  void check_all_used(const ModelFiles& model, std::span<const TensorPlan> plans);
  GgufMetadata model_metadata(const ModelFiles& model);
  std::vector<std::vector<TensorPlan>> plan_shards(const TensorSource& source) const;
  void write_shards(const TensorSource& source, std::vector<std::vector<TensorPlan>> shards,
                    const fs::path& folder);
  void write_gguf(const TensorSource& source, const GgufMetadata& metadata,
                  const std::vector<TensorPlan>& plans, const fs::path& destination);

  // Says which matrices could not have the type that was asked for.
  void warn_of_coarse_rows(std::span<const TensorPlan> plans);
  void expect(std::span<const TensorPlan> plans) {
    for (const TensorPlan& plan : plans) total_ += plan.out.bytes();
  }
  void copy(const TensorSource& source, const TensorPlan& plan, const Sink& write) {
    copy_tensor(source, plan, pool_, [&](std::span<const std::byte> bytes) {
      write(bytes);
      result_.bytes += bytes.size();
      progress_(total_ == 0 ? 1 : static_cast<double>(result_.bytes) / static_cast<double>(total_));
    });
    ++result_.tensors;
    if (const auto* gguf = dynamic_cast<const GgufModel*>(&source)) gguf->forget();
  }

  const ConvertOptions& options_;
  ThreadPool& pool_;
  const std::function<void(double)>& progress_;
  Conversion result_;
  uint64_t total_ = 0;
};

// --- to GGUF ---

// A GGUF file's tensors under the file's own names.
class GgufTensors : public TensorSource {
 public:
  explicit GgufTensors(const Gguf& file) : file_(file) {
    for (const GgufTensor& t : file.tensors()) {
      if (!t.dtype) {
        throw InputError(file.where() + ": tensor " + in_quotes(t.name) + ": its type " +
                         std::string(t.type) + " is not read: expected " + dequantizable_names());
      }
      by_name_[t.name] = tensors_.size();
      tensors_.push_back({t.name, *t.dtype, t.shape, t.bytes});
    }
  }
  const std::string& where() const override { return file_.where(); }
  const TensorInfo* find(std::string_view name) const override {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : &tensors_[it->second];
  }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }

 private:
  const Gguf& file_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

// Names, metadata and row orders stay as they are, so this needs to know no architecture.
void Converter::gguf_to_gguf(const fs::path& source, const fs::path& destination) {
  const Gguf file = Gguf::open(source);
  const GgufTensors tensors(file);
  GgufMetadata metadata = file.metadata();
  for (const char* key : {"general.alignment", "split.no", "split.count", "split.tensors.count"}) {
    metadata.erase(key);
  }
  std::vector<TensorPlan> plans;
  for (const TensorInfo& in : tensors.tensors()) {
    const DType out = gguf_dtype(in.name, in.shape, in.dtype, options_.dtype);
    plans.push_back({{in.name, out, in.shape}, {in.name}});
  }
  metadata["general.file_type"] = GgufValue::u32(file_type(plans));
  write_gguf(tensors, metadata, plans, destination);
}

// Nothing may be lost without a word.
void Converter::check_all_used(const ModelFiles& model, std::span<const TensorPlan> plans) {
  std::set<std::string_view> used;
  for (const TensorPlan& plan : plans) used.insert(plan.parts.begin(), plan.parts.end());
  const std::string next_token =
      "model.layers." + std::to_string(model.config.num_hidden_layers) + ".";
  int64_t predicted = 0;
  for (const TensorInfo& tensor : model.tensors->tensors()) {
    const std::string_view name = tensor.name;
    if (used.contains(name) || name.ends_with("_scale_inv") ||
        name.ends_with("rotary_emb.inv_freq")) {
      continue;
    }
    if (name == "lm_head.weight" && model.config.tie_word_embeddings) continue;
    if (name.starts_with(next_token)) {
      ++predicted;
      continue;
    }
    throw InputError(model.tensors->where() + ": tensor " + in_quotes(name) +
                     ": GGUF has no name for it in a " + model.config.architecture);
  }
  if (predicted > 0) {
    result_.warnings.push_back("the multi-token-prediction layer (" + std::to_string(predicted) +
                               " tensors) is left out");
  }
}

GgufMetadata Converter::model_metadata(const ModelFiles& model) {
  GgufMetadata metadata = gguf_from_config(model.config, model.path.string());
  metadata["general.name"] = GgufValue::string(fs::absolute(model.path).filename().string());
  for (const auto& [key, name] : kSamplingKeys) {
    const auto it = model.generation.find(name);
    if (it == model.generation.end() || !it->is_number()) continue;
    metadata[key] = std::string_view(name) == "top_k" ? GgufValue{GgufType::kI32, *it}
                                                      : GgufValue::f32(it->get<double>());
  }
  HuggingFaceTokenizer tokenizer;
  tokenizer.tokenizer = model.tokenizer.at("tokenizer.json");
  tokenizer.where = model.where("tokenizer.json");
  if (const auto it = model.tokenizer.find("tokenizer_config.json"); it != model.tokenizer.end()) {
    tokenizer.config = parse_json(it->second, (model.path / it->first).string());
  }
  if (const auto source = chat_template_source(model.tokenizer, model.path.string())) {
    tokenizer.chat_template = source->text;
  }
  tokenizer.vocab_size = model.config.vocab_size;
  tokenizer.eos_ids = model.config.eos_token_ids;
  const std::string warning = add_gguf_tokenizer(tokenizer, metadata);
  if (!warning.empty()) result_.warnings.push_back(warning);
  return metadata;
}

void Converter::model_to_gguf(const ModelFiles& model, const fs::path& destination) {
  const std::vector<TensorPlan> plans =
      plan_gguf(*model.tensors, model.config, model.path.string(), options_.dtype);
  check_all_used(model, plans);
  GgufMetadata metadata = model_metadata(model);
  metadata["general.file_type"] = GgufValue::u32(file_type(plans));
  write_gguf(*model.tensors, metadata, plans, destination);
}

void Converter::warn_of_coarse_rows(std::span<const TensorPlan> plans) {
  if (!options_.dtype) return;
  const int64_t block = dtype_block(*options_.dtype);
  const auto count = std::count_if(plans.begin(), plans.end(), [&](const TensorPlan& plan) {
    return plan.out.shape.size() > 1 && plan.out.shape.back() % block != 0;
  });
  if (count == 0) return;
  result_.warnings.push_back(
      std::to_string(count) + " matrices have rows that are no multiple of " +
      std::to_string(block) + " elements, which " + std::string(dtype_name(*options_.dtype)) +
      " needs: they are Q8_0 or F16");
}

void Converter::write_gguf(const TensorSource& source, const GgufMetadata& metadata,
                           const std::vector<TensorPlan>& plans, const fs::path& destination) {
  expect(plans);
  warn_of_coarse_rows(plans);
  std::vector<TensorSpec> specs;
  for (const TensorPlan& plan : plans) specs.push_back(plan.out);
  GgufWriter writer(destination, metadata, std::move(specs));
  for (const TensorPlan& plan : plans) {
    copy(source, plan, [&](std::span<const std::byte> bytes) { writer.write(bytes); });
  }
  writer.commit();
}

// --- to a Hugging Face folder ---

// What each file of the folder will hold.
std::vector<std::vector<TensorPlan>> Converter::plan_shards(const TensorSource& source) const {
  std::vector<std::vector<TensorPlan>> shards(1);
  uint64_t size = 0;
  for (const TensorInfo& in : source.tensors()) {
    const std::string_view name = in.name;
    if (name.ends_with("_scale_inv") &&
        source.find(name.substr(0, name.size() - std::string_view("_scale_inv").size()))) {
      continue;
    }
    TensorPlan plan{{in.name, folder_dtype(in.dtype, options_.dtype), in.shape}, {in.name}};
    if (size > 0 && size + plan.out.bytes() > options_.shard_bytes) {
      shards.emplace_back();
      size = 0;
    }
    size += plan.out.bytes();
    shards.back().push_back(std::move(plan));
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char text[64];
  std::snprintf(text, sizeof text, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return text;
}

void Converter::write_shards(const TensorSource& source,
                             std::vector<std::vector<TensorPlan>> shards, const fs::path& folder) {
  Json weight_map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    std::vector<TensorSpec> specs;
    std::map<std::string, const TensorPlan*> by_name;
    for (const TensorPlan& plan : shards[i]) {
      specs.push_back(plan.out);
      by_name[plan.out.name] = &plan;
      weight_map[plan.out.name] = name;
    }
    SafeTensorsWriter writer(folder / name, std::move(specs), {{"format", "pt"}});
    for (const TensorSpec& spec : writer.order()) {
      copy(source, *by_name.at(spec.name),
           [&](std::span<const std::byte> bytes) { writer.write(bytes); });
    }
    writer.commit();
  }
  if (shards.size() == 1) return;
  const Json index = {{"metadata", {{"total_size", total_}}}, {"weight_map", weight_map}};
  write_file_atomic(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

// config.json with what it says of the weights' type set right.
Json config_of(const ModelFiles& model, std::span<const std::vector<TensorPlan>> shards) {
  std::map<DType, uint64_t> bytes;
  for (const auto& shard : shards) {
    for (const TensorPlan& plan : shard) bytes[plan.out.dtype] += plan.out.bytes();
  }
  const bool half = bytes[DType::kF16] > bytes[DType::kF32];
  const bool brain = bytes[DType::kBF16] > std::max(bytes[DType::kF16], bytes[DType::kF32]);
  Json config = model.config_json;
  config.erase("quantization_config");
  config.erase("dtype");  // the name that transformers 5 gives it
  config["torch_dtype"] = brain ? "bfloat16" : half ? "float16" : "float32";
  return config;
}

// What else belongs to a model's folder, and is copied as it is.
constexpr const char* kOtherFiles[] = {
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "chat_template.jinja",     "README.md",         "LICENSE"};

void Converter::model_to_folder(const ModelFiles& model, const fs::path& folder) {
  auto shards = plan_shards(*model.tensors);
  for (const auto& shard : shards) expect(shard);
  write_file_atomic(folder / "config.json", config_of(model, shards).dump(2) + "\n");
  if (!model.generation.empty()) {
    write_file_atomic(folder / "generation_config.json", model.generation.dump(2) + "\n");
  }
  for (const auto& [name, text] : model.tokenizer) write_file_atomic(folder / name, text);
  for (const char* name : kOtherFiles) {
    std::error_code ignored;
    const fs::path from = model.path / name;
    if (fs::is_regular_file(from, ignored)) {
      write_file_atomic(folder / name, read_file(from, uint64_t{256} << 20));
    }
  }
  write_shards(*model.tensors, std::move(shards), folder);
}

// --- both ---

void check_destination(const fs::path& source, const fs::path& destination, bool overwrite) {
  std::error_code error;
  if (!fs::exists(destination, error)) return;
  const auto fail = [&](const std::string& what) {
    throw InputError(destination.string() + ": " + what);
  };
  if (fs::equivalent(source, destination, error)) fail("is the source itself");
  const bool folder = fs::is_directory(destination, error);
  if (is_gguf(destination)) {
    if (folder) fail("is a folder: expected a file, or none, of a name that ends in .gguf");
    if (!overwrite) fail("exists: --force replaces it");
    return;
  }
  if (!folder) fail("is a file: expected a folder or none, or a name that ends in .gguf");
  if (fs::is_empty(destination, error)) return;
  if (!fs::exists(destination / "config.json", error)) {
    fail("is a folder with other things than a model in it");
  }
  if (!overwrite) fail("holds a model: --force replaces it");
}

// A folder beside `destination` that takes its place at the end, or vanishes.
class FolderInTheMaking {
 public:
  explicit FolderInTheMaking(const fs::path& destination)
      : to_(fs::absolute(destination).lexically_normal()) {
    if (!to_.has_filename()) to_ = to_.parent_path();
    make_folder(to_.parent_path());
    path_ = to_.parent_path() / (".r1-tmp-convert-" + std::to_string(::getpid()));
    make_folder(path_);
  }
  ~FolderInTheMaking() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  FolderInTheMaking(const FolderInTheMaking&) = delete;
  FolderInTheMaking& operator=(const FolderInTheMaking&) = delete;

  const fs::path& path() const { return path_; }
  void commit() { replace_folder(path_, to_); }

 private:
  fs::path to_, path_;
};

Conversion Converter::run(const fs::path& source, const fs::path& destination) {
  check_destination(source, destination, options_.overwrite);
  if (is_gguf(destination)) {
    if (is_gguf(source)) {
      gguf_to_gguf(source, destination);
    } else {
      model_to_gguf(open_model_files(source), destination);
    }
    return result_;
  }
  if (options_.dtype && is_block_format(*options_.dtype)) {
    throw InputError(destination.string() + ": a Hugging Face folder holds no " +
                     std::string(dtype_name(*options_.dtype)) +
                     ": expected f32, f16 or bf16, or a name that ends in .gguf");
  }
  const ModelFiles model = open_model_files(source);
  FolderInTheMaking folder(destination);
  model_to_folder(model, folder.path());
  folder.commit();
  return result_;
}

}  // namespace

Conversion convert_model(const fs::path& source, const fs::path& destination,
                         const ConvertOptions& options, ThreadPool& pool,
                         const std::function<void(double done)>& progress) {
  return Converter(options, pool, progress).run(source, destination);
}

}  // namespace r1
