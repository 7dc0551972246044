// What the tests of the numerics contract share: logits of a sequence however it is cut and
// whatever runs beside it, and the comparison of bits.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "base/rng.h"
#include "model/decoder.h"
#include "model/token_scores.h"

namespace r1 {

inline std::vector<int32_t> random_tokens(uint64_t seed, int64_t count, int64_t vocab) {
  Rng rng(seed);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab))));
  }
  return ids;
}

// Logits over the whole vocabulary of every position of `ids`, computed in chunks of the given
// sizes (the last one repeats), beside `others` unrelated sequences.
inline std::vector<float> all_logits(const Model& model, Ops& ops, const std::vector<int32_t>& ids,
                                     const std::vector<int64_t>& chunks, int others) {
  const ModelConfig& c = model.config();
  const int64_t length = static_cast<int64_t>(ids.size());
  KvCache kv(c, c.num_hidden_layers, 200);
  Activations memory(Activations::Keep::kNothing);
  std::vector<float> result(static_cast<size_t>(length * c.vocab_size));
  std::vector<std::vector<int32_t>> tables(static_cast<size_t>(others) + 1);
  int32_t page = 199;  // pages in no particular order
  for (auto& t : tables) {
    for (int64_t i = 0; i < pages_for(length); ++i) t.push_back(page--);
  }
  for (int64_t done = 0, turn = 0; done < length; ++turn) {
    const size_t which = std::min(static_cast<size_t>(turn), chunks.size() - 1);
    const int64_t count = std::min(chunks[which], length - done);
    Batch b;
    for (int o = 0; o < others; ++o) {
      const auto other = random_tokens(100 + static_cast<uint64_t>(o), length, c.vocab_size);
      b.add(std::span(other).subspan(static_cast<size_t>(done), static_cast<size_t>(count)), done,
            tables[static_cast<size_t>(o) + 1].data(), o + 1);
    }
    const int64_t row =
        b.add(std::span(ids).subspan(static_cast<size_t>(done), static_cast<size_t>(count)), done,
              tables[0].data(), 0);
    for (int64_t i = 0; i < count; ++i) b.outputs.push_back(static_cast<int32_t>(row + i));
    Buffer hidden = Buffer::of_floats(count * c.hidden_size);
    const Tensor h(hidden.floats(), count, c.hidden_size);
    forward(model, b, kv, ops, memory, h);
    compute_logits(model, h, ops, {result.data() + done * c.vocab_size, count, c.vocab_size});
    done += count;
  }
  return result;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace r1
