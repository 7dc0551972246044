#include "bench/memory_bench.h"

#include <algorithm>

#include "base/resident.h"
#include "bench/estimate.h"
#include "bench/model_bench.h"
#include "bench/shapes.h"
#include "engine/engine.h"
#include "train/trainer.h"

namespace r1 {
namespace {

// The growth of resident memory from here on.
class Growth {
 public:
  Growth() : before_((reset_peak_resident_bytes(), peak_resident_bytes())) {}
  double peak() const { return static_cast<double>(peak_resident_bytes() - before_); }

 private:
  int64_t before_;
};

MemoryTable table_of(std::string title, const std::vector<MemoryPart>& parts,
                     const std::vector<std::optional<double>>& held, double resident) {
  R1_CHECK(parts.size() == held.size());
  MemoryTable table{.title = std::move(title), .rows = {}, .demanded = 0, .resident = resident};
  for (size_t i = 0; i < parts.size(); ++i) {
    table.rows.push_back({parts[i].name, parts[i].bytes, held[i]});
    table.demanded += parts[i].bytes;
  }
  return table;
}

}  // namespace

MemoryTable inference_table(const ModelConfig& config, std::shared_ptr<const TensorSource> files,
                            DType dtype, Ops& ops, int64_t context) {
  const Growth growth;
  if (!files) files = random_files(config, dtype);
  const Model model = Model::load(config, files, ops, std::nullopt, Model::Use::kInference);
  EngineOptions options;
  options.max_sequences = 1;
  options.max_context = context;
  options.kv_pages = pages_for(context) + 1;  // a completion copies the prompt's last page
  Engine engine(model, ops, options);
  Request request;
  request.prompt = any_tokens(0, context - 1, config.vocab_size);
  request.max_new_tokens = 1;
  engine.generate({&request, 1});
  const double weights = static_cast<double>(model.mapped_bytes() + model.weight_bytes());
  return table_of("opened in place, a context of " + std::to_string(context) + " tokens",
                  inference_memory(config, dtype, context),
                  {weights, static_cast<double>(engine.kv_cache_bytes())}, growth.peak());
}

MemoryTable training_table(const ModelConfig& config, DType dtype, Ops& ops, int64_t tokens,
                           int64_t length, bool recompute) {
  const Growth growth;
  Model model = Model::create(config, 1, ops, dtype);
  Trainer trainer(model, ops, {}, recompute);
  const SequenceBatch batch = any_sequences(tokens, length, config.vocab_size);
  const std::vector<float> dlogprob(batch.targets().size(), -1.0f / static_cast<float>(tokens));
  for (int step = 0; step < 2; ++step) {  // the second is when arenas have found their size
    trainer.accumulate(batch, {}, dlogprob);
    trainer.apply(1e-5);
  }
  const TrainerMemory m = trainer.memory();
  return table_of("training, " + std::to_string(tokens) + " tokens in sequences of " +
                      std::to_string(length) + (recompute ? ", recomputing" : ""),
                  training_memory(config, dtype, tokens, recompute),
                  {static_cast<double>(model.weight_bytes()), static_cast<double>(m.gradients),
                   static_cast<double>(m.moments), static_cast<double>(m.activations),
                   static_cast<double>(m.keys_values), static_cast<double>(m.hidden), std::nullopt},
                  growth.peak());
}

}  // namespace r1
