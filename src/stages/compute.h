// Where and in how many parts a stage computes: device, threads, micro-batches of the global batch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "comm/communicator.h"
#include "model/precision.h"
#include "stages/options.h"
#include "train/task.h"

namespace ulmfit::stages {

inline constexpr std::int64_t kReproducibleMicroBatches = 8;

// Runs `body` on every rank with threads and device set as the options say (comm/launch.h: errors end all ranks).
ExitCode on_ranks(const ComputeOptions& options, const std::function<ExitCode(comm::Communicator&)>& body);

// The GPUs that this process sees; 0 in a build without CUDA.
std::int64_t gpu_count();

// `wanted`, or where that is auto: TF32 on GPUs, float32 on CPUs.
Arithmetic arithmetic_on(at::Device device, Arithmetic wanted);
// Whether the difference to an older run or study is that its program had no auto, and fp32 in its place.
bool is_older_default_precision(const config::OptionSet::Difference& difference);

// What --precision means on this device, and whether GPUs may compute float32 products in TF32 from now on (only with
// tf32). ConfigError where the hardware does not have it: nothing is emulated.
model::Precision use_precision(Arithmetic asked, at::Device device);
// Whether only kernels run that give the same bits each time on one machine; an operator that has none on this device then
// throws with its name. On GPUs it must be called before their first use, whatever it is told: cuBLAS reads its setting,
// CUBLAS_WORKSPACE_CONFIG, once. ConfigError if the user has set that to what cuBLAS is not deterministic with.
void reproducible_kernels(bool wanted, at::DeviceType device);

// How a global batch of `streams` is split. Throws ConfigError, before any file is touched, when ranks (or in reproducible
// mode 8 micro-batches) do not divide it; `exact` false: a batch of documents, which may be split unevenly.
train::MicroBatches micro_batches_of(const RunOptions& options, std::int64_t streams, bool exact,
                                     const comm::Communicator& comm);

// "cpu, 1 thread a rank, 2 ranks" for logs.
std::string describe_compute(const comm::Communicator& comm);

}  // namespace ulmfit::stages
