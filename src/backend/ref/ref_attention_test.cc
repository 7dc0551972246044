// Attention's gradient against finite differences, in double, through pages of a prompt that two
// completions share: append, copy, attend, and back.
#include "backend/ref/ref_attention.h"

#include <gtest/gtest.h>

#include "backend/ref/gradient_check.h"

namespace r1::ref {
namespace {

using Matrix = BasicTensor<double>;
using ConstMatrix = BasicTensor<const double>;
using Doubles = std::vector<double>;

constexpr int64_t kKvHeads = 2, kGroup = 2, kHeads = kKvHeads * kGroup, kDim = 3, kValueDim = 2;
constexpr int64_t kPrompt = 18, kFirst = 2, kSecond = 3, kRows = kPrompt + kFirst + kSecond;
constexpr int64_t kPages = 6, kSlots = kPages * kPageSize;
constexpr double kScale = 0.6;

// The prompt fills page 3 and two slots of page 1; the completions branch off into pages 5 and 0.
struct SharedPrompt {
  std::vector<int32_t> prompt_pages = {3, 1}, first_pages = {3, 5}, second_pages = {3, 0};
  std::vector<Sequence> seqs = {
      {.row = 0, .count = kPrompt, .position = 0, .pages = prompt_pages.data()},
      {.row = kPrompt, .count = kFirst, .position = kPrompt, .pages = first_pages.data()},
      {.row = kPrompt + kFirst,
       .count = kSecond,
       .position = kPrompt,
       .pages = second_pages.data()}};
  std::vector<PageCopy> copies = {{.from = 1, .to = 5, .slots = kPrompt - kPageSize},
                                  {.from = 1, .to = 0, .slots = kPrompt - kPageSize}};
};

struct Pages {
  Doubles k = Doubles(kSlots * kKvHeads * kDim), v = Doubles(kSlots * kKvHeads * kValueDim);
  bool latent = false;  // values are the first elements of the keys
  KvPages<double> view() {
    return {k.data(), latent ? nullptr : v.data(), kKvHeads, kDim, kValueDim};
  }
};

struct Activations {
  Doubles q, k, v, out = Doubles(kRows * kHeads * kValueDim), lse = Doubles(kRows * kHeads);
  Pages pages;
  ConstMatrix queries() const { return {q.data(), kRows, kHeads * kDim}; }
};

void forward(const SharedPrompt& batch, Activations& a) {
  kv_append<double>(ConstMatrix(a.k.data(), kRows, kKvHeads * kDim),
                    ConstMatrix(a.v.data(), kRows, kKvHeads * kValueDim), batch.seqs,
                    a.pages.view());
  kv_copy<double>(batch.copies, a.pages.view());
  attention<double>(a.queries(), batch.seqs, a.pages.view(), kScale,
                    Matrix(a.out.data(), kRows, kHeads * kValueDim), a.lse.data());
}

Activations random_activations() {
  Rng rng(7);
  Activations a;
  a.q = random_doubles(rng, kRows * kHeads * kDim);
  a.k = random_doubles(rng, kRows * kKvHeads * kDim);
  a.v = random_doubles(rng, kRows * kKvHeads * kValueDim);
  return a;
}

TEST(RefAttention, Gradients) {
  for (const bool latent : {false, true}) {
    const SharedPrompt batch;
    Activations a = random_activations();
    a.pages.latent = latent;
    Rng rng(8);
    const Doubles dout = random_doubles(rng, kRows * kHeads * kValueDim);
    const auto loss = [&] {
      forward(batch, a);
      return dot(a.out, dout);
    };
    loss();
    Doubles dq(a.q.size()), dk(a.k.size()), dv(a.v.size());
    Pages gradients;
    gradients.latent = latent;
    attention_backward<double>(ConstMatrix(dout.data(), kRows, kHeads * kValueDim), a.queries(),
                               ConstMatrix(a.out.data(), kRows, kHeads * kValueDim), a.lse.data(),
                               batch.seqs, a.pages.view(), kScale,
                               Matrix(dq.data(), kRows, kHeads * kDim), gradients.view());
    kv_copy_backward<double>(batch.copies, gradients.view());
    kv_append_backward<double>(gradients.view(), batch.seqs,
                               Matrix(dk.data(), kRows, kKvHeads * kDim),
                               Matrix(dv.data(), kRows, kKvHeads * kValueDim));
    expect_gradient("dq", a.q, dq, loss);
    expect_gradient("dk", a.k, dk, loss);
    if (!latent) expect_gradient("dv", a.v, dv, loss);
  }
}

// The second completion alone, with the prompt's rows in pages of its own, gives the same outputs.
TEST(RefAttention, SharedPagesMeanTheSameAsOwnPages) {
  const SharedPrompt batch;
  Activations shared = random_activations(), own = shared;
  forward(batch, shared);
  const auto move_rows = [](Doubles& x, int64_t cols) {
    x.erase(x.begin() + kPrompt * cols, x.begin() + (kPrompt + kFirst) * cols);
    x.resize(static_cast<size_t>(kRows * cols));
  };
  move_rows(own.q, kHeads * kDim);
  move_rows(own.k, kKvHeads * kDim);
  move_rows(own.v, kKvHeads * kValueDim);
  SharedPrompt alone;
  alone.copies.clear();
  alone.seqs = {{.count = kPrompt + kSecond, .pages = alone.second_pages.data()}};
  forward(alone, own);
  constexpr int64_t kWidth = kHeads * kValueDim;
  for (int64_t i = 0; i < kSecond * kWidth; ++i) {
    EXPECT_EQ(own.out[static_cast<size_t>(kPrompt * kWidth + i)],
              shared.out[static_cast<size_t>((kPrompt + kFirst) * kWidth + i)]);
  }
}

// Keys that are all zero weigh every value alike: the output is a running mean.
TEST(RefAttention, EqualScoresAverage) {
  const SharedPrompt batch;
  Activations a = random_activations();
  std::fill(a.k.begin(), a.k.end(), 0.0);
  forward(batch, a);
  for (int64_t row = 0; row < kPrompt; ++row) {
    double mean = 0;  // of KV head 1's element 1, which query heads 2 and 3 read
    for (int64_t j = 0; j <= row; ++j) {
      mean += a.v[static_cast<size_t>((j * kKvHeads + 1) * kValueDim + 1)] /
              static_cast<double>(row + 1);
    }
    for (int64_t h = 2; h < kHeads; ++h) {
      EXPECT_NEAR(a.out[static_cast<size_t>((row * kHeads + h) * kValueDim + 1)], mean, 1e-13);
      EXPECT_NEAR(a.lse[static_cast<size_t>(row * kHeads + h)],
                  std::log(static_cast<double>(row + 1)), 1e-13);
    }
  }
}

}  // namespace
}  // namespace r1::ref
