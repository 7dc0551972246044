#include "bench/model_bench.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "model/decoder.h"
#include "model/token_scores.h"

namespace r1 {
namespace {

class Runner {
 public:
  Runner(const Model& model, Ops& ops, int64_t positions)
      : model_(model),
        ops_(ops),
        kv_(model.config(), model.config().num_hidden_layers, pages_for(positions)),
        pages_(static_cast<size_t>(pages_for(positions))),
        hidden_(Buffer::of_floats(model.config().hidden_size)),
        logits_(Buffer::of_floats(model.config().vocab_size)) {
    std::iota(pages_.begin(), pages_.end(), 0);
  }

  // Seconds of `count` tokens at `position`, and of the last one's logits.
  double run(int64_t position, int64_t count) {
    const ModelConfig& c = model_.config();
    Batch batch;
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) {
      ids.push_back(static_cast<int32_t>((position + i) * 7919 % c.vocab_size));
    }
    batch.add(ids, position, pages_.data(), 0);
    batch.outputs = {static_cast<int32_t>(count - 1)};
    const auto start = std::chrono::steady_clock::now();
    const Tensor hidden(hidden_.floats(), 1, c.hidden_size);
    forward(model_, batch, kv_, ops_, memory_, hidden);
    compute_logits(model_, hidden, ops_, {logits_.floats(), 1, c.vocab_size});
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  const Model& model_;
  Ops& ops_;
  KvCache kv_;
  std::vector<int32_t> pages_;
  Buffer hidden_, logits_;
  Activations memory_{Activations::Keep::kNothing};
};

}  // namespace

ModelTimes time_model(const Model& model, Ops& ops, const Roof& roof, DType dtype, int64_t prefill,
                      int64_t decode) {
  const ModelConfig& c = model.config();
  Runner runner(model, ops, std::max(prefill, decode) + 1);
  ModelTimes times;
  if (prefill > 0) {
    times.prefill = std::min({runner.run(0, prefill), runner.run(0, prefill)});
    const double tokens = static_cast<double>(prefill);
    const double head = 2 * static_cast<double>(c.vocab_size * c.hidden_size);
    const double flops = tokens * c.forward_flops(tokens / 2) - (tokens - 1) * head;
    times.prefill_limit = flops / roof.peak(dtype);
  }
  if (decode > 0) {
    runner.run(0, 1);
    std::vector<double> seconds;
    for (int64_t i = 1; i <= decode; ++i) seconds.push_back(runner.run(i, 1));
    std::nth_element(seconds.begin(), seconds.begin() + decode / 2, seconds.end());
    times.decode = seconds[static_cast<size_t>(decode / 2)];
    times.decode_limit = static_cast<double>(model.token_bytes()) / roof.read;
  }
  return times;
}

}  // namespace r1
