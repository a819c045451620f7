// One LSTM layer on the CPU by oneDNN's block kernels: with a backward pass in bfloat16, without one in float32 too. The
// primitive of oneDNN that at::lstm takes packs its weights anew for every window; here they are packed once a batch, and a
// tile of products is used while it is in the cache: a tenth faster in float32, and in bfloat16 back twice as fast. In
// float32 the primitive's backward pass is the faster one. In bfloat16 the factors of the products, the gates kept for the
// backward pass and the gradients of the weights are rounded; sums, cells and states are float32.
#pragma once

#include <ATen/core/Tensor.h>

namespace ulmfit::model {

// A layer's weights as the kernels want them. Made once a batch; they take no gradient.
struct PackedLstmWeights {
  at::Tensor input;      // weight_ih by tiles of units, g gates in a panel, p numbers that are multiplied at once:
                         // [tiles, 4 / g, I / p, g, units, p]
  at::Tensor recurrent;  // weight_hh likewise: [tiles, 4 / g, W / p, g, units, p]
  at::Tensor backward;   // weight_hh for the backward pass: [tiles, 4 W / p, units, p]; undefined if made without gradients
  at::Tensor weight_ih;  // [4 W, I] rounded, likewise
};

// True if this machine and this torch have the kernels for `type`, both widths are multiples of p (1, of bfloat16 2) and,
// in float32, gradients are off.
bool has_block_lstm(at::ScalarType type, const at::Tensor& weight_ih, const at::Tensor& weight_hh);

PackedLstmWeights pack_lstm_weights(at::ScalarType type, const at::Tensor& weight_ih, const at::Tensor& weight_hh);

struct LstmWindow {
  at::Tensor output;  // [T, B, W], of the block kernels float32
  at::Tensor h;       // [B, W], after the last step
  at::Tensor c;       // [B, W]
};

// x [T, B, I], h and c [B, W], weight_ih [4 W, I], weight_hh [4 W, W], bias [4 W], all float32 on the CPU; gradients flow
// into all of them. `packed` are the two weights, packed with gradients on if they are on now. Results depend on no
// number of threads, except the gradients of weights and x. There is no second derivative. With `for_next_layer`, only
// without gradients, output and h are rounded as a next layer of the same type would round them, and x may be such an
// output.
LstmWindow block_lstm(const at::Tensor& x, const at::Tensor& h, const at::Tensor& c, const at::Tensor& weight_ih,
                      const at::Tensor& weight_hh, const at::Tensor& bias, const PackedLstmWeights& packed,
                      bool for_next_layer = false);

// The same bits, without gradients, of x[t, b] = rows[places[t, b]], rows [N, I], places [T, B] int64, contiguous: the
// input products of a row are made once, however often it occurs.
LstmWindow block_lstm_of_rows(const at::Tensor& rows, const at::Tensor& places, const at::Tensor& h, const at::Tensor& c,
                              const at::Tensor& bias, const PackedLstmWeights& packed, bool for_next_layer = false);

}  // namespace ulmfit::model
