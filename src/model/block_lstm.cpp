#include "model/block_lstm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/native/CPUBlas.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/activity.h"
#include "model/block_kernels.h"
#include "model/lstm_cell.h"
#include "model/rounded_sums.h"

namespace ulmfit::model {
namespace {

using at::BFloat16;
using at::native::cpublas::brgemm;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// What the kernels multiply at once of each type.
template <class Number>
constexpr std::int64_t kPair = sizeof(float) / sizeof(Number);

// Units of a tile: as many states as a vector holds. Forward their four gates are one panel of float32 or two of bfloat16.
template <class Number>
constexpr std::int64_t kUnits = 64 / static_cast<std::int64_t>(sizeof(Number));
constexpr std::int64_t kUnitsBack = 32;
constexpr std::int64_t kPanel = 64;  // columns of a product at once, the most whose sums stay in registers

// Inputs whose products are made at once if none occurs twice: a panel then comes from memory once for all of them.
constexpr std::int64_t kRowsAhead = 256;

std::int64_t tiles_of(std::int64_t width, std::int64_t units) { return (width + units - 1) / units; }

// All that the kernels multiply at once is copied at once.
const float* pairs(const at::Tensor& t) { return static_cast<const float*>(t.const_data_ptr()); }

// weight [4 W, K] -> [tiles, 4 / g, K / p, g, units, p], g gates in a panel; units past W are zero.
template <class Number>
at::Tensor pack_forward(const at::Tensor& weight) {
  constexpr std::int64_t kTile = kUnits<Number>, kGates = kPanel / kTile;
  const std::int64_t width = weight.size(0) / 4, depth = weight.size(1) / kPair<Number>, tiles = tiles_of(width, kTile);
  at::Tensor packed = at::empty({tiles, 4 / kGates, depth, kGates, kTile, kPair<Number>}, weight.options());
  const float* in = pairs(weight);
  auto* out = static_cast<float*>(packed.mutable_data_ptr());
  at::parallel_for(0, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tile = begin; tile < end; ++tile) {
      for (std::int64_t gate = 0; gate < 4; ++gate) {
        float* panel = out + (tile * 4 + gate / kGates * kGates) * depth * kTile + gate % kGates * kTile;
        const std::int64_t units = std::min(kTile, width - tile * kTile);
        const float* rows = in + (gate * width + tile * kTile) * depth;
        for (std::int64_t k = 0; k < depth; ++k) {
          for (std::int64_t u = 0; u < units; ++u) panel[k * kPanel + u] = rows[u * depth + k];
          for (std::int64_t u = units; u < kTile; ++u) panel[k * kPanel + u] = 0;
        }
      }
    }
  });
  return packed;
}

// weight [4 W, W] -> [tiles, 4 W / 2, units, 2]; units past W are zero.
at::Tensor pack_backward(const at::Tensor& weight) {
  constexpr std::int64_t kTile = kUnitsBack;
  const std::int64_t width = weight.size(1), depth = weight.size(0) / 2, tiles = tiles_of(width, kTile);
  at::Tensor packed = at::empty({tiles, depth, kTile, 2}, weight.options());
  const auto* in = weight.const_data_ptr<BFloat16>();
  auto* out = packed.mutable_data_ptr<BFloat16>();
  at::parallel_for(0, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t tile = begin; tile < end; ++tile) {
      const std::int64_t units = std::min(kTile, width - tile * kTile);
      for (std::int64_t k = 0; k < depth; ++k) {
        const BFloat16* rows = in + 2 * k * width + tile * kTile;
        BFloat16* panel = out + (tile * depth + k) * kTile * 2;
        for (std::int64_t u = 0; u < units; ++u) {
          panel[2 * u] = rows[u];
          panel[2 * u + 1] = rows[width + u];
        }
        std::fill(panel + 2 * units, panel + 2 * kTile, BFloat16(0.0F));
      }
    }
  });
  return packed;
}

// Runs body(first unit, tile) for every tile of `units`, on all threads; the one that is free takes the next, so that a
// thread whose core is taken away for a while holds up the others by no more than a tile.
template <class Number, class Body>
void for_tiles(std::int64_t rows, std::int64_t width, std::int64_t units, const Body& body) {
  const std::int64_t threads = std::min<std::int64_t>(at::get_num_threads(), tiles_of(width, units));
  std::atomic<std::int64_t> next = 0;
  at::parallel_for(0, threads, 1, [&](std::int64_t, std::int64_t) {
    for (std::int64_t first = 0; (first = next.fetch_add(units)) < width;) {
      body(first, LstmTile{rows, std::min(units, width - first), width, units});
    }
    at::native::cpublas::brgemm_release(kPair<Number> > 1);
  });
}

// products [rows, columns] (+)= a [rows, depth] * packed, of up to kPanel columns each; rows of `a` are `stride` apart.
template <class Number>
void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, std::int64_t stride, const Number* a,
              const Number* packed, bool add, float* products) {
  static const std::int64_t unit = rows_in_registers(c10::CppTypeToScalarType<Number>::value);
  for (std::int64_t column = 0; column < columns; column += kPanel) {
    const std::int64_t wide = std::min(kPanel, columns - column);
    for_row_blocks(rows, unit, [&](std::int64_t first, std::int64_t count) {
      brgemm(count, wide, depth, stride, wide, columns, add, a + first * stride, packed + column * depth,
             products + first * columns + column);
    });
  }
}

// [rows, kUnitsBack] = gates' gradients [rows, 4 W] * panel, gate by gate: rows of all four do not fit the caches. Valid
// until the thread's next call.
const float* multiply_back(std::int64_t rows, std::int64_t width, const BFloat16* gates, const BFloat16* panel) {
  thread_local std::vector<float> products;
  products.resize(static_cast<std::size_t>(rows * kUnitsBack));
  for (std::int64_t gate = 0; gate < 4; ++gate) {
    multiply(rows, kUnitsBack, width, 4 * width, gates + gate * width, panel + gate * width * kUnitsBack, gate > 0,
             products.data());
  }
  return products.data();
}

// Products of a window's inputs with the input weights, made ahead of the steps that use them.
template <class Number>
class InputProducts {
 public:
  // inputs: [T, B, I], or [N, I] of which step t takes rows places[t] ([T, B]; undefined: see block_lstm_of_rows).
  InputProducts(const at::Tensor& inputs, const at::Tensor& places, std::int64_t B, const at::Tensor& packed)
      : places_(places.defined() ? places.const_data_ptr<std::int64_t>() : nullptr),
        B_(B),
        I_(inputs.size(-1)),
        rows_(inputs.numel() / I_),
        ahead_(places.defined() ? rows_ : std::min(std::max<std::int64_t>(kRowsAhead / B, 1) * B, rows_)),
        inputs_(inputs.const_data_ptr<Number>()),
        packed_(packed.const_data_ptr<Number>()),
        buffer_(at::empty({packed.size(0), ahead_, kColumns}, inputs.options().dtype(at::kFloat))),
        products_(buffer_.mutable_data_ptr<float>()) {}

  // [B, 4 units of a tile] of step t for the tile from unit `first` on, to be added to. Steps come in their
  // order; valid until the thread's next call.
  float* of_step(std::int64_t t, std::int64_t first) const {
    float* made = products_ + first * 4 * ahead_;
    const std::int64_t row = t * B_;
    if (places_ == nullptr) {
      if (row % ahead_ == 0) make(first, row, std::min(ahead_, rows_ - row), made);
      return made + row % ahead_ * kColumns;
    }
    if (t == 0) make(first, 0, rows_, made);
    thread_local std::vector<float> picked;
    picked.resize(static_cast<std::size_t>(B_ * kColumns));
    for (std::int64_t b = 0; b < B_; ++b) {
      std::copy_n(made + places_[row + b] * kColumns, kColumns, picked.data() + b * kColumns);
    }
    return picked.data();
  }

 private:
  static constexpr std::int64_t kColumns = 4 * kUnits<Number>;

  void make(std::int64_t first, std::int64_t row, std::int64_t count, float* made) const {
    multiply(count, kColumns, I_, I_, inputs_ + row * I_, packed_ + first * 4 * I_, false, made);
  }

  const std::int64_t* places_;
  std::int64_t B_, I_, rows_, ahead_;
  const Number* inputs_;
  const Number* packed_;
  at::Tensor buffer_;  // [tiles, ahead, 4 units]
  float* products_;
};

// What the backward pass needs; undefined without gradient.
struct Kept {
  at::Tensor inputs;  // [T, B, I]
  at::Tensor states;  // [T + 1, B, W]: h before the first step and after each
  at::Tensor cells;   // [T + 1, B, W] float32
  at::Tensor gates;   // [T, B, 4 W]
};

// x and places: see InputProducts.
template <class Number>
LstmWindow forward_window(const at::Tensor& x, const at::Tensor& places, const at::Tensor& h, const at::Tensor& c,
                          const at::Tensor& bias, const PackedLstmWeights& packed, bool for_next_layer, Kept* keep) {
  constexpr std::int64_t kTile = kUnits<Number>;
  const bool states_are_output = std::is_same_v<Number, float> || for_next_layer;
  const std::int64_t T = places.defined() ? places.size(0) : x.size(0), B = h.size(0), W = h.size(1);
  const auto type = x.options().dtype(packed.input.scalar_type());
  const at::Tensor inputs = x.to(type).contiguous();
  at::Tensor states = at::empty({T + 1, B, W}, type);
  states[0].copy_(h);
  const std::int64_t slots = keep == nullptr ? 2 : T + 1;  // without a backward pass two cells take turns
  at::Tensor cells = at::empty({slots, B, W}, c.options());
  cells[0].copy_(c);
  const at::Tensor gates = keep == nullptr ? at::Tensor() : at::empty({T, B, 4 * W}, type);
  const at::Tensor output = states_are_output ? states.narrow(0, 1, T) : at::empty({T, B, W}, c.options());

  const InputProducts<Number> input_products(inputs, places, B, packed.input);
  const at::Tensor dense_bias = bias.contiguous();
  const auto* recurrent_panels = packed.recurrent.const_data_ptr<Number>();
  const auto* b = dense_bias.const_data_ptr<float>();
  auto* state = states.mutable_data_ptr<Number>();
  auto* cell = cells.mutable_data_ptr<float>();
  auto* out = output.scalar_type() == at::kFloat ? output.mutable_data_ptr<float>() : nullptr;
  auto* kept = keep == nullptr ? nullptr : gates.mutable_data_ptr<Number>();
  const Activity activity("LSTM");
  for (std::int64_t t = 0; t < T; ++t) {
    for_tiles<Number>(B, W, kTile, [&](std::int64_t first, const LstmTile& tile) {
      float* sums = input_products.of_step(t, first);
      multiply(B, 4 * kTile, W, W, state + t * B * W, recurrent_panels + first * 4 * W, true, sums);
      lstm_cell(tile, sums, b + first, cell + t % slots * B * W + first, cell + (t + 1) % slots * B * W + first,
                out == nullptr ? nullptr : out + t * B * W + first, state + (t + 1) * B * W + first,
                kept == nullptr ? nullptr : kept + t * B * 4 * W + first);
    });
  }
  if (keep != nullptr) *keep = {inputs, states, cells, gates};
  return {output, output[T - 1].to(at::kFloat, /*non_blocking=*/false, /*copy=*/true), cells[T % slots].clone()};
}

LstmWindow forward_window(const at::Tensor& x, const at::Tensor& places, const at::Tensor& h, const at::Tensor& c,
                          const at::Tensor& bias, const PackedLstmWeights& packed, bool for_next_layer) {
  return packed.input.scalar_type() == at::kBFloat16
             ? forward_window<BFloat16>(x, places, h, c, bias, packed, for_next_layer, nullptr)
             : forward_window<float>(x, places, h, c, bias, packed, for_next_layer, nullptr);
}

struct Bfloat16Lstm : Function<Bfloat16Lstm> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& h, const at::Tensor& c,
                               const at::Tensor&, const at::Tensor&, const at::Tensor& bias,
                               const PackedLstmWeights* packed) {
    Kept kept;
    const LstmWindow window = forward_window<BFloat16>(x, {}, h, c, bias, *packed, false, &kept);
    ctx->save_for_backward({kept.inputs, kept.states, kept.cells, kept.gates, packed->backward, packed->weight_ih});
    ctx->set_materialize_grads(false);
    return {window.output, window.h, window.c};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "block_lstm has no second derivative");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &inputs = saved[0], &states = saved[1], &cells = saved[2], &gates = saved[3], &packed = saved[4];
    const std::int64_t T = inputs.size(0), B = inputs.size(1), W = states.size(2);

    at::Tensor h_gradient = gradients[0].defined() ? gradients[0].contiguous() : at::zeros({T, B, W}, cells.options());
    if (gradients[1].defined()) {
      if (gradients[0].defined()) h_gradient = h_gradient.clone();
      h_gradient[T - 1].add_(gradients[1]);
    }
    at::Tensor c_gradient =
        gradients[2].defined() ? gradients[2].clone(at::MemoryFormat::Contiguous) : at::zeros({B, W}, cells.options());
    at::Tensor gate_gradient = at::empty_like(gates);

    const auto* dh = h_gradient.const_data_ptr<float>();
    const auto* kept = gates.const_data_ptr<BFloat16>();
    const auto* cell = cells.const_data_ptr<float>();
    const auto* panel = packed.const_data_ptr<BFloat16>();
    auto* dc = c_gradient.mutable_data_ptr<float>();
    auto* dgates = gate_gradient.mutable_data_ptr<BFloat16>();
    for (std::int64_t t = T - 1; t >= 0; --t) {
      for_tiles<BFloat16>(B, W, kUnitsBack, [&](std::int64_t first, const LstmTile& tile) {
        const float* recurrent =
            t + 1 == T ? nullptr : multiply_back(B, W, dgates + (t + 1) * B * 4 * W, panel + first * 4 * W);
        lstm_cell_backward(tile, recurrent, dh + t * B * W + first, kept + t * B * 4 * W + first, cell + t * B * W + first,
                           cell + (t + 1) * B * W + first, dc + first, dgates + t * B * 4 * W + first);
      });
    }

    variable_list result(7);
    const at::Tensor flat = gate_gradient.view({T * B, 4 * W});
    const auto of_weight = [&](const at::Tensor& factor) {
      return at::mm(flat.t(), factor.view({T * B, factor.size(2)})).to(at::kFloat);
    };
    if (ctx->needs_input_grad(0)) result[0] = at::mm(flat, saved[5]).view(inputs.sizes()).to(at::kFloat);
    if (ctx->needs_input_grad(1)) {
      at::Tensor first_h = at::empty({B, W}, cells.options());
      auto* to = first_h.mutable_data_ptr<float>();
      for_tiles<BFloat16>(B, W, kUnitsBack, [&](std::int64_t first, const LstmTile& tile) {
        const float* products = multiply_back(B, W, dgates, panel + first * 4 * W);
        for (std::int64_t r = 0; r < B; ++r) std::copy_n(products + r * kUnitsBack, tile.units, to + r * W + first);
      });
      result[1] = first_h;
    }
    if (ctx->needs_input_grad(2)) result[2] = c_gradient;
    if (ctx->needs_input_grad(3)) result[3] = of_weight(inputs);
    if (ctx->needs_input_grad(4)) result[4] = of_weight(states.narrow(0, 0, T));
    if (ctx->needs_input_grad(5)) {
      result[5] = at::zeros({4 * W}, cells.options());
      add_rounded_rows(result[5], flat);
    }
    return result;
  }
};

}  // namespace

bool has_block_lstm(at::ScalarType type, const at::Tensor& weight_ih, const at::Tensor& weight_hh) {
  const bool rounded = type == at::kBFloat16;
  const std::int64_t pair = rounded ? kPair<BFloat16> : kPair<float>;
  return (rounded || !at::GradMode::is_enabled()) && weight_ih.is_cpu() && weight_ih.size(1) % pair == 0 &&
         weight_hh.size(1) % pair == 0 && has_block_kernels(type);
}

PackedLstmWeights pack_lstm_weights(at::ScalarType type, const at::Tensor& weight_ih, const at::Tensor& weight_hh) {
  const bool gradient = at::GradMode::is_enabled();
  const at::NoGradGuard no_grad;
  const at::Tensor input = weight_ih.to(type).contiguous();
  const at::Tensor recurrent = weight_hh.to(type).contiguous();
  if (type == at::kFloat) return {pack_forward<float>(input), pack_forward<float>(recurrent), {}, {}};
  PackedLstmWeights packed{pack_forward<BFloat16>(input), pack_forward<BFloat16>(recurrent), {}, {}};
  if (gradient) {
    packed.backward = pack_backward(recurrent);
    packed.weight_ih = input;
  }
  return packed;
}

LstmWindow block_lstm(const at::Tensor& x, const at::Tensor& h, const at::Tensor& c, const at::Tensor& weight_ih,
                      const at::Tensor& weight_hh, const at::Tensor& bias, const PackedLstmWeights& packed,
                      bool for_next_layer) {
  const std::int64_t B = x.size(1), I = weight_ih.size(1), W = weight_hh.size(1);
  TORCH_CHECK(x.size(0) > 0 && B > 0 && x.size(2) == I && h.sizes() == at::IntArrayRef({B, W}) && c.sizes() == h.sizes(),
              "block_lstm: x ", x.sizes(), ", h ", h.sizes(), " and c ", c.sizes(), " do not fit weights of ", I,
              " inputs and ", W, " units");
  bool gradient = false;
  for (const at::Tensor* t : {&x, &h, &c, &weight_ih, &weight_hh, &bias}) gradient = gradient || t->requires_grad();
  if (gradient && at::GradMode::is_enabled()) {
    TORCH_CHECK(packed.backward.defined(), "block_lstm: these weights were packed without a backward pass");
    TORCH_CHECK(!for_next_layer, "block_lstm: an output that is rounded for the next layer has no gradient");
    const variable_list out = Bfloat16Lstm::apply(x, h, c, weight_ih, weight_hh, bias, &packed);
    return {out[0], out[1], out[2]};
  }
  return forward_window(x, {}, h, c, bias, packed, for_next_layer);
}

LstmWindow block_lstm_of_rows(const at::Tensor& rows, const at::Tensor& places, const at::Tensor& h, const at::Tensor& c,
                              const at::Tensor& bias, const PackedLstmWeights& packed, bool for_next_layer) {
  TORCH_CHECK(!at::GradMode::is_enabled(), "block_lstm_of_rows has no backward pass");
  TORCH_CHECK(rows.dim() == 2 && rows.numel() > 0 && places.dim() == 2 && places.numel() > 0 && places.is_contiguous() &&
                  h.size(0) == places.size(1) && c.sizes() == h.sizes(),
              "block_lstm_of_rows: rows ", rows.sizes(), ", places ", places.sizes(), ", h ", h.sizes(), " and c ",
              c.sizes(), " do not fit each other");
  return forward_window(rows, places, h, c, bias, packed, for_next_layer);
}

}  // namespace ulmfit::model
