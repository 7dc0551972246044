// Encoding and decoding speed on one core, over a file of text.
//
//   tokenizer_bench TOKENIZER_JSON TEXT_FILE [Google Benchmark's options]

#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "text/tokenizer.h"

namespace r1 {
namespace {

void set_bytes(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 3) throw InputError("usage: tokenizer_bench TOKENIZER_JSON TEXT_FILE");
  const Tokenizer tokenizer = Tokenizer::load(argv[1]);
  const std::string text = read_file(argv[2]);
  const std::vector<int> ids = tokenizer.encode(text);
  if (tokenizer.encode(tokenizer.decode(ids)) != ids) {
    throw InputError(std::string(argv[2]) + ": the text does not survive encoding and decoding");
  }
  benchmark::RegisterBenchmark("load", [&](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(argv[1]));
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("encode", [&](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(text));
    set_bytes(state, text);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("decode", [&](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids));
    set_bytes(state, text);
  })->Unit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace r1

int main(int argc, char** argv) {
  try {
    return r1::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "tokenizer_bench: %s\n", e.what());
    return 2;
  }
}
