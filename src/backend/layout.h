// The constants that fix the order of sums and the layout of packed memory. No includes: the files
// compiled for one instruction set read this header.
#pragma once

namespace r1 {

constexpr int kLanes = 16;     // lanes of every reduction along a row; columns of a packed panel
constexpr int kPageSize = 16;  // keys on a page of the KV cache
// Attention's online softmax rescales once a block of this many pages, counted from the sequence's
// start.
constexpr int kBlockPages = 4;

// How the KV cache holds its elements (KvLayer in ops.h).
enum class KvType { kF32, kBF16, kI8 };

constexpr int kMaxExperts = 1024;  // of a layer

}  // namespace r1
