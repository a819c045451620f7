#include "model/gpu_kernels.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "kernels/masks.h"
#include "kernels/softmax.h"
#include "model/tensor_random.h"
#include "model/to_device.h"

namespace ulmfit::model {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(str(what, " are not those of libtorch's operators"));
}

void check_masks(kernels::Launcher& launcher, at::Device device) {
  const RandomKey key{0x8000000000000007, Purpose::kWeightDropout, (1ULL << 40) + 3, 2};
  constexpr double kDrop = 0.3;
  constexpr std::int64_t kElements = 4099;
  const at::Tensor wanted = dropout_mask(key, kDrop, kElements, device);
  const at::Tensor ones = at::ones({kElements}, at::TensorOptions(device));
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor there = at::empty({kElements}, ones.options().dtype(type)), back = at::empty_like(ones);
    kernels::masked_copy(launcher, key, kDrop, ones, there);
    require(there.equal(wanted.to(type)), "masks");
    kernels::masked_copy(launcher, key, kDrop, ones.to(type), back);
    require(back.equal(wanted), "masks");
  }
  const at::Tensor clock = at::full({}, static_cast<std::int64_t>(key.step) - 2, ones.options().dtype(at::kLong));
  const at::Tensor by_clock = at::empty_like(ones);
  RandomKey from_clock = key;
  from_clock.step = 2;
  {
    const kernels::ClockScope scope(launcher, clock.const_data_ptr());
    kernels::masked_copy(launcher, from_clock, kDrop, ones, by_clock);
  }
  require(by_clock.equal(wanted), "masks whose step the device counts");
  const at::Tensor places = at::arange(kElements - 1, -1, -3, at::TensorOptions(device).dtype(at::kLong));
  require(kernels::mask_at(launcher, key, kDrop, places).equal(wanted.index_select(0, places)), "elements of masks");
  const at::Tensor streams = to_device(at::tensor({5, 0}, at::kLong), device);
  RandomKey of_stream = key;
  of_stream.stream += 5;
  require(kernels::locked_masks(launcher, key, kDrop, streams, 77)[0].equal(dropout_mask(of_stream, kDrop, 77, device)),
          "masks of streams");
}

void check_softmax(kernels::Launcher& launcher, at::Device device) {
  constexpr std::int64_t kRows = 67, kColumns = 301;
  constexpr double kScale = 0.25;
  const at::TensorOptions there(device);
  const at::Tensor logits = at::arange(kRows * kColumns, there.dtype(at::kFloat)).sin_().mul_(3).reshape({kRows, kColumns});
  const at::Tensor bias = at::arange(kColumns, there.dtype(at::kFloat)).cos_();
  const at::Tensor targets = at::arange(kRows, there.dtype(at::kLong)).mul_(7);  // the last ones beyond the columns
  targets.remainder_(kColumns);
  targets.narrow(0, 3, 1).fill_(-1);
  const at::Tensor valid = targets.ge(0), index = targets.clamp_min(0).unsqueeze(1);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor block = logits.to(type, /*non_blocking=*/false, /*copy=*/true);
    const at::Tensor log_share = at::log_softmax(block.to(at::kFloat) + bias, 1);
    const at::Tensor losses = log_share.gather(1, index).squeeze(1).neg().mul_(valid);
    at::Tensor gradient = log_share.exp();
    gradient.scatter_add_(1, index, at::full_like(index, -1.0, gradient.options()));
    gradient.mul_(valid.to(at::kFloat).mul_(kScale).unsqueeze(1));
    const double rounding = type == at::kFloat ? 1e-4 : 1.0 / 128;
    const kernels::RowLosses found = kernels::row_losses(launcher, block, bias, targets, kScale, true);
    require(at::allclose(found.losses, losses, 1e-4, 1e-4), "losses");
    require(at::allclose(block.to(at::kFloat), gradient, rounding, 1e-7), "gradients of logits");
    require(at::allclose(found.bias_sums, block.to(at::kFloat).sum(0), 1e-4, 1e-5), "sums of gradients");
  }
}

// Why the kernels of `launcher` cannot be used; empty: they can.
std::string difference(kernels::Launcher& launcher, at::Device device) {
  const at::NoGradGuard no_grad;
  try {
    check_masks(launcher, device);
    check_softmax(launcher, device);
    return "";
  } catch (const c10::OutOfMemoryError&) {
    throw;  // says nothing about the kernels
  } catch (const c10::Error& e) {
    return e.what_without_backtrace();
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

kernels::Launcher* kernels_on(c10::Device device) {
  if (device.is_cpu()) return nullptr;
  kernels::Launcher* launcher = kernels::launcher_of(device);
  if (launcher == nullptr) return nullptr;
  std::call_once(launcher->looked, [&] {
    const std::string found = difference(*launcher, device);
    launcher->agrees = found.empty();
    if (launcher->agrees) return;
    log::warn("gpu", str("kernels of ulmfit are not used on ", device.str(), ", libtorch's are (slower): ", found));
  });
  return launcher->agrees ? launcher : nullptr;
}

}  // namespace ulmfit::model
