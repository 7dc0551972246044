// r1 convert: models from one kind of file to another.
#include "package/convert.h"

#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "console.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  std::string source, destination, dtype, shard_size = "5GB";
  bool force = false;
};

// "5GB", "500MB": thousands, as transformers counts them.
uint64_t parse_size(const std::string& text) {
  double number = 0;
  char unit[3] = {};
  int used = 0;
  const int read = std::sscanf(text.c_str(), "%lf%2[A-Za-z]%n", &number, unit, &used);
  const std::string name = unit;
  const double scale = name == "KB" ? 1e3 : name == "MB" ? 1e6 : name == "GB" ? 1e9 : 0;
  if (read != 2 || static_cast<size_t>(used) != text.size() || scale == 0 || !(number > 0) ||
      number * scale > 1e15) {
    throw InputError("--shard-size " + text + ": expected a size like 5GB, 500MB or 64KB");
  }
  return static_cast<uint64_t>(number * scale);
}

void convert(const Options& o) {
  ConvertOptions options;
  if (!o.dtype.empty()) options.dtype = quantizable_dtype(o.dtype);
  options.shard_bytes = parse_size(o.shard_size);
  options.overwrite = o.force;
  ThreadPool pool(o.common.threads);
  ProgressLine line;
  const Conversion result = convert_model(
      resolve_model(o.source), o.destination, options, pool,
      [&](double done) { line.show(done, std::to_string(std::lround(100 * done)) + "%", false); });
  line.clear();
  for (const std::string& warning : result.warnings) say("warning: %s\n", warning.c_str());
  say("%s: %lld tensors, %.1f MB\n", o.destination.c_str(), static_cast<long long>(result.tensors),
      static_cast<double>(result.bytes) / 1e6);
  if (!o.common.json) return;
  const OrderedJson facts = {{"destination", o.destination},
                             {"tensors", result.tensors},
                             {"bytes", result.bytes},
                             {"warnings", result.warnings}};
  std::printf("%s\n", facts.dump().c_str());
}

}  // namespace

void add_convert(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c =
      app.add_subcommand("convert", "between Hugging Face folders and GGUF files; quantization");
  c->footer(
      "  r1 convert MODEL model-q8.gguf --dtype q8_0\n"
      "  r1 convert model.gguf folder --dtype bf16 --shard-size 2GB");
  c->add_option("SRC", o->source, kModelHelp)->required();
  c->add_option("DST", o->destination, "NAME.gguf, or a folder")->required();
  c->add_option("--dtype", o->dtype,
                "of the matrices: " + quantizable_names() +
                    "; a folder: f32, f16, bf16; default: as they are");
  c->add_option("--shard-size", o->shard_size, "a folder's files are split above this size")
      ->capture_default_str();
  c->add_flag("--force", o->force, "replace a model that is there");
  o->common.add_to(*c);
  c->callback([o] { convert(*o); });
}

}  // namespace r1
