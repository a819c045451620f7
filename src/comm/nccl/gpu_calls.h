// The calls of CUDA and NCCL that NcclCommunicator makes, as an interface: cuda_calls.h makes them, a test plays what GPUs
// and networks do when they fail. They say what CUDA and NCCL say; the communicator decides what that means.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <cstddef>
#include <string>
#include <vector>

namespace ulmfit::comm {

class GpuCalls {
 public:
  GpuCalls() = default;
  virtual ~GpuCalls() = default;
  GpuCalls(const GpuCalls&) = delete;
  GpuCalls& operator=(const GpuCalls&) = delete;

  // Identities (gpu_choice.h) of the GPUs that this process sees, in the order of their numbers. CommError.
  virtual std::vector<std::string> identities() = 0;
  // The GPU that this process computes on from now on; makes the streams besides that of the computation.
  virtual void take(int gpu) = 0;
  virtual std::string model() = 0;  // of that GPU

  virtual cudaStream_t current_stream() = 0;  // what this thread's tensors are computed on
  virtual cudaStream_t sum_stream() = 0;      // what NCCL's calls are queued on

  virtual cudaError_t create(cudaEvent_t& event, unsigned flags) = 0;
  virtual void destroy(cudaEvent_t event) = 0;
  virtual cudaError_t record(cudaEvent_t event, cudaStream_t stream) = 0;
  virtual cudaError_t make_wait(cudaStream_t stream, cudaEvent_t event) = 0;
  virtual cudaError_t query(cudaEvent_t event) = 0;  // cudaErrorNotReady: it has not passed
  virtual cudaError_t elapsed(float& milliseconds, cudaEvent_t begin, cudaEvent_t end) = 0;
  // Calls run(data) on a thread of CUDA's once the event has passed; never if what comes before it fails. No stream that
  // computes waits for it.
  virtual cudaError_t then(cudaEvent_t event, void (*run)(void*), void* data) = 0;
  virtual std::string describe(cudaError_t code) = 0;

  // A communicator that never blocks: what a call begins may be going on when it returns (ncclInProgress); state() tells.
  // One call at a time, and state() is one: it completes what is going on. By any thread.
  virtual ncclResult_t make_id(ncclUniqueId& id) = 0;
  virtual ncclResult_t start(int size, const ncclUniqueId& id, int rank) = 0;
  virtual ncclResult_t state() = 0;  // ncclSuccess: nothing is going on, and nothing has failed
  virtual std::string describe(ncclResult_t result) = 0;
  virtual std::string last_error() = 0;
  virtual ncclResult_t all_reduce(void* data, std::size_t count, ncclDataType_t type, ncclRedOp_t op) = 0;
  virtual ncclResult_t broadcast(void* data, std::size_t count, ncclDataType_t type, int root) = 0;
  virtual ncclResult_t all_gather(const void* mine, void* all, std::size_t count, ncclDataType_t type) = 0;
  // Either count may be 0.
  virtual ncclResult_t exchange(const void* mine, std::size_t sent, void* theirs, std::size_t received, ncclDataType_t type,
                                int peer) = 0;
  virtual ncclResult_t finalize() = 0;
  virtual void destroy_communicator() = 0;  // after finalize()
  virtual void abort() = 0;                 // at any time; of this rank alone
};

}  // namespace ulmfit::comm
