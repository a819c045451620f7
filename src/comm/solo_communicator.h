// One process alone: every operation is the identity. No MPI is touched.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "comm/communicator.h"

namespace ulmfit::comm {

class SoloCommunicator : public Communicator {
 public:
  // `processor`: the model of a GPU; empty: the CPU's. `deadline`: for what the GPU has begun.
  explicit SoloCommunicator(at::Device device = at::kCPU, std::string processor = "",
                            std::chrono::duration<double> deadline = std::chrono::hours(24))
      : device_(device), processor_(std::move(processor)), deadline_(deadline) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_size() const override { return 1; }
  at::Device device() const override { return device_; }
  std::string processor() const override { return processor_.empty() ? Communicator::processor() : processor_; }

  void all_reduce(at::Tensor& tensor, ReduceOp op) override;
  void broadcast(at::Tensor& tensor, int root) override;
  at::Tensor all_gather(const at::Tensor& mine) override;
  void exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) override;
  void barrier() override {}
  void wait_until(const std::function<bool()>& passed, std::string_view what) override;
  [[noreturn]] void abort(ExitCode code, std::string_view why) noexcept override;

 private:
  at::Device device_;
  std::string processor_;
  std::chrono::duration<double> deadline_;
};

}  // namespace ulmfit::comm
