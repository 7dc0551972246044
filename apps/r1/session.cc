#include "session.h"

#include "base/error.h"

namespace r1 {

void CommonOptions::add_to(CLI::App& command) {
  command.add_option("--threads", threads, "threads to use; 0: as many as the machine has")
      ->check(CLI::Range(0, 1024));
  command.add_option("--seed", seed, "everything random follows from it")->capture_default_str();
  command.add_option("--isa", isa,
                     "instruction set of the kernels: portable, avx2, avx512, avx512bf16, neon, or "
                     "ref (slow); default: R1_ISA, or the best this machine has");
  command.add_flag("--json", json, "results as JSON on the standard output");
}

OpenModel open_model(const std::string& name, DType dtype, Model::Use use, Ops& ops) {
  ModelFiles files = open_model_files(resolve_model(name));
  Tokenizer tokenizer = parse_tokenizer(files.tokenizer, files.tokenizer_where());
  Model model = Model::load(files.config, files.tensors, ops, dtype, use);
  files.tensors.reset();  // the model has what it needs of them
  return {std::move(files), std::move(tokenizer), std::move(model)};
}

void add_sampling(CLI::App& c, SamplingParams& s) {
  c.add_option("--temperature", s.temperature, "0 takes the most likely token")
      ->capture_default_str();
  c.add_option("--top-k", s.top_k, "keep the k most likely tokens; 0: all")->capture_default_str();
  c.add_option("--top-p", s.top_p, "keep the likeliest tokens that together reach this")
      ->capture_default_str();
  c.add_option("--min-p", s.min_p, "keep tokens this fraction as likely as the likeliest")
      ->capture_default_str();
}

DType parse_dtype_option(const std::string& name) {
  if (name == "f32") return DType::kF32;
  if (name == "bf16") return DType::kBF16;
  throw InputError("--dtype " + name + ": expected f32 or bf16");
}

}  // namespace r1
