// The operations a transformer is made of, each with its backward beneath it: what a backend does.
//
// Shapes:  T rows (tokens) of a batch   C model width     N, K output and input width of a product
//          H query heads   G key/value heads   D head dimension   F feed-forward width
//          V vocabulary   E experts   K experts of a row
//
// The contract (docs/numerics.md): an output element is reduced in an order that depends on the
// reduction's length alone, never on the number of rows, the chunking or the threads. A reduction
// along a row (a norm, a softmax) runs in kLanes lanes, lane l taking the elements l, l + kLanes,
// ..., and the lanes are then added as a binary tree (i += i + 8, then 4, 2, 1). A product walks K
// in order as one chain of fused multiply-adds from zero. Every `cpu` instruction set follows these
// rules, so in float32 all of them give the same bits; `ref` is a plain scalar statement of the
// meaning and agrees within rounding.
//
// Backward ops ADD into gradients of weights (dw) and WRITE gradients of activations unless said
// otherwise. Views are non-owning; a backend keeps no pointer after the call. One caller at a time.
//
// Memory: every tensor, pointer and index span that an op takes lies in the backend's memory
// (Ops::memory), which nobody else reads or writes. The host has shapes, sizes, structs by value
// and spans of structs (products, weights, the bounds of sequences); values go by upload and
// download.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/layout.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace r1 {

// A weight matrix [N, K] packed for products, in a layout that is the backend's own. In bf16 the
// input rows are rounded to bf16 too (nearest even) and products accumulate in float32.
struct PackedWeight {
  DType dtype = DType::kF32;  // kF32 or kBF16
  int64_t n = 0, k = 0;
  void* data = nullptr;  // Ops::packed_bytes(dtype, n, k) bytes, 64-byte aligned
};

// A weight matrix [N, K] where it lies in a file: rows of dtype_bytes(dtype, K) bytes one after
// another, not necessarily aligned. It is read in place and gives the bits that the packed matrix
// of the same type gives.
//   kF32, kF16, kF8E4M3 (times scales): the values, exactly, in float32 products
//   kBF16: as packed
//   block formats: the input rows are rounded too, to whole numbers q in [-127, 127] times
//   max |x| / 127 over 32 elements. Sums of products of whole numbers over the elements that
//   share a scale (32; 16 in Q6_K) are exact; acc = fma(float(sum), weight's scale * row's scale,
//   acc) group by group in order, each followed by acc = fma(-minimum, row's scale * sum of q, acc)
//   in formats with minima (Q4_1, Q5_1, Q4_K, Q5_K). So all instruction sets give the same bits.
struct MappedWeight {
  DType dtype = DType::kF32;
  int64_t n = 0, k = 0;  // k is a whole number of the type's blocks
  const std::byte* data = nullptr;
  // kF8E4M3: a factor for each 128 x 128 (DeepSeek-V3, section 3.3), [N / 128][K / 128] rounded up.
  const float* scales = nullptr;
  // Not rows but what Ops::repack has made of them.
  bool repacked = false;
  static constexpr int64_t kScaleBlock = 128;

  int64_t row_bytes() const { return static_cast<int64_t>(dtype_bytes(dtype, k)); }
};

// Row n of the matrix as floats, scales included: out[k].
void dequantize_row(const MappedWeight& w, int64_t n, float* out);

// One layer's pages of keys and values, or of their gradients, which are kF32. A page holds
// kPageSize consecutive positions of one sequence; how, is the backend's own. In a latent layer
// (multi-head latent attention) there is no v: a value is the first value_dim elements of its key.
//   kF32, kBF16  elements are rounded to the type when they are written, ties to even
//   kI8          x ~ scale * q, scale = max |x| / 127 of the vector, q whole numbers in [-127, 127]
// An element's value is float(q) * scale, rounded once; from there on all is as in kF32.
struct KvLayer {
  void* k = nullptr;
  void* v = nullptr;
  int64_t kv_heads = 0, key_dim = 0, value_dim = 0;
  bool latent = false;
  KvType type = KvType::kF32;

  // Bytes of a head's part of a page, of keys and of values.
  int64_t k_bytes() const { return part_bytes(key_dim); }
  int64_t v_bytes() const { return latent ? 0 : part_bytes(value_dim); }
  int64_t page_bytes() const { return kv_heads * (k_bytes() + v_bytes()); }

  std::byte* k_page(int64_t page, int64_t head) const {
    return static_cast<std::byte*>(k) + (page * kv_heads + head) * k_bytes();
  }
  std::byte* v_page(int64_t page, int64_t head) const {
    return static_cast<std::byte*>(v) + (page * kv_heads + head) * v_bytes();
  }

  int64_t element_bytes() const { return type == KvType::kF32 ? 4 : type == KvType::kBF16 ? 2 : 1; }

 private:
  int64_t part_bytes(int64_t dim) const {
    return kPageSize * (dim * element_bytes() + (type == KvType::kI8 ? 4 : 0));
  }
};

// A run of rows of a batch that belong to one sequence: rows [row, row + count) are its positions
// [position, position + count). pages[i] holds its positions [16 i, 16 i + 16). Sequences that
// share pages (a group's completions and their prompt) have the same family and stand next to each
// other.
struct Sequence {
  int64_t row = 0, count = 0;
  int64_t position = 0;
  const int32_t* pages = nullptr;
  int32_t family = 0;
};

// A batch's sequences. `bounds` is the host's to read, by which a backend cuts its work, but for
// the tables of pages; those lie in the backend's memory, and so does `data`, the same sequences
// for kernels to read.
struct Sequences {
  Sequences() = default;
  Sequences(std::span<const Sequence> bounds_, const Sequence* data_)
      : bounds(bounds_), data(data_) {}
  // Where the backend's memory is the host's.
  Sequences(const Sequence* first, size_t count) : Sequences({first, count}, first) {}
  Sequences(const std::vector<Sequence>& all)  // NOLINT: implicit by design
      : Sequences(all.data(), all.size()) {}

  std::span<const Sequence> bounds;
  const Sequence* data = nullptr;
};

// Slots [0, slots) of page `from` are copied to page `to`: a prompt's last, partly filled page when
// a completion branches off it.
struct PageCopy {
  int32_t from = 0, to = 0, slots = 0;
};

// The index arrays of a batch on the host: what Ops::begin takes over.
struct BatchArrays {
  std::span<const int32_t> tokens, positions, outputs;
  std::span<const Sequence> seqs;
  std::span<const PageCopy> copies;
};

// The same where ops read them. Their sizes are the host's to read, and seqs.bounds.
struct DeviceBatch {
  std::span<const int32_t> tokens, positions, outputs;
  Sequences seqs;
  std::span<const PageCopy> copies;

  // What holds them where the backend's memory is not the host's. Reused from batch to batch.
  Buffer memory;
  std::vector<Sequence> bounds;
};

// One of several products at once, as matmul without a bias. What they write does not overlap.
struct Product {
  ConstTensor x;  // [T, K]
  const PackedWeight* w;
  Tensor out;  // [T, N]
};

// The gradient of its weight, as matmul_backward_weight.
struct WeightGradient {
  ConstTensor dout, x;
  DType dtype;
  Tensor dw;
};

// How a row's experts are chosen. Among equals the lower index wins.
struct Routing {
  bool sigmoid = false;  // scores are the logits' sigmoids (DeepSeek-V3) or their softmax
  int64_t experts = 0;   // of a row: K
  // Experts stand in `groups` equal groups in order. Only those in the best groups_per_row are
  // chosen from. A group's score is that of its best expert (DeepSeek-V2), or the sum of its two
  // best (DeepSeek-V3).
  int64_t groups = 1, groups_per_row = 1;
  bool group_pairs = false;
  bool normalize = false;  // a row's weights are divided by their sum
  float scale = 1;         // what they are multiplied by, last
};

// What becomes of a row of logits before a token is drawn from it.
struct LogitShape {
  float factor = 1;  // 1 / temperature; 0 leaves the first of the largest logits alone
  int64_t top_k = 0;
  double top_p = 1, min_p = 0;

  bool filters() const { return top_k > 0 || top_p < 1 || min_p > 0; }
};

struct AdamW {
  float learning_rate = 0, beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f, weight_decay = 0;
  float gradient_scale = 1;    // clipping and averaging, applied to the gradient first
  float bias1 = 1, bias2 = 1;  // 1 - beta^t
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual const char* name() const = 0;  // "ref", "cpu"
  virtual const char* isa()
      const = 0;  // "scalar", "portable", "avx2", "avx512", "avx512vnni", "avx512bf16", "neon"
  virtual int threads() const = 0;

  // --- memory ---
  // What weights, activations, caches, index arrays and all else that ops read and write are made
  // of. On the host side of a device it is addresses alone: only ops may touch it, and what the
  // host reads comes by download. The defaults are those of a backend whose memory is the host's.
  virtual Allocator& memory() { return host_memory(); }
  virtual void zero(void* to, size_t bytes);
  virtual void copy(const void* from, void* to, size_t bytes);  // both the backend's
  virtual void upload(const void* host, void* to, size_t bytes);
  virtual void download(const void* from, void* host, size_t bytes);
  // Takes a batch's arrays over, once for all ops of a pass. The host's must stay as they are while
  // `batch` is used: where memory is the host's, it is views of them.
  virtual void begin(const BatchArrays& host, DeviceBatch& batch);
  // Where ops may read bytes of a file (MappedWeight): in place, or in `copy`, which gets them.
  virtual const std::byte* adopt(std::span<const std::byte> file, Buffer& copy);
  // Where the host may read `bytes` of the backend's (HostView): in place, or in `copy`.
  virtual const std::byte* view(const void* from, size_t bytes, std::vector<std::byte>& copy);

  // --- weights ---
  // Bytes of a packed weight, in the layout that pack writes.
  virtual int64_t packed_bytes(DType dtype, int64_t n, int64_t k) const = 0;
  // w [N, K] row-major. packed.n = N, packed.k = K.
  virtual void pack(ConstTensor w, PackedWeight packed) = 0;
  // The transpose, for the input's gradient: packed.n = K, packed.k = N.
  virtual void pack_transposed(ConstTensor w, PackedWeight packed) = 0;

  // Bytes of the weight laid out as this backend's products read it fastest; 0 if it has no such
  // layout for it.
  virtual int64_t repacked_bytes(const MappedWeight& w) const = 0;
  // Writes it to `out`, 64-byte aligned. Products with the result give the same bits.
  virtual MappedWeight repack(const MappedWeight& w, std::byte* out) = 0;

  // --- products ---
  // out[t, n] = (add ? out[t, n] : 0) + bias[n] + sum_k x[t, k] w[n, k].   bias may be null.
  virtual void matmul(ConstTensor x_TK, const PackedWeight& w_NK, const float* bias, bool add,
                      Tensor out_TN) = 0;
  // The same with a weight whose rows are those of `parts`, one part after another.
  virtual void matmul_mapped(ConstTensor x_TK, std::span<const MappedWeight> parts,
                             const float* bias, bool add, Tensor out_TN) = 0;
  // swiglu (below) of a product, which is kept where gate_up has data. One op after the other is
  // the default.
  virtual void matmul_swiglu(ConstTensor x_TK, const PackedWeight& w_2FK, Tensor gate_up_T2F,
                             Tensor out_TF);
  virtual void matmul_mapped_swiglu(ConstTensor x_TK, std::span<const MappedWeight> parts,
                                    Tensor gate_up_T2F, Tensor out_TF);
  // The gradient of the input is matmul(dout, transposed w). The gradient of the weight, rows of
  // the batch in order:   dw[n, k] += sum_t dout[t, n] x[t, k].   In bf16 dout and x are rounded to
  // bf16 first, and instruction sets with a product of pairs take rows 2 i and 2 i + 1 together.
  virtual void matmul_backward_weight(ConstTensor dout_TN, ConstTensor x_TK, DType dtype,
                                      Tensor dw_NK) = 0;
  // dbias[n] += sum_t dout[t, n], rows in order.
  virtual void matmul_backward_bias(ConstTensor dout_TN, float* dbias) = 0;

  // Independent products at once: a head each.
  virtual void matmuls(std::span<const Product> products) = 0;
  virtual void matmuls_backward_weight(std::span<const WeightGradient> gradients) = 0;

  // --- rows ---
  // out[t] = table[ids[t]]
  virtual void embed(std::span<const int32_t> ids, ConstTensor table_VC, Tensor out_TC) = 0;
  virtual void embed_mapped(std::span<const int32_t> ids, const MappedWeight& table_VC,
                            Tensor out_TC) = 0;
  // dtable[ids[t]] += dout[t], rows in order
  virtual void embed_backward(std::span<const int32_t> ids, ConstTensor dout_TC,
                              Tensor dtable_VC) = 0;

  // out[i] = x[rows[i]]
  virtual void gather_rows(ConstTensor x, std::span<const int32_t> rows, Tensor out) = 0;
  // dx[rows[i]] += dout[i], i in order (a row may occur more than once)
  virtual void gather_rows_backward(ConstTensor dout, std::span<const int32_t> rows, Tensor dx) = 0;

  // x += y
  virtual void add(Tensor x, ConstTensor y) = 0;

  // Each row is `groups` segments of w.size() elements, normalized one by one (groups = 1 for a
  // block's norm, = heads for Qwen3's q and k norms):
  //   out = x * rstd * w,  rstd = 1 / sqrt(mean(x^2) + eps).   out may be x. rstd is [T, groups].
  virtual void rms_norm(ConstTensor x, std::span<const float> w, int64_t groups, float eps,
                        Tensor out, float* rstd) = 0;
  // dx (+)= rstd * (dout * w - x * rstd^2 * mean(dout * w * x));  dw += sum_rows dout * x * rstd.
  // `add` says whether dx is added to (the residual's gradient) or written. dx may be dout.
  virtual void rms_norm_backward(ConstTensor dout, ConstTensor x, std::span<const float> w,
                                 int64_t groups, const float* rstd, bool add, Tensor dx,
                                 float* dw) = 0;

  // Rotates pairs of the last D elements of each head by the angle of its row's position, in place.
  // cos_sin is [positions, D]: D/2 cosines, then D/2 sines. x is [T, heads * head_dim]. A pair is
  // (i, i + D/2), or (2i, 2i + 1) where interleaved (DeepSeek).
  virtual void rope(Tensor x, int64_t head_dim, bool interleaved,
                    std::span<const int32_t> positions, ConstTensor cos_sin) = 0;
  virtual void rope_backward(Tensor dx, int64_t head_dim, bool interleaved,
                             std::span<const int32_t> positions, ConstTensor cos_sin) = 0;

  // Moves `width` elements of each head: out[t, h * out_step + i] (+)= x[t, h * x_step + i]. An
  // x_step of 0 gives every head the same; an out_step of 0, with `add`, sums over heads in order.
  virtual void copy_heads(ConstTensor x, int64_t x_step, Tensor out, int64_t out_step,
                          int64_t heads, int64_t width, bool add) = 0;

  // out[t, f] = silu(gate_up[t, f]) * gate_up[t, F + f]
  virtual void swiglu(ConstTensor gate_up_T2F, Tensor out_TF) = 0;
  virtual void swiglu_backward(ConstTensor dout_TF, ConstTensor gate_up_T2F, Tensor dgate_up) = 0;

  // --- experts ---
  // From each row's logits [T, E], the K experts it goes to, ascending, and their weights: expert
  // and weight are [T, K]. bias [E] (may be null) is added to scores for the choice alone.
  virtual void route(ConstTensor logits_TE, const float* bias, const Routing& routing,
                     int32_t* expert, float* weight) = 0;
  // Writes dlogits. The choice itself has no gradient.
  virtual void route_backward(const float* dweight, ConstTensor logits_TE, const int32_t* expert,
                              const Routing& routing, Tensor dlogits_TE) = 0;
  // Sorts the rows' copies, one for each of a row's experts, by expert, and within one by row:
  //   slot [T, K]    which copy is row t's j-th
  //   row [T K]      the row that a copy is of
  //   first [E + 1]  expert e has the copies [first[e], first[e + 1])
  virtual void sort_by_expert(std::span<const int32_t> expert_TK, int64_t chosen, int64_t experts,
                              int32_t* slot, int32_t* row, int32_t* first) = 0;
  // loads[e] += first[e + 1] - first[e]
  virtual void count_copies(const int32_t* first, std::span<int64_t> loads) = 0;
  // Rows [first[e], first[e + 1]) of out = the same rows of x times experts[e], as matmul without a
  // bias. All experts' weights are alike in shape.
  virtual void matmul_experts(ConstTensor x_RK, std::span<const PackedWeight> experts,
                              const int32_t* first, Tensor out_RN) = 0;
  // The same with weights of several parts, as matmul_mapped.
  virtual void matmul_mapped_experts(ConstTensor x_RK,
                                     std::span<const std::span<const MappedWeight>> experts,
                                     const int32_t* first, Tensor out_RN) = 0;
  // The gradient of each expert's weight, as matmul_backward_weight of its rows.
  virtual void matmul_experts_backward_weight(ConstTensor dout_RN, ConstTensor x_RK, DType dtype,
                                              const int32_t* first,
                                              std::span<const Tensor> dw_NK) = 0;
  // out[t] = (add ? out[t] : 0) + sum_j weight[t, j] y[slot[t, j]], j in order. slot and weight are
  // [T, K]; a row of y has one slot.
  virtual void combine_rows(ConstTensor y, std::span<const int32_t> slot, const float* weight,
                            bool add, Tensor out) = 0;
  // Writes dy[slot[t, j]] = weight[t, j] dout[t] and dweight[t, j] = dout[t] . y[slot[t, j]].
  virtual void combine_rows_backward(ConstTensor dout, ConstTensor y, std::span<const int32_t> slot,
                                     const float* weight, Tensor dy, float* dweight) = 0;

  // --- attention over pages ---
  // Writes the rows' keys and values to their sequences' pages. k is [T, G * key_dim], v [T, G *
  // value_dim], or empty for a latent layer.
  virtual void kv_append(ConstTensor k, ConstTensor v, Sequences seqs, KvLayer kv) = 0;
  // dk and dv of the rows, read from the pages of gradients. (And in general: kv_append undone, but
  // for its rounding. Gradients pass straight through that.)
  virtual void kv_append_backward(KvLayer dkv, Sequences seqs, Tensor dk, Tensor dv) = 0;
  virtual void kv_copy(std::span<const PageCopy> copies, KvLayer kv) = 0;
  // dkv[from] += dkv[to] over the copied slots, copies in order.
  virtual void kv_copy_backward(std::span<const PageCopy> copies, KvLayer dkv) = 0;

  // Causal attention of each row over its sequence's positions up to its own: online softmax over
  // blocks of kBlockPages pages, in order. q [T, H * key_dim], out [T, H * value_dim]; head h reads
  // KV head h / (H / G). lse [T, H] gets the log of the softmax's denominator (for backward); it
  // may be null.
  virtual void attention(ConstTensor q, Sequences seqs, KvLayer kv, float scale, Tensor out,
                         float* lse) = 0;
  // Writes dq; ADDS to the pages of dkv, which are kF32 (zero them first). Within a family,
  // sequences in order.
  virtual void attention_backward(ConstTensor dout, ConstTensor q, ConstTensor out,
                                  const float* lse, Sequences seqs, KvLayer kv, float scale,
                                  Tensor dq, KvLayer dkv) = 0;

  // --- the loss ---
  // Per row of logits [R, V]: logprob[r] = (x[target] - max[r]) - log_sum[r], log_sum[r] =
  // log(sum exp(x - max)). entropy[r] (may be null) is that of the softmax. A logit of -inf has
  // probability zero.
  virtual void log_softmax(ConstTensor logits_RV, std::span<const int32_t> targets, float* logprob,
                           float* max, float* log_sum, float* entropy) = 0;
  // In place: logits[r, v] = scale * dlogprob[r] * ((v == target) - exp(logits - max - log_sum)).
  virtual void log_softmax_backward(Tensor logits_RV, std::span<const int32_t> targets,
                                    const float* dlogprob, const float* max, const float* log_sum,
                                    float scale) = 0;

  // In place, row r as shapes[r] says: logits times `factor`, then -inf for those that the filters
  // drop, which are taken in the order of their size, of equals the lower id first, NaN as -inf:
  //   top_k  (0: off)  keeps the first k
  //   top_p  (1: off)  of these the first n whose weights e^(x - max) reach top_p times those of
  //   all min_p  (0: off)  drops from the end while the weight is below min_p; the first stays
  // Weights are std::exp's in double and are added up in that order: what is kept is a function of
  // the row alone, to the last token. A factor of 0 is a mask: no logit but argmax's is left.
  virtual void shape_logits(Tensor logits_RV, std::span<const LogitShape> shapes) = 0;
  // token[r]: the first of row r's largest logits, which is value[r]. NaN counts where it is the
  // row's first element, and only there.
  virtual void argmax(ConstTensor logits_RV, int32_t* token, float* value) = 0;

  // Draws a token from each row's softmax by inverting its cumulative sum at uniform[r] in [0, 1):
  // exp(x - max) summed by chunks of kLanes (each as the tree above), chunks in order.
  virtual void sample(ConstTensor logits_RV, const float* uniform, int32_t* token) = 0;

  // x *= factor
  virtual void scale(Tensor x, float factor) = 0;

  // --- the optimizer ---
  // Sum of squares in double: blocks of 4096 elements, the blocks' sums added in order.
  virtual double sum_squares(std::span<const float> x) = 0;
  // Decoupled weight decay (Loshchilov and Hutter, 2019):
  //   g = gradient_scale * grad;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
  //   w -= learning_rate * (m / bias1 / (sqrt(v / bias2) + epsilon) + weight_decay * w)
  virtual void adamw(const AdamW& hyper, std::span<float> w, std::span<const float> grad,
                     std::span<float> m, std::span<float> v) = 0;
};

// Floats of the backend's for the host to read, as they are when it is made; where the memory is
// the host's they cost nothing. Valid until an op writes them.
class HostView {
 public:
  HostView(Ops& ops, std::span<const float> values)
      : data_(ops.view(values.data(), values.size_bytes(), copy_)), size_(values.size()) {}
  HostView(HostView&&) = default;

  std::span<const float> floats() const { return {reinterpret_cast<const float*>(data_), size_}; }

 private:
  std::vector<std::byte> copy_;
  const std::byte* data_;
  size_t size_;
};

}  // namespace r1
