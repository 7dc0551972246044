// Cases of attention over pages: odd heads, sequences that begin late, prompts shared by several
// completions. Page numbers are shuffled, and slots that no position has filled hold NaN.
#include "backend/conformance.h"
#include "backend/kv_vector.h"

namespace r1 {
namespace {

using Outputs = std::vector<Output>;

struct Heads {
  int64_t kv, group, dim;  // G, H / G, D of keys
  int64_t value_dim = dim;
  bool latent = false;  // values are the first elements of the keys

  int64_t q_cols() const { return kv * group * dim; }
  int64_t out_cols() const { return kv * group * value_dim; }
  int64_t k_cols() const { return kv * dim; }
  int64_t v_cols() const { return latent ? 0 : kv * value_dim; }
};

// A batch's sequences, their pages, and the prompts' last pages to copy.
struct Layout {
  std::vector<Sequence> seqs;
  std::vector<PageCopy> copies;
  std::vector<std::vector<int32_t>> tables;  // the sequences' pages
  std::vector<int64_t> past;                 // positions in the pages before the batch
  int64_t rows = 0, pages = 0;
};

class LayoutBuilder {
 public:
  LayoutBuilder() {
    for (int32_t page = 0; page < kPages; ++page) free_.push_back(page);
    Rng(13).shuffle(free_);
    layout_.pages = kPages;
  }

  // `count` rows that follow `position` rows that the pages already hold.
  void sequence(int64_t position, int64_t count) {
    add({}, position, count, position, next_family_++);
  }

  // A prompt and, after it, `completions` that continue it by `count` rows, one more each time.
  void group(int64_t prompt, int64_t completions, int64_t count) {
    const int32_t family = next_family_++;
    add({}, 0, prompt, 0, family);
    const std::vector<int32_t> prompt_pages = layout_.tables.back();
    for (int64_t i = 0; i < completions; ++i) {
      const auto full = static_cast<size_t>(prompt / kPageSize);
      add({prompt_pages.begin(), prompt_pages.begin() + static_cast<int64_t>(full)}, prompt,
          count + i, 0, family);
      if (prompt % kPageSize != 0) {
        layout_.copies.push_back({.from = prompt_pages[full],
                                  .to = layout_.tables.back()[full],
                                  .slots = static_cast<int32_t>(prompt % kPageSize)});
      }
    }
  }

  Layout finish() {
    for (size_t i = 0; i < layout_.seqs.size(); ++i) {
      layout_.seqs[i].pages = layout_.tables[i].data();
    }
    return std::move(layout_);
  }

 private:
  static constexpr int32_t kPages = 28;

  void add(std::vector<int32_t> pages, int64_t position, int64_t count, int64_t past,
           int32_t family) {
    const auto needed = static_cast<size_t>((position + count + kPageSize - 1) / kPageSize);
    while (pages.size() < needed) {
      pages.push_back(free_.back());
      free_.pop_back();
    }
    layout_.tables.push_back(std::move(pages));
    layout_.seqs.push_back(
        {.row = layout_.rows, .count = count, .position = position, .family = family});
    layout_.past.push_back(past);
    layout_.rows += count;
  }

  Layout layout_;
  std::vector<int32_t> free_;
  int32_t next_family_ = 0;
};

// The parts of the sequences that lie in a chunk of the batch, as sequences.
std::vector<Sequence> sequences_in(const Layout& layout, const RowRange& r) {
  std::vector<Sequence> result;
  for (Sequence s : layout.seqs) {
    const int64_t begin = std::max(s.row, r.begin);
    const int64_t end = std::min(s.row + s.count, r.begin + r.count);
    if (begin >= end) continue;
    s.position += begin - s.row;
    s.row = begin;
    s.count = end - begin;
    result.push_back(s);
  }
  return result;
}

// All bytes are `fill` at first: 0, or 0xff, which is NaN as a float, as bf16 and as a scale.
class Pages {
 public:
  Pages(const Layout& layout, const Heads& h, KvType type, int fill)
      : layer_{nullptr, nullptr, h.kv, h.dim, h.value_dim, h.latent, type}, pages_(layout.pages) {
    memory_ = Buffer(static_cast<size_t>(pages_ * layer_.page_bytes()));
    std::memset(memory_.data(), fill, memory_.bytes());
    layer_.k = memory_.data();
    layer_.v = memory_.data() + pages_ * h.kv * layer_.k_bytes();
  }
  const KvLayer& view() const { return layer_; }

  // All keys, or all values, one after another.
  std::vector<double> keys() const { return values(kv_key, layer_.key_dim); }
  std::vector<double> values() const {
    return layer_.latent ? std::vector<double>() : values(kv_value, layer_.value_dim);
  }

 private:
  std::vector<double> values(KvVector (*vector)(const KvLayer&, int64_t, int64_t, int64_t),
                             int64_t dim) const {
    std::vector<double> all;
    std::vector<float> x(static_cast<size_t>(dim));
    for (int64_t i = 0; i < pages_ * layer_.kv_heads * kPageSize; ++i) {
      const int64_t page = i / kPageSize / layer_.kv_heads, head = i / kPageSize % layer_.kv_heads;
      vector(layer_, page, head, i % kPageSize).read(x.data());
      all.insert(all.end(), x.begin(), x.end());
    }
    return all;
  }

  KvLayer layer_;
  int64_t pages_;
  Buffer memory_;
};

// Inputs and outputs of one batch. q, k and v are slices of one qkv, as in the model.
struct Batch {
  Batch(const Layout& layout, const Heads& h, KvType type, double size)
      : heads(h),
        pages(layout, h, type, 0xff),
        qkv(Matrix::random(rng, layout.rows, h.q_cols() + h.k_cols() + h.v_cols(), size)),
        dout(Matrix::random(rng, layout.rows, h.out_cols())),
        out(layout.rows, h.out_cols()),
        lse(static_cast<size_t>(layout.rows * h.kv * h.group)) {}
  Tensor q() { return Tensor(qkv).slice_cols(0, heads.q_cols()); }
  Tensor k() { return Tensor(qkv).slice_cols(heads.q_cols(), heads.k_cols()); }
  Tensor v() { return Tensor(qkv).slice_cols(heads.q_cols() + heads.k_cols(), heads.v_cols()); }

  Rng rng{14};
  Heads heads;
  Pages pages;
  Matrix qkv, dout, out;
  std::vector<float> lse;
};

float scale_of(const Heads& h) {
  return 1 / std::sqrt(static_cast<float>(h.dim));
}

// Fills what the sequences' pages hold before the batch.
void append_past(Ops& ops, const Layout& layout, Batch& b) {
  for (size_t i = 0; i < layout.seqs.size(); ++i) {
    if (layout.past[i] == 0) continue;
    const Matrix k = Matrix::random(b.rng, layout.past[i], b.heads.k_cols());
    const Matrix v = Matrix::random(b.rng, layout.past[i], b.heads.v_cols());
    const Sequence s{.row = 0, .count = layout.past[i], .pages = layout.seqs[i].pages};
    ops.kv_append(k, v, {&s, 1}, b.pages.view());
  }
}

void forward(Ops& ops, const Layout& layout, const Heads& h, const Chunks& chunks, bool with_lse,
             Batch& b) {
  append_past(ops, layout, b);
  for (const RowRange& r : chunks) {
    const std::vector<Sequence> seqs = sequences_in(layout, r);
    ops.kv_append(b.k(), b.v(), seqs, b.pages.view());
    ops.kv_copy(layout.copies, b.pages.view());
    ops.attention(b.q(), seqs, b.pages.view(), scale_of(h), b.out,
                  with_lse ? b.lse.data() : nullptr);
  }
}

std::string name_of(const char* op, const char* layout, const Heads& h, KvType type) {
  return std::string(op) + " " + layout + " G=" + std::to_string(h.kv) +
         " H/G=" + std::to_string(h.group) + " D=" + std::to_string(h.dim) + "/" +
         std::to_string(h.value_dim) + (h.latent ? " latent" : "") +
         (type == KvType::kBF16 ? " bf16"
          : type == KvType::kI8 ? " int8"
                                : "");
}

using MakeLayout = std::function<Layout()>;

// size: of q and k; 30 makes scores of some thousands, where one key takes all and the rounding of
// a score, 1e-7 of it, is a like relative error of its weight.
Case forward_case(const char* name, const MakeLayout& make, const Heads& h, KvType type,
                  double size) {
  Case c{.name = name_of("attention", name, h, type),
         .rows = make().rows,
         .tolerance = size > 1 ? 1e-3 : 1e-5,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    const Layout layout = make();
    Batch b(layout, h, type, size), without_lse(layout, h, type, size);
    forward(ops, layout, h, chunks, true, b);
    forward(ops, layout, h, chunks, false, without_lse);
    EXPECT_EQ(without_lse.out.values(), b.out.values());
    return Outputs{{"out", b.out.values()}, {"lse", widen(b.lse)}};
  };
  return c;
}

// The forward in one piece, then the backward in chunks: gradients of keys and values add up.
Case backward_case(const char* name, const MakeLayout& make, const Heads& h, KvType type) {
  Case c{.name = name_of("attention_backward", name, h, type),
         .rows = make().rows,
         .tolerance = 3e-5,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    const Layout layout = make();
    Batch b(layout, h, type, 1);
    forward(ops, layout, h, {{0, layout.rows}}, true, b);
    Pages gradients(layout, h, KvType::kF32, 0);
    Matrix dq(layout.rows, h.q_cols()), dk(layout.rows, h.k_cols());
    Matrix dv(layout.rows, h.v_cols());
    for (const RowRange& r : chunks) {
      ops.attention_backward(b.dout, b.q(), b.out, b.lse.data(), sequences_in(layout, r),
                             b.pages.view(), scale_of(h), dq, gradients.view());
    }
    ops.kv_copy_backward(layout.copies, gradients.view());
    ops.kv_append_backward(gradients.view(), layout.seqs, dk, dv);
    return Outputs{{"dq", dq.values()},
                   {"dk", dk.values()},
                   {"dv", dv.values()},
                   {"pages of dk", gradients.keys()},
                   {"pages of dv", gradients.values()}};
  };
  return c;
}

// Lengths around a page (16) and a block (64).
Layout plain() {
  LayoutBuilder layout;
  layout.sequence(0, 70);
  layout.sequence(0, 1);
  layout.sequence(0, 16);
  layout.sequence(0, 17);
  return layout.finish();
}

// One decoding row: threads share its heads.
Layout lone() {
  LayoutBuilder layout;
  layout.sequence(70, 1);
  return layout.finish();
}

Layout late() {
  LayoutBuilder layout;
  layout.sequence(1, 1);
  layout.sequence(63, 1);
  layout.sequence(64, 1);
  layout.sequence(130, 9);
  layout.sequence(15, 34);
  return layout.finish();
}

// A prompt that ends inside a page, one that ends with it, and a loner.
Layout shared() {
  LayoutBuilder layout;
  layout.group(37, 3, 20);
  layout.sequence(0, 5);
  layout.group(32, 2, 3);
  return layout.finish();
}

}  // namespace

std::vector<Case> attention_cases() {
  std::vector<Case> cases;
  const auto both = [&](const char* name, const MakeLayout& make, const Heads& h) {
    for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kI8}) {
      cases.push_back(forward_case(name, make, h, type, 1));
      cases.push_back(backward_case(name, make, h, type));
    }
  };
  both("plain", plain, {1, 1, 20});
  both("plain", plain, {2, 3, 32});
  both("plain", plain, {1, 7, 64});
  both("plain", plain, {3, 2, 128});
  both("plain", plain, {2, 1, 2});
  both("late", late, {1, 4, 20});
  both("late", late, {2, 5, 64});
  both("late", late, {1, 6, 128});
  both("shared", shared, {2, 2, 32});
  both("shared", shared, {1, 3, 20});
  both("shared", shared, {2, 1, 128});
  both("plain", plain, {2, 3, 20, 33});
  both("plain", plain, {1, 5, 40, 24});
  both("late", late, {3, 1, 24, 80});
  both("shared", shared, {2, 2, 36, 20});
  both("lone", lone, {1, 40, 24});
  both("lone", lone, {1, 40, 48, 32, true});
  // Latent: heads beyond a task's, values of more than one group of columns, odd widths.
  both("plain", plain, {1, 4, 40, 32, true});
  both("late", late, {1, 37, 24, 16, true});
  both("shared", shared, {1, 3, 90, 81, true});
  both("late", late, {1, 5, 150, 133, true});
  cases.push_back(forward_case("plain huge", plain, {1, 3, 64}, KvType::kF32, 30));
  return cases;
}

}  // namespace r1
