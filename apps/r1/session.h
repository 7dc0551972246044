// What every sub-command shares: the options that work everywhere, the machine, open models.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "engine/engine.h"
#include "model/model.h"
#include "model/sampling.h"
#include "package/model_chat.h"
#include "package/model_files.h"

namespace r1 {

// --threads, --seed, --isa, --json.
struct CommonOptions {
  int threads = 0;
  uint64_t seed = 1;
  std::string isa;
  bool json = false;

  void add_to(CLI::App& command);
};

// The threads and the kernels of one command.
class Machine {
 public:
  explicit Machine(const CommonOptions& options)
      : pool_(options.threads), ops_(make_ops(pool_, options.isa)) {}
  Ops& ops() { return *ops_; }

 private:
  ThreadPool pool_;
  std::unique_ptr<Ops> ops_;
};

struct OpenModel {
  ModelFiles files;
  Tokenizer tokenizer;
  Model model;
  std::optional<ChatFormat> chat;
  GenerationDefaults defaults;
};

// How a model's weights and its cache are held for inference: --dtype, --repack, --kv-cache-dtype.
struct WeightOptions {
  std::string dtype = "auto", kv_cache_dtype = "f32";
  bool repack = false;

  void add_to(CLI::App& command);
  // InputError for an unknown one; nothing for "auto": the files' own types, in place.
  std::optional<DType> type() const;
};

void add_kv_cache_dtype(CLI::App& command, std::string& dtype);

// A type's name as options have it: "q4_k".
std::string lower_dtype(DType dtype);
// The types that weights can be written in, for --help, and the one of a name; InputError for
// another.
std::string quantizable_names();
DType quantizable_dtype(const std::string& name);

// `name` as resolve_model takes it.
OpenModel open_model(const std::string& name, const WeightOptions& weights, Ops& ops);

// What CLI11 shows for every MODEL argument.
inline constexpr const char* kModelHelp =
    "a Hugging Face folder, a GGUF file, a run folder, or a name in the Hugging Face cache; none "
    "means the shipped model";

// --temperature, --top-k, --top-p, --min-p: each, where it is given, in the place of the model's
// own (package/model_chat.h).
struct SamplingOptions {
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;

  // `otherwise`: what holds where an option is not given.
  void add_to(CLI::App& command, const std::string& otherwise = "the model's own");
  SamplingParams over(SamplingParams model) const;
};

// --think, --waits: ThinkingBudget (engine/engine.h).
void add_thinking(CLI::App& command, ThinkingBudget& budget);

// Adds one sub-command. Its callback returns nothing; errors are exceptions (main.cc).
void add_bench(CLI::App& app);
void add_chat(CLI::App& app);
void add_convert(CLI::App& app);
void add_demo(CLI::App& app);
void add_eval(CLI::App& app);
void add_generate(CLI::App& app);
void add_info(CLI::App& app);
void add_report(CLI::App& app);
void add_run(CLI::App& app);
void add_score(CLI::App& app);
void add_task(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_verify(CLI::App& app);

}  // namespace r1
