#include "model/vocabulary_transfer.h"

#include <ATen/ATen.h>

namespace ulmfit::model {

at::Tensor transfer_rows(const at::Tensor& old_rows, const std::vector<std::int64_t>& source) {
  const at::Tensor old = old_rows.detach();
  // The mean is one more row behind the old ones, so that a single gather serves known and new words.
  const at::Tensor with_mean = at::cat({old, old.mean(0, /*keepdim=*/true)});
  const at::Tensor index = at::tensor(source, at::kLong).to(old.device());
  return with_mean.index_select(0, at::where(index.lt(0), at::full_like(index, old.size(0)), index));
}

}  // namespace ulmfit::model
