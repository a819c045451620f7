#include "comm/communicator.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <thread>

#include "base/activity.h"
#include "base/machine.h"
#include "base/stopwatch.h"

namespace ulmfit::comm {
namespace {

at::Tensor bytes_view(std::string& bytes) {
  return at::from_blob(bytes.data(), {static_cast<std::int64_t>(bytes.size())}, at::kByte);
}

}  // namespace

std::string describe(const Communicator& comm, std::string_view operation) {
  const std::string activity = current_activity();
  return str(operation, " on rank ", comm.rank(), " of ", comm.size(), activity.empty() ? "" : " in ", activity);
}

std::string describe(const Communicator& comm, std::string_view operation, const at::Tensor& tensor) {
  std::string what = "nothing";
  if (tensor.defined()) what = ulmfit::str(tensor.scalar_type(), " ", tensor.sizes(), " on ", tensor.device());
  return str(describe(comm, operation), ": ", what);
}

std::string Communicator::processor() const { return cpu_model(); }

void Communicator::start_sum(at::Tensor& tensor) {
  const ScopedTimer timer(waited_seconds_);
  all_reduce(tensor, ReduceOp::kSum);
}

void Communicator::wait_until(const std::function<bool()>& passed, std::string_view /*what*/) {
  while (!passed()) std::this_thread::yield();
}

void Communicator::broadcast_bytes(std::string& bytes, int root) {
  at::Tensor length = at::scalar_tensor(static_cast<std::int64_t>(bytes.size()), at::kLong);
  broadcast(length, root);
  bytes.resize(static_cast<std::size_t>(length.item<std::int64_t>()));
  if (bytes.empty()) return;
  at::Tensor view = bytes_view(bytes);
  broadcast(view, root);
}

bool Communicator::broadcast_flag(bool flag, int root) {
  at::Tensor word = at::scalar_tensor(static_cast<std::int64_t>(flag), at::kLong);
  broadcast(word, root);
  return word.item<std::int64_t>() != 0;
}

std::vector<std::string> Communicator::all_gather_bytes(const std::string& mine) {
  const at::Tensor lengths = all_gather(at::scalar_tensor(static_cast<std::int64_t>(mine.size()), at::kLong));
  std::vector<std::string> all(static_cast<std::size_t>(size()));
  all[static_cast<std::size_t>(rank())] = mine;
  for (int from = 0; from < size(); ++from) {
    std::string& bytes = all[static_cast<std::size_t>(from)];
    bytes.resize(static_cast<std::size_t>(lengths[from].item<std::int64_t>()));
    if (bytes.empty()) continue;
    at::Tensor view = bytes_view(bytes);
    broadcast(view, from);
  }
  return all;
}

void Communicator::require_contiguous(const at::Tensor& tensor, std::string_view operation) const {
  if (!tensor.defined() || !tensor.is_contiguous()) {
    throw CommError(str(describe(*this, operation, tensor), ": expected a contiguous tensor; pass tensor.contiguous()"));
  }
}

void Communicator::require_rank(int other, std::string_view operation) const {
  if (other < 0 || other >= size()) {
    throw CommError(str(operation, " on rank ", rank(), ": there is no rank ", other, ", only 0 to ", size() - 1));
  }
}

}  // namespace ulmfit::comm
