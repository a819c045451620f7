#include "kernels/masks.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/bodies/types.h"

namespace ulmfit::kernels {
namespace {

bodies::MaskDraws draws_of(const Launcher& launcher, const RandomKey& key, double drop) {
  return {key.seed,
          key.step,
          keep_threshold(drop),
          launcher.clock,
          static_cast<bodies::Word>(key.purpose),
          key.stream,
          static_cast<float>(1.0 / (1.0 - drop))};
}

// For a thread a turn, up to so many that each thread has several.
unsigned blocks_for(std::int64_t turns) {
  constexpr std::int64_t kMost = 4096;
  return static_cast<unsigned>(std::clamp<std::int64_t>((turns + kThreads - 1) / kThreads, 1, kMost));
}

bool is(const at::Tensor& tensor, at::ScalarType type) { return tensor.scalar_type() == type && tensor.is_contiguous(); }

}  // namespace

void masked_copy(Launcher& launcher, const RandomKey& key, double drop, const at::Tensor& from, const at::Tensor& to) {
  TORCH_CHECK(from.numel() == to.numel() && from.device() == to.device(), "masked_copy: ", from.numel(), " elements on ",
              from.device(), " into ", to.numel(), " on ", to.device());
  const char* kernel = is(from, at::kFloat) && is(to, at::kFloat)      ? "masked_copy_float_float"
                       : is(from, at::kFloat) && is(to, at::kBFloat16) ? "masked_copy_float_bfloat16"
                       : is(from, at::kBFloat16) && is(to, at::kFloat) ? "masked_copy_bfloat16_float"
                                                                       : nullptr;
  TORCH_CHECK(kernel != nullptr, "masked_copy: expected contiguous float32, or bfloat16 on one side");
  if (from.numel() == 0) return;
  const void* in = from.const_data_ptr();
  void* out = to.mutable_data_ptr();
  auto n = static_cast<bodies::Long>(from.numel());
  bodies::MaskDraws draws = draws_of(launcher, key, drop);
  void* arguments[] = {&in, &out, &n, &draws};
  launcher.launch(kernel, blocks_for((from.numel() + 3) / 4), arguments);
}

at::Tensor locked_masks(Launcher& launcher, const RandomKey& key, double drop, const at::Tensor& streams,
                        std::int64_t width) {
  TORCH_CHECK(is(streams, at::kLong), "locked_masks: expected contiguous int64");
  const at::Tensor masks = at::empty({streams.numel(), width}, streams.options().dtype(at::kFloat));
  if (masks.numel() == 0) return masks;
  const void* of = streams.const_data_ptr();
  void* out = masks.mutable_data_ptr();
  auto rows = static_cast<bodies::Long>(streams.numel()), columns = static_cast<bodies::Long>(width);
  bodies::MaskDraws draws = draws_of(launcher, key, drop);
  void* arguments[] = {&of, &out, &rows, &columns, &draws};
  launcher.launch("locked_masks", blocks_for(streams.numel() * ((width + 3) / 4)), arguments);
  return masks;
}

at::Tensor mask_at(Launcher& launcher, const RandomKey& key, double drop, const at::Tensor& places) {
  const at::Tensor dense = places.contiguous();
  TORCH_CHECK(is(dense, at::kLong), "mask_at: expected int64");
  const at::Tensor factors = at::empty(places.sizes(), places.options().dtype(at::kFloat));
  if (factors.numel() == 0) return factors;
  const void* at = dense.const_data_ptr();
  void* out = factors.mutable_data_ptr();
  auto n = static_cast<bodies::Long>(dense.numel());
  bodies::MaskDraws draws = draws_of(launcher, key, drop);
  void* arguments[] = {&at, &out, &n, &draws};
  launcher.launch("mask_at", blocks_for(dense.numel()), arguments);
  return factors;
}

}  // namespace ulmfit::kernels
