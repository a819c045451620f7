// The one place where the build decides what communicates.
#include <ATen/Context.h>

#include "base/log.h"
#include "comm/launch.h"
#include "comm/mpi_communicator.h"
#include "comm/solo_communicator.h"
#include "comm/world_check.h"
#if ULMFIT_WITH_NCCL
#include "comm/nccl/cuda_calls.h"
#include "comm/nccl/nccl_communicator.h"
#endif

namespace ulmfit::comm {
namespace {

std::unique_ptr<Communicator> on_device(std::unique_ptr<MpiCommunicator> mpi, const LaunchOptions& options) {
  if (options.device == at::kCPU) return mpi;
#if ULMFIT_WITH_NCCL
  return std::make_unique<NcclCommunicator>(std::move(mpi), make_cuda_calls(), options.deadline);
#else
  throw ConfigError("starting ranks on GPUs: this build has no NCCL; build it by launch/setup --gpu, or give --device cpu");
#endif
}

std::unique_ptr<Communicator> alone(const LaunchOptions& options) {
  if (options.device == at::kCPU) return std::make_unique<SoloCommunicator>();
  const at::Device first(at::kCUDA, 0);
#if ULMFIT_WITH_NCCL
  return std::make_unique<SoloCommunicator>(first, gpu_model(first.index()), options.deadline);
#else
  return std::make_unique<SoloCommunicator>(first, "unknown GPU", options.deadline);
#endif
}

}  // namespace

std::unique_ptr<Communicator> make_communicator(const LaunchOptions& options) {
  const LaunchFacts facts = read_launch_environment();
  require_launcher(facts);
  if (options.device == at::kCUDA && !at::hasCUDA()) {
    throw ConfigError("starting on a GPU: this build or this machine has no CUDA; give --device cpu");
  }
  if (!facts.under_launcher) return alone(options);
  auto mpi = std::make_unique<MpiCommunicator>(options.deadline);
  log::set_rank(mpi->rank(), mpi->size());
  require_meant_size(facts, mpi->size());
  require_same_device(*mpi, options.device);
  return on_device(std::move(mpi), options);
}

void leave_ranks() { MpiCommunicator::finalize(); }

}  // namespace ulmfit::comm
