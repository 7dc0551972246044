// The cache's types: what they make of a number, and that attention over a cache of any type is
// attention in float32 over what it reads as, bit for bit.
#include "backend/kv_vector.h"

#include "backend/backend.h"
#include "backend/conformance.h"

namespace r1 {
namespace {

constexpr KvType kTypes[] = {KvType::kF32, KvType::kBF16, KvType::kI8};

// A layer's `pages` pages, all zeros.
class Cache {
 public:
  Cache(KvLayer shape, int64_t pages)
      : layer(shape), memory_(static_cast<size_t>(pages * shape.page_bytes())) {
    layer.k = memory_.data();
    layer.v = layer.k_page(pages, 0);
  }
  KvLayer layer;

 private:
  Buffer memory_;
};

// What a key and a value read as, written and then copied to another page.
std::vector<float> through(KvType type, const std::vector<float>& x) {
  const auto dim = static_cast<int64_t>(x.size());
  const Cache cache({nullptr, nullptr, 2, dim, dim, false, type}, 3);
  const KvLayer& kv = cache.layer;
  std::vector<float> key(x.size()), value(x.size());
  kv_key(kv, 1, 1, 5).write(x.data());
  kv_value(kv, 1, 1, 5).write(x.data());
  kv_key(kv, 2, 0, 7).copy(kv_key(kv, 1, 1, 5));
  kv_value(kv, 2, 0, 7).copy(kv_value(kv, 1, 1, 5));
  kv_key(kv, 2, 0, 7).read(key.data());
  kv_value(kv, 2, 0, 7).read(value.data());
  EXPECT_EQ(std::memcmp(key.data(), value.data(), x.size() * sizeof(float)), 0);
  return key;
}

TEST(KvVector, Float32KeepsItsBits) {
  const std::vector<float> x = {0.1f, -3.0f, 1e-40f, 3e38f};
  EXPECT_EQ(through(KvType::kF32, x), x);
}

TEST(KvVector, Bf16RoundsToNearestEven) {
  EXPECT_EQ(through(KvType::kBF16, {1 + 0x1p-8f, 1 + 0x1.8p-7f, 1 + 0x1.2p-8f, -0x1.01p-90f, 3.0f}),
            (std::vector<float>{1.0f, 1 + 0x1p-6f, 1 + 0x1p-7f, -0x1p-90f, 3.0f}));
}

TEST(KvVector, Int8IsWholeNumbersTimesTheLargestOver127) {
  EXPECT_EQ(through(KvType::kI8, {-254, 5, 3, 1, 1.1f, 0}),
            (std::vector<float>{-254, 4, 4, 0, 2, 0}));  // halves to even
  EXPECT_EQ(through(KvType::kI8, {1e-31f, -1e-31f, 0}), (std::vector<float>{0, 0, 0}));
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {infinity, -infinity, infinity - infinity}) {
    for (const float x : through(KvType::kI8, {1, bad, 2})) EXPECT_TRUE(std::isnan(x));
  }
}

TEST(KvVector, PagesTakeWhatTheirTypeNeeds) {
  const auto bytes = [](KvType type, bool latent) {
    return KvLayer{nullptr, nullptr, 2, 64, 48, latent, type}.page_bytes();
  };
  EXPECT_EQ(bytes(KvType::kF32, false), 2 * 16 * (64 + 48) * 4);
  EXPECT_EQ(bytes(KvType::kBF16, false), 2 * 16 * (64 + 48) * 2);
  EXPECT_EQ(bytes(KvType::kI8, false), 2 * 16 * (64 + 4 + 48 + 4));
  EXPECT_EQ(bytes(KvType::kI8, true), 2 * 16 * (64 + 4));
}

// What attention over a cache and its backward give.
std::vector<Output> attend(Ops& ops, const KvLayer& kv, int64_t group, const Sequence& seq,
                           int64_t pages) {
  Rng rng(3);
  const int64_t rows = seq.count, heads = kv.kv_heads * group;
  const Matrix q = Matrix::random(rng, rows, heads * kv.key_dim);
  const Matrix dout = Matrix::random(rng, rows, heads * kv.value_dim);
  Matrix out(rows, heads * kv.value_dim), dq(rows, heads * kv.key_dim);
  Matrix dk(rows, kv.kv_heads * kv.key_dim);
  Matrix dv(rows, kv.latent ? 0 : kv.kv_heads * kv.value_dim);
  std::vector<float> lse(static_cast<size_t>(rows * heads));
  KvLayer shape = kv;
  shape.type = KvType::kF32;
  const Cache gradients(shape, pages);
  ops.attention(q, {&seq, 1}, kv, 0.3f, out, lse.data());
  ops.attention_backward(dout, q, out, lse.data(), {&seq, 1}, kv, 0.3f, dq, gradients.layer);
  ops.kv_append_backward(gradients.layer, {&seq, 1}, dk, dv);
  return {{"out", out.values()},
          {"lse", widen(lse)},
          {"dq", dq.values()},
          {"dk", dk.values()},
          {"dv", dv.values()}};
}

void expect_attention_over_what_it_reads_as(Ops& ops, KvLayer shape, int64_t group) {
  constexpr int64_t kRows = 84, kPages = 6;
  const std::vector<int32_t> table = {3, 0, 5, 1, 4, 2};
  const Sequence prompt{.count = kRows, .pages = table.data()};
  const Sequence decoding{.count = 1, .position = kRows - 1, .pages = table.data()};
  const int64_t value_width = shape.latent ? 0 : shape.kv_heads * shape.value_dim;
  const Cache cache(shape, kPages);
  const bool exact = shape.type == KvType::kF32;
  shape.type = KvType::kF32;
  const Cache floats(shape, kPages);

  Rng rng(4);
  const Matrix k = Matrix::random(rng, kRows, shape.kv_heads * shape.key_dim);
  const Matrix v = Matrix::random(rng, kRows, value_width);
  Matrix read_k(kRows, shape.kv_heads * shape.key_dim), read_v(kRows, value_width);
  ops.kv_append(k, v, {&prompt, 1}, cache.layer);
  ops.kv_append_backward(cache.layer, {&prompt, 1}, read_k, read_v);
  EXPECT_EQ(bit_mismatches({{"k", k.values()}}, {{"k", read_k.values()}}) == 0, exact);
  ops.kv_append(read_k, read_v, {&prompt, 1}, floats.layer);
  for (const Sequence& seq : {prompt, decoding}) {
    EXPECT_EQ(bit_mismatches(attend(ops, floats.layer, group, seq, kPages),
                             attend(ops, cache.layer, group, seq, kPages)),
              0);
  }
}

TEST(KvCacheTypes, AttentionIsThatOverWhatTheCacheReadsAs) {
  ThreadPool pool(2);
  for (const BackendChoice& choice : available_backends()) {
    const auto ops = make_ops(pool, choice.backend == "ref" ? "ref" : choice.isa);
    ASSERT_EQ(ops->name(), choice.backend);
    for (const KvType type : kTypes) {
      SCOPED_TRACE(choice.isa + ", type " + std::to_string(static_cast<int>(type)));
      const auto check = [&](int64_t heads, int64_t group, int64_t dim, int64_t value,
                             bool latent) {
        expect_attention_over_what_it_reads_as(
            *ops, {nullptr, nullptr, heads, dim, value, latent, type}, group);
      };
      check(2, 7, 64, 64, false);
      check(1, 5, 150, 133, false);
      check(1, 37, 90, 81, true);
    }
  }
}

}  // namespace
}  // namespace r1
