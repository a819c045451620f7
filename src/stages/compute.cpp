#include "stages/compute.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <algorithm>
#include <cstdlib>

#include "base/machine.h"
#include "comm/gpu_choice.h"
#include "comm/launch.h"
#include "comm/rank_cores.h"
#include "comm/tree_sum.h"
#include "stages/shared_cores.h"
#include "stages/torch_warnings.h"

namespace ulmfit::stages {
namespace {

// Of a GPU that is there, but not for this program: computing on the CPU without a word would take weeks.
std::string gpu_out_of_reach() {
#if ULMFIT_WITH_CUDA
  return comm::gpu_out_of_reach("/", std::getenv("CUDA_VISIBLE_DEVICES"), at::detail::getCUDAHooks().versionCUDART());
#else
  return "";
#endif
}

at::DeviceType device_of(const std::optional<at::DeviceType>& wanted) {
  const bool available = gpu_count() > 0;
  if (wanted != at::kCPU && !available) {
    const std::string why = gpu_out_of_reach();
    if (!why.empty()) throw ConfigError(str(wanted ? "--device=cuda: " : "--device=auto: ", why));
  }
  if (wanted == at::kCUDA && !available) {
    throw ConfigError(
        "--device=cuda: this build or machine has no CUDA device; build with launch/setup --gpu, or use --device=cpu");
  }
  return wanted.value_or(available ? at::kCUDA : at::kCPU);
}

}  // namespace

std::int64_t gpu_count() { return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0; }

Arithmetic arithmetic_on(at::Device device, Arithmetic wanted) {
  if (wanted != Arithmetic::kAuto) return wanted;
  return device.is_cuda() ? Arithmetic::kTf32 : Arithmetic::kFp32;
}

bool is_older_default_precision(const config::OptionSet::Difference& d) {
  return d.key == "precision" && d.by_default && d.before == name_in(kArithmetics, Arithmetic::kFp32) &&
         d.now == name_in(kArithmetics, Arithmetic::kAuto);
}

model::Precision use_precision(Arithmetic asked, at::Device device) {
  const Arithmetic wanted = arithmetic_on(device, asked);
  const bool tf32 = wanted == Arithmetic::kTf32;
  if (tf32 && device.is_cpu()) throw ConfigError("--precision=tf32: CPUs have no TF32; use fp32 or bf16");
  at::globalContext().setAllowTF32CuDNN(tf32);
  at::globalContext().setAllowTF32CuBLAS(tf32);
  if (wanted != Arithmetic::kBf16) return model::Precision::kFloat32;
  if (device.is_cpu() && !cpu_has("avx512_bf16") && !cpu_has("amx_bf16")) {
    throw ConfigError(str("--precision=bf16: ", cpu_model(),
                          " has no bfloat16 instructions (avx512_bf16, amx_bf16) and would ",
                          "only emulate them; use fp32"));
  }
  if (device.is_cuda() && !at::detail::getCUDAHooks().supportsBFloat16RNNWithCuDNN()) {
    throw ConfigError("--precision=bf16: this GPU or its cuDNN has no LSTM in bfloat16; use fp32 or tf32");
  }
  return model::Precision::kBfloat16;
}

void reproducible_kernels(bool wanted, at::DeviceType device) {
  // Without it products of cuBLAS may differ. In a pipeline a later stage may want it.
  constexpr const char* kVariable = "CUBLAS_WORKSPACE_CONFIG";
  ::setenv(kVariable, ":4096:8", /*overwrite=*/0);
  const std::string workspace = std::getenv(kVariable);
  if (wanted && device == at::kCUDA && workspace != ":4096:8" && workspace != ":16:8") {
    throw ConfigError(str("--reproducible on a GPU needs ", kVariable, "=:4096:8 or :16:8 in the environment, found '",
                          workspace, "'; unset it"));
  }
  at::globalContext().setDeterministicAlgorithms(wanted, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);  // it takes time, and we read none
}

ExitCode on_ranks(const ComputeOptions& options, const std::function<ExitCode(comm::Communicator&)>& body) {
  const at::DeviceType device = device_of(options.device);
  if (options.reproducible && options.threads > 1) {
    throw ConfigError(
        str("--reproducible computes with one thread a rank; --train.threads=", options.threads, " contradicts it"));
  }
  // Once a process: a pipeline runs several stages in one.
  static const bool one_interop_thread = (at::set_num_interop_threads(1), true);
  static_cast<void>(one_interop_thread);
  reproducible_kernels(options.reproducible, device);
  return comm::run_on_ranks({device, std::chrono::duration<double>(options.deadline)}, [&](comm::Communicator& comm) {
    const int cores = comm::cores_of_rank(comm);  // by all ranks, whatever each was told
    std::int64_t threads = options.threads;
    if (options.reproducible) threads = 1;
    if (threads == 0) threads = cores;
    at::set_num_threads(static_cast<int>(threads));
    keep_freed_memory();
    const SharedCores shared_cores(static_cast<int>(threads));
    WarnOnce warn_once(comm.rank() == 0);
    const c10::WarningUtils::WarningHandlerGuard warnings(&warn_once);
    use_precision(options.precision, comm.device());
    return body(comm);
  });
}

train::MicroBatches micro_batches_of(const RunOptions& options, std::int64_t streams, bool exact,
                                     const comm::Communicator& comm) {
  const std::int64_t ranks = comm.size();
  if (options.compute.reproducible) {
    if (!comm::is_power_of_two(ranks) || ranks > kReproducibleMicroBatches) {
      throw ConfigError(str("--reproducible runs on 1, 2, 4 or 8 ranks, not on ", ranks));
    }
    if (exact && streams % kReproducibleMicroBatches != 0) {
      throw ConfigError(str("--reproducible splits the streams into ", kReproducibleMicroBatches,
                            " micro-batches; --train.streams=", streams, " is not a multiple of it"));
    }
    return {kReproducibleMicroBatches, comm.rank() * kReproducibleMicroBatches / ranks, kReproducibleMicroBatches / ranks};
  }
  if (exact && streams % ranks != 0) {
    throw ConfigError(str(streams, " streams cannot be divided among ", ranks,
                          " ranks; choose --train.streams as a multiple of ", ranks, ", such as ",
                          (streams + ranks - 1) / ranks * ranks));
  }
  const std::int64_t mine = (streams + ranks - 1) / ranks;
  std::int64_t count = 1;
  if (options.max_streams_per_pass > 0) {
    count = (mine + options.max_streams_per_pass - 1) / options.max_streams_per_pass;
    while (exact && mine % count != 0) ++count;
  }
  return {ranks * count, comm.rank() * count, count};
}

std::string describe_compute(const comm::Communicator& comm) {
  return str(comm.size(), comm.size() == 1 ? " rank on " : " ranks, each on ", comm.device().str(), " with ",
             at::get_num_threads(), at::get_num_threads() == 1 ? " thread" : " threads", " (", cpu_model(), ")");
}

}  // namespace ulmfit::stages
