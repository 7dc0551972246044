// The numerics contract for models opened in place, in every type that files hold weights in:
// scoring, chunked prefill and decoding give the same bits over the whole vocabulary, whatever the
// batch, the threads and (but for bf16's own instructions) the instruction set; and the bits of the
// packed weights of the same type.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backend/backend.h"
#include "base/rng.h"
#include "contract.h"
#include "engine/engine.h"
#include "model/scorer.h"
#include "model/token_scores.h"
#include "tensor/quant.h"

namespace r1 {
namespace {

// Widths that are whole blocks of every format.
ModelConfig small(const std::string& architecture) {
  ModelConfig c;
  c.architecture = architecture;
  c.hidden_size = 256;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 8;
  c.num_key_value_heads = 2;
  c.head_dim = 32;
  c.intermediate_size = 512;
  c.vocab_size = 101;
  c.max_position_embeddings = 256;
  c.tie_word_embeddings = architecture != "Qwen2ForCausalLM";
  c.attention_bias = architecture == "Qwen2ForCausalLM";
  c.qk_norm = architecture == "Qwen3ForCausalLM";
  return c;
}

// A model's files in memory: matrices in one type, vectors in float32.
class MemoryFiles : public TensorSource {
 public:
  MemoryFiles(const ModelConfig& config, DType dtype) {
    uint64_t stream = 0;
    for (const ParameterSpec& p : parameter_specs(config)) {
      for (const auto& part : p.parts) {
        Rng rng(7, stream++);
        const int64_t count = part.rows * p.cols;
        std::vector<float> values(static_cast<size_t>(count));
        for (float& v : values) v = static_cast<float>((p.vector ? 1 : 0) + 0.1 * rng.normal());
        add(part.name, p.vector ? DType::kF32 : dtype, values,
            p.vector ? std::vector<int64_t>{part.rows} : std::vector<int64_t>{part.rows, p.cols});
      }
    }
  }

  const std::string& where() const override { return where_; }
  const TensorInfo* find(std::string_view name) const override {
    for (const TensorInfo& t : tensors_) {
      if (t.name == name) return &t;
    }
    return nullptr;
  }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }

 private:
  void add(const std::string& name, DType dtype, std::vector<float>& values,
           const std::vector<int64_t>& shape) {
    const auto count = static_cast<int64_t>(values.size());
    if (dtype == DType::kF8E4M3) {  // random bits, and scales for them
      std::string bits;
      for (const float v : values) {
        const auto magnitude = std::abs(std::lround(v * 1000)) % 0x7f;  // 0x7f is NaN
        bits += static_cast<char>(magnitude | (v < 0 ? 0x80 : 0));
      }
      store(name, dtype, shape, bits);
      const int64_t n = (shape[0] + 127) / 128, k = (shape[1] + 127) / 128;
      std::vector<float> scales(static_cast<size_t>(n * k));
      for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.1f / static_cast<float>(i + 1);
      store(name + "_scale_inv", DType::kF32, {n, k},
            {reinterpret_cast<const char*>(scales.data()), scales.size() * sizeof(float)});
      return;
    }
    std::string bytes(dtype_bytes(dtype, count), '\0');
    quantize(dtype, values.data(), count, reinterpret_cast<std::byte*>(bytes.data()));
    store(name, dtype, shape, bytes);
  }
  void store(const std::string& name, DType dtype, const std::vector<int64_t>& shape,
             const std::string& bytes) {
    memory_.emplace_back(bytes.begin(), bytes.end());
    tensors_.push_back({name, dtype, shape, std::as_bytes(std::span(memory_.back()))});
  }

  std::string where_ = "memory";
  std::vector<std::vector<char>> memory_;
  std::vector<TensorInfo> tensors_;
};

Model open(const ModelConfig& config, DType type, Ops& ops, std::optional<DType> packed = {}) {
  return Model::load(config, std::make_shared<MemoryFiles>(config, type), ops, packed,
                     Model::Use::kInference);
}

// Far enough from uniform that a wrong weight shows.
bool varied(const std::vector<float>& logits) {
  float low = logits[0], high = logits[0];
  for (const float x : logits) {
    if (!std::isfinite(x)) return false;
    low = std::min(low, x);
    high = std::max(high, x);
  }
  return high - low > 1;
}

struct MappedCase {
  std::string architecture;
  DType type;
};

class ContractMapped : public testing::TestWithParam<MappedCase> {};

TEST_P(ContractMapped, AnyChunkingThreadsAndInstructionSetGiveTheSameLogits) {
  const auto& [architecture, type] = GetParam();
  const auto ids = random_tokens(1, 50, 101);
  std::vector<float> first;
  for (const BackendChoice& choice : available_backends()) {
    if (choice.backend == "ref") continue;
    if (type == DType::kBF16 && choice.isa == "avx512bf16") first.clear();
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(choice.isa + ", threads " + std::to_string(threads));
      ThreadPool pool(threads);
      const auto ops = make_ops(pool, choice.isa);
      const Model model = open(small(architecture), type, *ops);
      ASSERT_GT(model.mapped_bytes(), 100000);
      ASSERT_LT(model.weight_bytes(), 20000);
      const auto logits = all_logits(model, *ops, ids, {50}, 0);
      if (first.empty()) first = logits;
      ASSERT_TRUE(varied(first));
      EXPECT_TRUE(same_bits(first, logits));
      EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {1}, 0)));
      EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {1}, 5)));
      EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {7, 2, 16, 3}, 1)));
    }
  }
}

TEST_P(ContractMapped, RepackedWeightsGiveTheSameLogits) {
  const auto& [architecture, type] = GetParam();
  const auto ids = random_tokens(1, 50, 101);
  ThreadPool pool(2);
  const auto ops = make_ops(pool);
  Model model = open(small(architecture), type, *ops);
  const auto in_place = all_logits(model, *ops, ids, {50}, 0);
  const int64_t bytes = model.weight_bytes();
  model.repack_mapped(*ops);
  const bool copied = type != DType::kF16 && type != DType::kF8E4M3;  // those stay in place
  EXPECT_EQ(copied, model.weight_bytes() > bytes);
  EXPECT_TRUE(same_bits(in_place, all_logits(model, *ops, ids, {50}, 0)));
  EXPECT_TRUE(same_bits(in_place, all_logits(model, *ops, ids, {7, 2, 16, 3}, 1)));
}

// The engine's log-probabilities are those of scoring.
TEST_P(ContractMapped, SampledLogProbabilitiesAreScored) {
  ThreadPool pool(2);
  const auto ops = make_ops(pool);
  const Model model = open(small(GetParam().architecture), GetParam().type, *ops);
  Request r;
  r.prompt = random_tokens(3, 21, 101);
  r.n = 3;
  r.max_new_tokens = 20;
  EngineOptions options;
  options.max_batch_tokens = 10;
  options.prefill_chunk = 6;
  Engine engine(model, *ops, options);
  const auto groups = engine.generate({&r, 1});
  for (const Completion& c : groups[0]) {
    std::vector<int32_t> ids = r.prompt;
    ids.insert(ids.end(), c.ids.begin(), c.ids.end());
    const std::vector<float> scored = Scorer(model, *ops).score(ids);
    EXPECT_TRUE(
        same_bits({scored.end() - static_cast<int64_t>(c.ids.size()), scored.end()}, c.logprobs));
  }
}

std::vector<MappedCase> mapped_cases() {
  std::vector<MappedCase> cases;
  for (const DType type :
       {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E4M3, DType::kQ8_0, DType::kQ4_0,
        DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    cases.push_back({"Qwen2ForCausalLM", type});
    cases.push_back({"Qwen3ForCausalLM", type});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, ContractMapped, testing::ValuesIn(mapped_cases()), [](const auto& p) {
  return p.param.architecture.substr(0, 5) + "_" + std::string(dtype_name(p.param.type));
});

// A file's values do not change when they are packed; float16 and float8 are exact in float32.
TEST(ContractMapped, PackedWeightsGiveTheSameLogits) {
  ThreadPool pool(2);
  const auto ids = random_tokens(2, 30, 101);
  for (const BackendChoice& choice : available_backends()) {
    if (choice.backend == "ref") continue;
    const auto ops = make_ops(pool, choice.isa);
    for (const DType type : {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E4M3}) {
      const ModelConfig config = small("Qwen2ForCausalLM");
      const DType packed = type == DType::kBF16 ? DType::kBF16 : DType::kF32;
      EXPECT_TRUE(same_bits(all_logits(open(config, type, *ops), *ops, ids, {30}, 0),
                            all_logits(open(config, type, *ops, packed), *ops, ids, {30}, 0)))
          << choice.isa << " " << dtype_name(type);
    }
  }
}

}  // namespace
}  // namespace r1
