// Cases of the matrix products: shapes around the register tiles and panels, and packed layouts.
#include "backend/conformance.h"

namespace r1 {
namespace {

struct Shape {
  int64_t t, n, k;
};

// 16 columns a panel; tiles of up to 24 rows; 192 rows a task; K of 1, odd, and of several blocks;
// float32 rows in groups from 512 columns on.
constexpr Shape kShapes[] = {{1, 1, 1},     {3, 17, 5},     {7, 33, 20},
                             {13, 16, 64},  {67, 100, 129}, {70, 250, 48},
                             {5, 150, 700}, {200, 40, 33},  {45, 530, 1100}};

std::string shape_name(const char* op, DType dtype, const Shape& s) {
  return std::string(op) + " " + std::string(dtype_name(dtype)) + " T=" + std::to_string(s.t) +
         " N=" + std::to_string(s.n) + " K=" + std::to_string(s.k);
}

struct Packed {
  Packed(const Ops& ops, DType dtype, int64_t n, int64_t k)
      : buffer(static_cast<size_t>(ops.packed_bytes(dtype, n, k))),
        weight{dtype, n, k, buffer.data()} {}
  Buffer buffer;
  PackedWeight weight;
};

// The forward product, and the input's gradient, which is the product with the packed transpose.
Case matmul_case(const Shape& s, DType dtype, bool bias, bool add, bool transpose) {
  std::string name = shape_name(transpose ? "matmul transposed" : "matmul", dtype, s);
  if (bias) name += " bias";
  if (add) name += " add";
  Case c{.name = name, .rows = s.t, .tolerance = 1e-5, .run = {}, .bf16 = dtype == DType::kBF16};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(1);
    const Matrix x = Matrix::random(rng, s.t, s.k);
    const Matrix w = transpose ? Matrix::random(rng, s.k, s.n) : Matrix::random(rng, s.n, s.k);
    const std::vector<float> b = random_floats(rng, s.n);
    Matrix out = Matrix::random(rng, s.t, s.n);
    Packed packed(ops, dtype, s.n, s.k);
    if (transpose) {
      ops.pack_transposed(w, packed.weight);
    } else {
      ops.pack(w, packed.weight);
    }
    for (const RowRange& r : chunks) {
      ops.matmul(x.rows(r), packed.weight, bias ? b.data() : nullptr, add, out.rows(r));
    }
    return std::vector<Output>{{"out", out.values()}};
  };
  return c;
}

// A product's swiglu, its halves kept and not.
Case matmul_swiglu_case(const Shape& s, DType dtype) {
  Case c{.name = shape_name("matmul_swiglu", dtype, s),
         .rows = s.t,
         .tolerance = 1e-5,
         .run = {},
         .bf16 = dtype == DType::kBF16};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(3);
    const Matrix x = Matrix::random(rng, s.t, s.k), w = Matrix::random(rng, 2 * s.n, s.k);
    Packed packed(ops, dtype, 2 * s.n, s.k);
    ops.pack(w, packed.weight);
    Matrix gate_up(s.t, 2 * s.n), out(s.t, s.n), alone(s.t, s.n);
    for (const RowRange& r : chunks) {
      ops.matmul_swiglu(x.rows(r), packed.weight, gate_up.rows(r), out.rows(r));
      ops.matmul_swiglu(x.rows(r), packed.weight, Tensor(), alone.rows(r));
    }
    return std::vector<Output>{
        {"gate_up", gate_up.values()}, {"out", out.values()}, {"alone", alone.values()}};
  };
  return c;
}

// The cuts of a weight's gradient: in bf16 rows go in pairs, which an odd chunk would part.
Chunks gradient_chunks(DType dtype, int64_t rows, const Chunks& chunks) {
  return dtype == DType::kBF16 ? Chunks{{0, rows}} : chunks;
}

Case weight_gradient_case(const Shape& s, DType dtype) {
  Case c{.name = shape_name("matmul_backward_weight", dtype, s),
         .rows = s.t,
         .tolerance = 1e-5,
         .run = {},
         .bf16 = dtype == DType::kBF16};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(2);
    const Matrix dout = Matrix::random(rng, s.t, s.n), x = Matrix::random(rng, s.t, s.k);
    Matrix dw = Matrix::random(rng, s.n, s.k);
    std::vector<float> dbias = random_floats(rng, s.n);
    for (const RowRange& r : gradient_chunks(dtype, s.t, chunks)) {
      ops.matmul_backward_weight(dout.rows(r), x.rows(r), dtype, dw);
      ops.matmul_backward_bias(dout.rows(r), dbias.data());
    }
    return std::vector<Output>{{"dw", dw.values()}, {"dbias", widen(dbias)}};
  };
  return c;
}

// Products at once against the same one by one: columns of one input into columns of one output, as
// heads are, with weights of several shapes.
Case matmuls_case(DType dtype) {
  constexpr int64_t kT = 70;
  Case c{.name = "matmuls " + std::string(dtype_name(dtype)),
         .rows = kT,
         .tolerance = 1e-5,
         .run = {},
         .bf16 = dtype == DType::kBF16};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(16);
    const std::vector<Shape> shapes = {{kT, 20, 33}, {kT, 1, 7}, {kT, 300, 64}, {kT, 16, 5}};
    int64_t in = 0, out_width = 0;
    for (const Shape& s : shapes) in += s.k, out_width += s.n;
    const Matrix x = Matrix::random(rng, kT, in), dout = Matrix::random(rng, kT, out_width);
    Matrix out(kT, out_width), one_by_one = out;
    std::vector<Packed> packed;
    std::vector<Matrix> dw, dw_one_by_one;
    for (const Shape& s : shapes) {
      const Matrix w = Matrix::random(rng, s.n, s.k);
      packed.emplace_back(ops, dtype, s.n, s.k);
      ops.pack(w, packed.back().weight);
      dw.push_back(Matrix::random(rng, s.n, s.k));
    }
    dw_one_by_one = dw;
    // Calls f(i, x's columns, dout's, where out's begin) for each of the products.
    const auto each = [&](const RowRange& r, auto&& f) {
      int64_t from = 0, to = 0;
      for (size_t i = 0; i < shapes.size(); ++i) {
        f(i, x.rows(r).slice_cols(from, shapes[i].k), dout.rows(r).slice_cols(to, shapes[i].n), to);
        from += shapes[i].k;
        to += shapes[i].n;
      }
    };
    for (const RowRange& r : chunks) {
      std::vector<Product> products;
      each(r, [&](size_t i, ConstTensor xi, ConstTensor, int64_t to) {
        products.push_back({xi, &packed[i].weight, out.rows(r).slice_cols(to, shapes[i].n)});
        ops.matmul(xi, packed[i].weight, nullptr, false,
                   one_by_one.rows(r).slice_cols(to, shapes[i].n));
      });
      ops.matmuls(products);
    }
    for (const RowRange& r : gradient_chunks(dtype, kT, chunks)) {
      std::vector<WeightGradient> gradients;
      each(r, [&](size_t i, ConstTensor xi, ConstTensor di, int64_t) {
        gradients.push_back({di, xi, dtype, dw[i]});
        ops.matmul_backward_weight(di, xi, dtype, dw_one_by_one[i]);
      });
      ops.matmuls_backward_weight(gradients);
    }
    EXPECT_EQ(out.values(), one_by_one.values());
    std::vector<Output> outputs = {{"out", out.values()}};
    for (size_t i = 0; i < shapes.size(); ++i) {
      EXPECT_EQ(dw[i].values(), dw_one_by_one[i].values());
      outputs.push_back({"dw", dw[i].values()});
    }
    return outputs;
  };
  return c;
}

// Packed memory itself, padding included. Some weights lie halfway between two bf16 numbers.
Case pack_case(int64_t n, int64_t k, DType dtype, bool transpose) {
  Case c{.name = shape_name(transpose ? "pack_transposed" : "pack", dtype, {0, n, k}), .run = {}};
  c.run = [=](Ops& ops, const Chunks&) {
    Rng rng(3);
    Matrix w = transpose ? Matrix::random(rng, k, n) : Matrix::random(rng, n, k);
    w.at(0, 0) = 1 + 0x1p-8f;
    w.at(transpose ? k - 1 : n - 1, 0) = 1 + 0x3p-8f;
    Packed packed(ops, dtype, n, k);
    std::memset(packed.buffer.data(), 0x55, packed.buffer.bytes());
    if (transpose) {
      ops.pack_transposed(w, packed.weight);
    } else {
      ops.pack(w, packed.weight);
    }
    std::vector<uint16_t> halves(packed.buffer.bytes() / 2);
    std::memcpy(halves.data(), packed.buffer.data(), packed.buffer.bytes());
    return std::vector<Output>{{"packed", widen(halves)}};
  };
  return c;
}

}  // namespace

std::vector<Case> product_cases() {
  std::vector<Case> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Shape& s : kShapes) {
      cases.push_back(matmul_case(s, dtype, false, false, false));
      cases.push_back(matmul_case(s, dtype, true, true, false));
    }
    cases.push_back(matmul_case({67, 100, 129}, dtype, true, false, false));
    cases.push_back(matmul_case({67, 100, 129}, dtype, false, true, true));
    cases.push_back(matmul_case({21, 35, 18}, dtype, false, false, true));
    cases.push_back(matmul_swiglu_case({67, 64, 33}, dtype));
    cases.push_back(matmul_swiglu_case({200, 320, 40}, dtype));  // more than a task's columns
    cases.push_back(matmul_swiglu_case({30, 20, 17}, dtype));
    for (const bool transpose : {false, true}) {
      cases.push_back(pack_case(37, 21, dtype, transpose));
      cases.push_back(pack_case(16, 8, dtype, transpose));
      cases.push_back(pack_case(1, 1, dtype, transpose));
    }
  }
  cases.push_back(matmuls_case(DType::kF32));
  cases.push_back(matmuls_case(DType::kBF16));
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Shape& s : kShapes) cases.push_back(weight_gradient_case(s, dtype));
    cases.push_back(weight_gradient_case({300, 221, 35}, dtype));
    cases.push_back(weight_gradient_case({131, 30, 600}, dtype));
  }
  return cases;
}

}  // namespace r1
