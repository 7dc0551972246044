// r1 bench: each op's speed against the machine's limits. It is checked against ref first.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>

#include "backend/ref/ref_ops.h"
#include "base/error.h"
#include "base/resident.h"
#include "bench/model_bench.h"
#include "bench/op_bench.h"
#include "bench/shapes.h"
#include "bench_growth.h"
#include "console.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  std::string op, model, shape, dtype, kv_cache_dtype = "f32";
  std::optional<int64_t> prefill, decode;
  int64_t depth = 0, train = 0, train_length = 512;
  GrpoSize grpo{.prompts_per_step = 0};
  std::vector<int64_t> groups;
  SamplingOptions sampling;  // of the groups
  bool repack = false, quick = false, config = false, estimate = false, memory = false;
  int cores = 0;                   // --estimate's machine
  double peak = 0, bandwidth = 0;  // in 10^9 a second
};

struct Row {
  OpEntry entry;
  OpCheck check;
  OpTime time;
};

std::string time_text(double seconds) {
  char text[32];
  if (seconds >= 1e-2) {
    std::snprintf(text, sizeof text, "%.1f ms", seconds * 1e3);
  } else if (seconds >= 1e-3) {
    std::snprintf(text, sizeof text, "%.2f ms", seconds * 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.1f us", seconds * 1e6);
  }
  return text;
}

std::vector<OpEntry> chosen_entries(const std::string& filter) {
  std::vector<OpEntry> entries = op_entries();
  std::string names;
  for (const OpEntry& e : entries) {
    if (names.find(e.op + ",") == std::string::npos) names += e.op + ", ";
  }
  std::erase_if(entries, [&](const OpEntry& e) { return e.op.find(filter) == std::string::npos; });
  if (entries.empty()) {
    throw InputError("--op " + filter + ": no op has that in its name; there are " +
                     names.substr(0, names.size() - 2));
  }
  return entries;
}

OrderedJson roof_json(const Roof& r) {
  return {{"isa", r.isa},
          {"threads", r.threads},
          {"core_flops_f32", r.core_f32},
          {"flops_f32", r.f32},
          {"core_flops_bf16", r.core_bf16},
          {"flops_bf16", r.bf16},
          {"core_ops_int8", r.core_int8},
          {"ops_int8", r.int8},
          {"read_bytes_per_second", r.read},
          {"copy_bytes_per_second", r.copy},
          {"update_bytes_per_second", r.update}};
}

OrderedJson row_json(const Row& row, const Ops& ops) {
  OrderedJson json = {{"op", row.entry.op},
                      {"dtype", lower_dtype(row.entry.dtype)},
                      {"shape", row.time.shape},
                      {"backend", ops.name()},
                      {"isa", ops.isa()},
                      {"threads", ops.threads()},
                      {"correct", row.check.passed},
                      {"error", row.check.error},
                      {"tolerance", row.entry.tolerance}};
  if (!row.check.passed) return json;
  const OpTime& t = row.time;
  json["seconds"] = t.seconds;
  json["best_seconds"] = t.best_seconds;
  json["flops_per_second"] = t.flops / t.seconds;
  json["bytes_per_second"] = t.bytes / t.seconds;
  json["limit"] = t.compute_bound ? "compute" : "memory";
  json["share"] = t.share;
  return json;
}

void print_roof(const Roof& r) {
  std::printf("Limits of %s on %d thread%s, measured:\n", r.isa.c_str(), r.threads,
              r.threads == 1 ? "" : "s");
  std::printf("  multiply-add, f32   %8.1f GFLOP/s  (%.1f on one thread)\n", r.f32 / 1e9,
              r.core_f32 / 1e9);
  std::printf("  multiply-add, bf16  %8.1f GFLOP/s  (%.1f on one thread)\n", r.bf16 / 1e9,
              r.core_bf16 / 1e9);
  std::printf("  multiply-add, int8  %8.1f GOP/s    (%.1f on one thread)\n", r.int8 / 1e9,
              r.core_int8 / 1e9);
  std::printf("  memory, read        %8.1f GB/s\n", r.read / 1e9);
  std::printf("  memory, copy        %8.1f GB/s\n", r.copy / 1e9);
  std::printf("  memory, in place    %8.1f GB/s\n\n", r.update / 1e9);
  std::printf("%-23s %-5s %-33s %-14s %10s %8s %7s  %-7s %6s\n", "op", "dtype", "shape", "backend",
              "time", "GFLOP/s", "GB/s", "limit", "share");
}

void print_row(const Row& row, const Ops& ops) {
  const OpTime& t = row.time;
  const std::string backend = std::string(ops.name()) + "/" + ops.isa();
  std::printf("%-23s %-5s ", row.entry.op.c_str(), lower_dtype(row.entry.dtype).c_str());
  if (!row.check.passed) {
    std::printf("%-33s %-14s WRONG: differs from ref by %.2g, tolerance %.2g\n", "",
                backend.c_str(), row.check.error, row.entry.tolerance);
    return;
  }
  std::printf("%-33s %-14s %10s %8.1f %7.1f  %-7s %5.1f%%\n", t.shape.c_str(), backend.c_str(),
              time_text(t.seconds).c_str(), t.flops / t.seconds / 1e9, t.bytes / t.seconds / 1e9,
              t.compute_bound ? "compute" : "memory", 100 * t.share);
}

void bench(const Options& o) {
  if (o.estimate || o.memory || o.config || o.repack || o.prefill || o.decode || o.train > 0 ||
      o.grpo.prompts_per_step > 0 || !o.groups.empty() || !o.dtype.empty()) {
    throw InputError("options of a model without one: expected MODEL or --shape");
  }
  const std::vector<OpEntry> entries = chosen_entries(o.op);
  ThreadPool pool(o.common.threads);
  const std::unique_ptr<Ops> ops = make_ops(pool, o.common.isa), ref = make_ref_ops();
  const TimingOptions timing = o.quick ? TimingOptions{0.01, 3} : TimingOptions{};
  ProgressLine progress;
  progress.show(0, "the machine's limits", true);
  ThreadPool ops_pool(ops->threads());  // ref has one thread, whatever the pool has
  const Roof roof = measure_roof(ops_pool, ops->isa(), timing.seconds, timing.repetitions);
  progress.clear();
  if (o.common.json) {
    std::printf("%s\n", OrderedJson{{"roof", roof_json(roof)}}.dump().c_str());
  } else {
    print_roof(roof);
  }
  size_t wrong = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    progress.show(static_cast<double>(i) / static_cast<double>(entries.size()), entries[i].op,
                  true);
    Row row{entries[i], check_op(entries[i], *ops, *ref), {}};
    if (row.check.passed) {
      row.time = time_op(entries[i], *ops, roof, timing);
    } else {
      ++wrong;
    }
    progress.clear();
    if (o.common.json) {
      std::printf("%s\n", row_json(row, *ops).dump().c_str());
    } else {
      print_row(row, *ops);
    }
    std::fflush(stdout);
  }
  if (wrong > 0) {
    throw JobError(std::to_string(wrong) + " of " + std::to_string(entries.size()) +
                   " ops differ from ref beyond their tolerance");
  }
}

// A test's line, and what it is measured against: limits move on a shared machine, so they are
// taken before and after, and the better ones count.
void print_time(const ModelTime& t, const std::string& name, const Roof& roof, DType dtype,
                bool json) {
  const bool compute = t.flops_seconds(roof, dtype) > t.bytes_seconds(roof);
  std::optional<double> predicted;  // for what is one pass
  if (t.cost.rows > 0) {
    predicted = static_cast<double>(t.tokens) / predict(t.cost, roof, dtype).seconds();
  }
  if (json) {
    OrderedJson row = {{"test", name},
                       {"tokens", t.tokens},
                       {"seconds", t.seconds},
                       {"tokens_per_second", t.rate()},
                       {"flops_per_second", t.flops / t.seconds},
                       {"bytes_per_second", t.bytes / t.seconds},
                       {"limit", compute ? "compute" : "memory"},
                       {"share", t.share(roof, dtype)},
                       {"roof", roof_json(roof)}};
    if (predicted) row["predicted_tokens_per_second"] = *predicted;
    std::printf("%s\n", row.dump().c_str());
  } else {
    std::printf("%-24s %10.1f %10s %8.1f %7.1f  %-7s %6.1f%%  %8.1f %7.1f", name.c_str(), t.rate(),
                time_text(t.seconds).c_str(), t.flops / t.seconds / 1e9, t.bytes / t.seconds / 1e9,
                compute ? "compute" : "memory", 100 * t.share(roof, dtype), roof.peak(dtype) / 1e9,
                roof.read / 1e9);
    if (predicted) std::printf("  %9.1f", *predicted);
    std::printf("\n");
  }
  std::fflush(stdout);
}

// What is timed: a model's files as they stand, or random weights of a shape.
struct Subject {
  std::string name;
  ModelConfig config;
  std::shared_ptr<const TensorSource> files;  // made when it is needed, where a shape is timed
  DType dtype;                                // of most of its weights
};

Subject subject_of(const Options& o) {
  if (!o.shape.empty() && !o.model.empty()) {
    throw InputError("MODEL and --shape: expected one of them");
  }
  if (!o.shape.empty()) {
    const DType dtype = quantizable_dtype(o.dtype.empty() ? "bf16" : o.dtype);
    return {o.shape, shape_config(o.shape), nullptr, dtype};
  }
  if (!o.dtype.empty()) {
    throw InputError("--dtype " + o.dtype +
                     ": a model's weights have their own types; --shape takes one");
  }
  const ModelFiles files = open_model_files(resolve_model(o.model));
  std::map<DType, size_t> bytes;
  for (const TensorInfo& t : files.tensors->tensors()) bytes[t.dtype] += t.bytes.size();
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return {o.model, files.config, files.tensors, most->first};
}

// What a shape's random weights and all that is asked for take must fit: they are written.
void check_fits(const Subject& subject, const Options& o) {
  double bytes = subject.files ? 0 : file_bytes(subject.config, subject.dtype);
  if (o.repack) bytes *= 2;
  if (o.train > 0) {
    double total = 0;
    for (const MemoryPart& p : training_memory(subject.config, subject.dtype, o.train, false)) {
      total += p.bytes;
    }
    bytes = std::max(bytes, total);
  }
  const auto all = static_cast<double>(physical_memory_bytes());
  if (bytes <= all) return;
  char text[160];
  std::snprintf(text, sizeof text, ": takes %.1f GB and the machine has %.1f; see --estimate",
                bytes / 1e9, all / 1e9);
  throw InputError(subject.name + text);
}

void estimate(const Subject& subject, const Options& o) {
  const int cores = ThreadPool(o.common.threads).threads();
  ThreadPool pool(cores);
  const std::unique_ptr<Ops> ops = make_ops(pool, o.common.isa);
  const Roof roof =
      scaled_roof(measure_roof(pool, ops->isa(), 0.02, 5), o.cores > 0 ? o.cores : cores,
                  o.peak * 1e9, o.bandwidth * 1e9, subject.dtype);
  print_estimate(subject.config, subject.dtype,
                 {.prefill = o.prefill.value_or(0),
                  .decode = o.decode.value_or(0),
                  .depth = o.depth,
                  .train = o.train,
                  .train_length = o.train_length,
                  .groups = o.groups},
                 roof, o.common.json);
}

void memory(const Subject& subject, const Options& o) {
  ThreadPool pool(o.common.threads);
  const std::unique_ptr<Ops> ops = make_ops(pool, o.common.isa);
  const int64_t context = std::max<int64_t>(2, o.depth + o.decode.value_or(0));
  print_memory(inference_table(subject.config, subject.files, subject.dtype, *ops, context),
               o.common.json);
  for (const bool recompute : {false, true}) {
    if (o.train == 0) break;
    print_memory(training_table(subject.config, subject.dtype, *ops, o.train,
                                std::min(o.train_length, o.train), recompute),
                 o.common.json);
  }
}

void bench_model(Options o) {
  Subject subject = subject_of(o);
  ModelConfig& config = subject.config;
  config.kv_cache_dtype = parse_kv_type(o.kv_cache_dtype, "--kv-cache-dtype");
  if (o.config) {
    std::printf("%s\n", model_config_json(config).dump(2).c_str());
    return;
  }
  const DType dtype = subject.dtype;
  const bool trainable = dtype == DType::kF32 || dtype == DType::kBF16;
  const bool trains = o.train > 0 || o.grpo.prompts_per_step > 0;
  if (trains && !trainable) {
    throw InputError((o.train > 0 ? "--train" : "--grpo") +
                     std::string(": models train in f32 or bf16"));
  }
  if (o.groups.empty() && !trains && !o.prefill && !o.decode) o.prefill = 512, o.decode = 32;
  for (const auto& [option, tokens] :
       {std::pair("--prefill", o.prefill.value_or(0)), std::pair("--train-length", o.train_length),
        std::pair("--depth and --decode", o.depth + o.decode.value_or(0) + 1),
        std::pair("--prompt-length and --max-completion-length",
                  o.grpo.prompt_length + o.grpo.max_completion_length)}) {
    if (tokens <= config.max_position_embeddings) continue;
    throw InputError(option + (": a sequence of " + std::to_string(tokens)) + " tokens; " +
                     subject.name + " has " + std::to_string(config.max_position_embeddings) +
                     " positions");
  }
  if (o.estimate) return estimate(subject, o);
  check_fits(subject, o);
  if (o.memory) return memory(subject, o);
  ThreadPool pool(o.common.threads);
  const std::unique_ptr<Ops> ops = make_ops(pool, o.common.isa);
  ThreadPool ops_pool(ops->threads());
  const auto roof_now = [&] { return measure_roof(ops_pool, ops->isa(), 0.02, 5); };
  const auto measure = [&](const std::string& name, const std::function<ModelTime()>& test) {
    const Roof before = roof_now();
    const ModelTime time = test();
    print_time(time, name, best_of(before, roof_now()), dtype, o.common.json);
  };
  if (!o.common.json) {
    std::printf("%s %s%s, %s on %d threads\n", subject.name.c_str(), lower_dtype(dtype).c_str(),
                o.repack ? " repacked" : "", ops->isa(), ops->threads());
    std::printf("%-24s %10s %10s %8s %7s  %-7s %7s  %16s  %9s\n", "test", "tokens/s", "a pass",
                "GFLOP/s", "GB/s", "limit", "share", "limits measured", "predicted");
  }
  const auto name_of = [](const char* what, int64_t count) {
    return std::string(what) + " " + std::to_string(count);
  };
  if (o.prefill.value_or(0) > 0 || o.decode.value_or(0) > 0 || !o.groups.empty()) {
    Model model = Model::load(config, subject.files ? subject.files : random_files(config, dtype),
                              *ops, std::nullopt, Model::Use::kInference);
    if (o.repack) model.repack_mapped(*ops);
    if (const int64_t tokens = o.prefill.value_or(0); tokens > 0) {
      measure(name_of("prefill", tokens), [&] { return time_prefill(model, *ops, tokens); });
    }
    if (const int64_t tokens = o.decode.value_or(0); tokens > 0) {
      measure(name_of("decode at", o.depth),
              [&] { return time_decode(model, *ops, tokens, o.depth); });
    }
    for (const int64_t n : o.groups) {
      measure(name_of("group of", n),
              [&] { return time_group(model, *ops, n, 64, 64, o.sampling.over({})); });
    }
  }
  if (o.train > 0) {
    Model model = Model::create(config, 1, *ops, dtype);
    const int64_t length = std::min(o.train_length, o.train);
    measure(name_of("train", o.train), [&] { return time_training(model, *ops, o.train, length); });
  }
  if (o.grpo.prompts_per_step > 0) {
    ModelConfig endless = config;
    endless.eos_token_ids.clear();
    Model model = Model::create(endless, 1, *ops, dtype);
    const Roof before = roof_now();
    const GrpoTime time = time_grpo(model, *ops, o.grpo);
    const Roof roof = best_of(before, roof_now());
    const std::string name =
        name_of("grpo", o.grpo.prompts_per_step) + " x " + std::to_string(o.grpo.num_generations);
    print_time(time.step, name, roof, dtype, o.common.json);
    print_time(time.sampling, name + " sampling", roof, dtype, o.common.json);
    print_time(time.training, name + " training", roof, dtype, o.common.json);
  }
}

}  // namespace

void add_bench(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("bench", "each op's speed against the machine's limits");
  c->add_option("--op", o->op, "only ops with this in their name");
  c->add_option("MODEL", o->model,
                "time this model as a whole instead: a folder, a GGUF file, a name");
  c->add_option("--shape", o->shape,
                "time a whole model of this shape with random weights instead: " + shape_names());
  c->add_option("--dtype", o->dtype,
                "with --shape: of the matrices (bf16): " + quantizable_names());
  const auto model_option = [&](const std::string& name, auto& value, const std::string& help,
                                int64_t most) {
    return c->add_option(name, value, "of a model: " + help)->check(CLI::Range(int64_t{0}, most));
  };
  model_option("--prefill", o->prefill, "tokens of a prompt read in one batch (512)", 1 << 20);
  model_option("--decode", o->decode, "tokens written one by one (32)", 1 << 20);
  model_option("--depth", o->depth, "tokens that stand before those of --decode", 1 << 20)
      ->capture_default_str();
  c->add_option(
       "--group", o->groups,
       "of a model: completions of one prompt of 64 tokens, sampled together, such as 8,16,32")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  o->sampling.add_to(*c, "of --group: all tokens at temperature 1");
  model_option("--train", o->train, "tokens of an optimizer step", 1 << 20);
  model_option("--train-length", o->train_length, "tokens of each of its sequences", 1 << 20)
      ->capture_default_str();
  model_option("--grpo", o->grpo.prompts_per_step,
               "prompts of a GRPO step: sampling, rewards, one update", 4096);
  const auto grpo_option = [&](const std::string& name, int64_t& value, const std::string& help,
                               int64_t least) {
    c->add_option(name, value, "of --grpo: " + help)
        ->check(CLI::Range(least, int64_t{1} << 16))
        ->capture_default_str();
  };
  grpo_option("--num-generations", o->grpo.num_generations, "completions of each prompt", 2);
  grpo_option("--prompt-length", o->grpo.prompt_length, "tokens of a prompt", 1);
  grpo_option("--max-completion-length", o->grpo.max_completion_length, "tokens of each completion",
              1);
  c->add_flag("--repack", o->repack,
              "of a model: copy the weights into the order that the kernels read them");
  add_kv_cache_dtype(*c, o->kv_cache_dtype);
  c->add_flag("--estimate", o->estimate,
              "of a model: run nothing; predict the times and the memory of the tests asked for");
  const auto machine_option = [&](const std::string& name, auto& value, const std::string& help) {
    return c->add_option(name, value, "of the machine that --estimate predicts for: " + help)
        ->check(CLI::PositiveNumber);
  };
  machine_option("--cores", o->cores, "cores like this one's");
  machine_option("--peak", o->peak, "10^9 operations a second of products in --dtype, all cores");
  machine_option("--bandwidth", o->bandwidth, "10^9 bytes a second of reading memory");
  c->add_flag("--memory", o->memory,
              "of a model: bytes by part, as the shape demands them and as they are held, for a "
              "context of --depth + --decode tokens and for a step of --train");
  c->add_flag("--config", o->config, "of a model: print its config.json and end");
  c->add_flag("--quick", o->quick, "short measurements: seconds instead of a minute");
  o->common.add_to(*c);
  c->footer(
      "  r1 bench --op matmul\n"
      "  r1 bench model.gguf --prefill 4096 --decode 64 --depth 4096\n"
      "  r1 bench --shape r1-distill-qwen-1.5b --dtype q4_0\n"
      "  r1 bench --shape qwen2.5-0.5b --group 8,16,32 --train 2048\n"
      "  r1 bench --shape qwen2.5-0.5b --dtype q8_0 --group 1,16 --temperature 0.6 --top-p 0.95\n"
      "  r1 bench --shape countdown --dtype f32 --grpo 8 --num-generations 32\n"
      "  r1 bench --shape qwen2.5-0.5b --memory --depth 4096 --train 1024\n"
      "  r1 bench --shape deepseek-r1 --dtype q4_k --estimate --cores 64 --bandwidth 400");
  c->callback([o] { o->shape.empty() && o->model.empty() ? bench(*o) : bench_model(*o); });
}

}  // namespace r1
