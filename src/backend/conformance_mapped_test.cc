// Cases of the products and lookups with weights as files hold them, and of their one promise more:
// the bits are those of the packed weight of the same type.
#include "backend/backend.h"
#include "backend/conformance.h"
#include "tensor/quant.h"

namespace r1 {
namespace {

constexpr DType kTypes[] = {DType::kF32,  DType::kBF16, DType::kF16,  DType::kF8E4M3,
                            DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                            DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

// Rows of a file: at an odd address, in memory that ends where the last row does.
class FileRows {
 public:
  FileRows(Rng& rng, DType dtype, int64_t n, int64_t k)
      : bytes_(1 + dtype_bytes(dtype, n * k)), weight_{dtype, n, k, bytes_.data() + 1} {
    if (dtype == DType::kF8E4M3) {
      for (std::byte& b : bytes_) b = static_cast<std::byte>(rng.below(256));
      for (std::byte& b : bytes_) b = (b & std::byte{0x7f}) == std::byte{0x7f} ? std::byte{1} : b;
      const auto rounded = [](int64_t x) { return (x + 127) / 128; };
      for (int64_t i = 0; i < rounded(n) * rounded(k); ++i) {
        scales_.push_back(static_cast<float>(0.01 * rng.normal()));
      }
      weight_.scales = scales_.data();
      return;
    }
    values_ = random_floats(rng, n * k);
    quantize(dtype, values_.data(), n * k, bytes_.data() + 1);
  }

  const MappedWeight& weight() const { return weight_; }
  const std::vector<float>& values() const { return values_; }

 private:
  std::vector<std::byte> bytes_;
  std::vector<float> scales_, values_;
  MappedWeight weight_;
};

struct Shape {
  int64_t t, n, k;
};

// Around the tiles (rows of 1 to 13, panels of 16 columns), and the blocks of K (128 to 512).
std::vector<Shape> shapes_of(DType dtype) {
  switch (dtype_block(dtype)) {
    case 1:
      return {{1, 1, 1}, {3, 17, 5}, {13, 40, 129}, {200, 33, 70}, {29, 150, 300}, {5, 48, 517}};
    case 32:
      return {{1, 1, 32},    {7, 33, 96},     {14, 40, 512},
              {200, 17, 64}, {29, 150, 1056}, {1, 100, 544}};
    default:
      return {{1, 1, 256}, {13, 40, 512}, {200, 17, 256}, {29, 150, 768}, {2, 100, 1280}};
  }
}

Case mapped_case(DType dtype, const Shape& s, bool bias, bool add) {
  std::string name = "matmul_mapped " + std::string(dtype_name(dtype)) +
                     " T=" + std::to_string(s.t) + " N=" + std::to_string(s.n) +
                     " K=" + std::to_string(s.k);
  if (bias) name += " bias add";
  Case c{.name = name, .rows = s.t, .tolerance = 1e-5, .run = {}, .bf16 = dtype == DType::kBF16};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(4);
    Matrix x = Matrix::random(rng, s.t, s.k);
    for (int64_t k = 0; k < std::min<int64_t>(s.k, 40); ++k) x.at(0, k) = 0;  // a scale of zero
    const FileRows w(rng, dtype, s.n, s.k);
    const std::vector<float> b = random_floats(rng, s.n);
    Matrix out = Matrix::random(rng, s.t, s.n);
    for (const RowRange& r : chunks) {
      ops.matmul_mapped(x.rows(r), {&w.weight(), 1}, bias ? b.data() : nullptr, add, out.rows(r));
    }
    return std::vector<Output>{{"out", out.values()}};
  };
  return c;
}

// Parts of several types side by side, as q, k and v are in llama.cpp's mixtures.
Case parts_case(int64_t rows) {
  Case c{.name = "matmul_mapped parts T=" + std::to_string(rows),
         .rows = rows,
         .tolerance = 1e-5,
         .run = {},
         .bf16 = true};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(5);
    const Matrix x = Matrix::random(rng, rows, 256);
    std::vector<FileRows> files;
    std::vector<MappedWeight> parts;
    int64_t n = 0;
    for (const DType dtype : kTypes) {
      files.emplace_back(rng, dtype, 10 + 9 * static_cast<int64_t>(files.size()), 256);
      n += files.back().weight().n;
    }
    for (const FileRows& f : files) parts.push_back(f.weight());
    const std::vector<float> b = random_floats(rng, n);
    Matrix out(rows, n);
    for (const RowRange& r : chunks)
      ops.matmul_mapped(x.rows(r), parts, b.data(), false, out.rows(r));
    return std::vector<Output>{{"out", out.values()}};
  };
  return c;
}

// The halves of two types, as llama.cpp's mixtures have them.
Case swiglu_parts_case(int64_t rows, DType gate, DType up) {
  Case c{.name = "matmul_mapped_swiglu " + std::string(dtype_name(gate)) + " " +
                 std::string(dtype_name(up)) + " T=" + std::to_string(rows),
         .rows = rows,
         .tolerance = 1e-5,
         .run = {},
         .bf16 = gate == DType::kBF16};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    constexpr int64_t kWidth = 150;
    Rng rng(7);
    const Matrix x = Matrix::random(rng, rows, 256);
    const FileRows gate_file(rng, gate, kWidth, 256), up_file(rng, up, kWidth, 256);
    const MappedWeight parts[] = {gate_file.weight(), up_file.weight()};
    Matrix gate_up(rows, 2 * kWidth), out(rows, kWidth), alone(rows, kWidth);
    for (const RowRange& r : chunks) {
      ops.matmul_mapped_swiglu(x.rows(r), parts, gate_up.rows(r), out.rows(r));
      ops.matmul_mapped_swiglu(x.rows(r), parts, Tensor(), alone.rows(r));
    }
    return std::vector<Output>{
        {"gate_up", gate_up.values()}, {"out", out.values()}, {"alone", alone.values()}};
  };
  return c;
}

Case embed_case(DType dtype) {
  Case c{.name = "embed_mapped " + std::string(dtype_name(dtype)), .rows = 70, .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(6);
    const FileRows table(rng, dtype, 150, 256);
    std::vector<int32_t> ids;
    for (int i = 0; i < 70; ++i) ids.push_back(static_cast<int32_t>(rng.below(150)));
    Matrix out(70, 256);
    for (const RowRange& r : chunks) ops.embed_mapped(span_of(ids, r), table.weight(), out.rows(r));
    return std::vector<Output>{{"out", out.values()}};
  };
  return c;
}

}  // namespace

std::vector<Case> mapped_cases() {
  std::vector<Case> cases;
  for (const DType dtype : kTypes) {
    for (const Shape& s : shapes_of(dtype)) cases.push_back(mapped_case(dtype, s, false, false));
    cases.push_back(mapped_case(dtype, {29, 150, 768}, true, true));
    cases.push_back(embed_case(dtype));
  }
  cases.push_back(parts_case(1));
  cases.push_back(parts_case(37));
  cases.push_back(swiglu_parts_case(5, DType::kQ8_0, DType::kQ8_0));
  cases.push_back(swiglu_parts_case(50, DType::kQ4_K, DType::kQ6_K));
  cases.push_back(swiglu_parts_case(50, DType::kBF16, DType::kF32));
  return cases;
}

namespace {

TEST(Mapped, HasTheBitsOfThePackedWeight) {
  for (const BackendChoice& choice : available_backends()) {
    if (choice.backend == "ref") continue;
    ThreadPool pool(2);
    const auto ops = make_ops(pool, choice.isa);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const Shape& s : shapes_of(dtype)) {
        Rng rng(7);
        const Matrix x = Matrix::random(rng, s.t, s.k);
        const FileRows w(rng, dtype, s.n, s.k);
        Buffer memory(static_cast<size_t>(ops->packed_bytes(dtype, s.n, s.k)));
        const PackedWeight packed{dtype, s.n, s.k, memory.data()};
        ops->pack({w.values().data(), s.n, s.k}, packed);
        Matrix a(s.t, s.n), b(s.t, s.n);
        ops->matmul(x, packed, nullptr, false, a);
        ops->matmul_mapped(x, {&w.weight(), 1}, nullptr, false, b);
        EXPECT_EQ(a.values(), b.values()) << choice.isa << " " << dtype_name(dtype) << " K=" << s.k;
      }
    }
  }
}

// Rows that are whole pieces of 16 bytes change their order and nothing else.
TEST(Mapped, RepackedHasTheSameBits) {
  for (const BackendChoice& choice : available_backends()) {
    ThreadPool pool(2);
    const auto ops = make_ops(pool, choice.backend == "ref" ? "ref" : choice.isa);
    for (const DType dtype : kTypes) {
      std::vector<Shape> shapes = shapes_of(dtype);
      shapes.push_back({4, 35, 1024});
      for (const Shape& s : shapes) {
        Rng rng(8);
        const Matrix x = Matrix::random(rng, s.t, s.k);
        const FileRows w(rng, dtype, s.n, s.k);
        Buffer memory(static_cast<size_t>(ops->repacked_bytes(w.weight())));
        if (memory.bytes() == 0) continue;
        const MappedWeight repacked = ops->repack(w.weight(), memory.data());
        EXPECT_TRUE(repacked.repacked);
        Matrix a(s.t, s.n), b(s.t, s.n);
        ops->matmul_mapped(x, {&w.weight(), 1}, nullptr, false, a);
        ops->matmul_mapped(x, {&repacked, 1}, nullptr, false, b);
        EXPECT_EQ(a.values(), b.values()) << choice.isa << " " << dtype_name(dtype) << " K=" << s.k;
      }
    }
  }
}

// The bytes that would overflow 16 bits in a careless kernel: all weights and inputs at their ends.
TEST(Mapped, ExtremeBytesAreExact) {
  std::string block = {0x00, 0x3c};  // d = 1
  block += std::string(32, static_cast<char>(-128));
  const MappedWeight w{DType::kQ8_0, 1, 32, reinterpret_cast<const std::byte*>(block.data())};
  for (const BackendChoice& choice : available_backends()) {
    ThreadPool pool(1);
    const auto ops = make_ops(pool, choice.isa == "scalar" ? "ref" : choice.isa);
    for (const float sign : {1.0f, -1.0f}) {
      Matrix x(1, 32), out(1, 1);
      for (int64_t k = 0; k < 32; ++k) x.at(0, k) = sign * 127;
      ops->matmul_mapped(x, {&w, 1}, nullptr, false, out);
      EXPECT_EQ(out.at(0, 0), -sign * 128 * 127 * 32) << choice.isa;
    }
  }
}

}  // namespace
}  // namespace r1
