#include "session.h"

#include "base/error.h"

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

OpenModel open_model(const std::string& name, std::optional<DType> dtype, Model::Use use,
                     Ops& ops) {
  ModelFiles files = open_model_files(resolve_model(name));
  Tokenizer tokenizer = parse_tokenizer(files.tokenizer, files.tokenizer_where());
  auto chat = ChatFormat::of(files.tokenizer, tokenizer, files.path.string());
  Model model = Model::load(files.config, files.tensors, ops, dtype, use);
  auto defaults = generation_defaults(files.generation, files.path.string(), chat,
                                      model.config().eos_token_ids);
  return {std::move(files), std::move(tokenizer), std::move(model), std::move(chat),
          std::move(defaults)};
}

void SamplingOptions::add_to(CLI::App& c) {
  const char* const own = "; default: the model's own";
  auto add = [&](const char* name, auto& value, const char* help) {
    c.add_option(name, value, std::string(help) + own);
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

std::optional<DType> parse_dtype_option(const std::string& name) {
  if (name == "auto") return std::nullopt;
  if (name == "f32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  throw InputError("--dtype " + name + ": expected auto, f32 or bf16");
}

}  // namespace r1
