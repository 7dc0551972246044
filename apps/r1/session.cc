#include "session.h"

#include <cctype>

#include "base/error.h"
#include "tensor/quant.h"

namespace r1 {

void CommonOptions::add_to(CLI::App& command) {
  command.add_option("--threads", threads, "threads to use; 0: as many as the machine has")
      ->check(CLI::Range(0, 1024));
  command.add_option("--seed", seed, "everything random follows from it")->capture_default_str();
  command.add_option(
      "--isa", isa,
      "instruction set of the kernels: portable, avx2, avx512, avx512vnni, "
      "avx512bf16, neon, or ref (slow); default: R1_ISA, or the best this machine has");
  command.add_flag("--json", json, "results as JSON on the standard output");
}

void WeightOptions::add_to(CLI::App& command) {
  command
      .add_option("--dtype", dtype,
                  "of the weights: auto (as the files have them, read in place), f32 or bf16")
      ->capture_default_str();
  command.add_flag("--repack", repack,
                   "with --dtype auto: copy the weights into the order that the kernels read them: "
                   "faster, for as much memory as they take and a moment at the start");
  add_kv_cache_dtype(command, kv_cache_dtype);
}

void add_kv_cache_dtype(CLI::App& command, std::string& dtype) {
  command
      .add_option("--kv-cache-dtype", dtype,
                  "of keys and values in the cache: f32, bf16, or int8 with a scale for each "
                  "position and head")
      ->capture_default_str();
}

std::optional<DType> WeightOptions::type() const {
  if (dtype == "auto") return std::nullopt;
  if (dtype == "f32") return DType::kF32;
  if (dtype == "bf16") return DType::kBF16;
  throw InputError("--dtype " + dtype + ": expected auto, f32 or bf16");
}

std::string lower_dtype(DType dtype) {
  std::string name(dtype_name(dtype));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

std::string quantizable_names() {
  std::string names;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (can_quantize(dtype)) names += (names.empty() ? "" : ", ") + lower_dtype(dtype);
  }
  return names;
}

DType quantizable_dtype(const std::string& name) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (can_quantize(dtype) && lower_dtype(dtype) == name) return dtype;
  }
  throw InputError("--dtype " + name + ": expected one of " + quantizable_names());
}

OpenModel open_model(const std::string& name, const WeightOptions& weights, Ops& ops) {
  const std::optional<DType> type = weights.type();
  ModelFiles files = open_model_files(resolve_model(name));
  files.config.kv_cache_dtype = parse_kv_type(weights.kv_cache_dtype, "--kv-cache-dtype");
  Tokenizer tokenizer = parse_tokenizer(files.tokenizer, files.where("tokenizer.json"));
  auto chat = ChatFormat::of(files.tokenizer, tokenizer, files.path.string());
  Model model = Model::load(files.config, files.tensors, ops, type, Model::Use::kInference);
  if (weights.repack) model.repack_mapped(ops);
  files.tensors.reset();  // the model keeps what it needs of them
  auto defaults = generation_defaults(files.generation, files.where("generation_config.json"), chat,
                                      model.config().eos_token_ids);
  return {std::move(files), std::move(tokenizer), std::move(model), std::move(chat),
          std::move(defaults)};
}

void SamplingOptions::add_to(CLI::App& c, const std::string& otherwise) {
  auto add = [&](const char* name, auto& value, const char* help) {
    c.add_option(name, value, std::string(help) + "; default: " + otherwise);
  };
  add("--temperature", temperature, "0 takes the most likely token");
  add("--top-k", top_k, "keep the k most likely tokens; 0: all");
  add("--top-p", top_p, "keep the likeliest tokens that together reach this");
  add("--min-p", min_p, "keep tokens this fraction as likely as the likeliest");
}

SamplingParams SamplingOptions::over(SamplingParams model) const {
  model.temperature = temperature.value_or(model.temperature);
  model.top_k = top_k.value_or(model.top_k);
  model.top_p = top_p.value_or(model.top_p);
  model.min_p = min_p.value_or(model.min_p);
  return model;
}

void add_thinking(CLI::App& c, ThinkingBudget& budget) {
  c.add_option("--think", budget.max_tokens,
               "longest thinking in tokens, then it is closed and the answer begins; default: no "
               "limit")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  c.add_option("--waits", budget.waits,
               "how often the end of the thinking becomes \"Wait\", so that it goes on")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
}

}  // namespace r1
