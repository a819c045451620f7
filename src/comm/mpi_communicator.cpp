#include "comm/mpi_communicator.h"

#include <ATen/ATen.h>
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX
#endif
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <span>
#include <thread>

#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/tree_sum.h"

namespace ulmfit::comm {
namespace {

// One MPI_Iallreduce of more than this falls out of the cache between its steps.
constexpr std::int64_t kPieceBytes = 1 << 20;
// Below this, latency decides, and MPI's own algorithms have fewer steps.
constexpr std::int64_t kTreeSumBytes = 256 << 10;
constexpr int kExchangeTag = 1;
// MPI_Abort may wait for a launcher that is gone itself.
constexpr unsigned kAbortSeconds = 5;

std::string mpi_error(int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  return std::string(text.data(), static_cast<std::size_t>(length));
}

void check_start(int code, const char* call) {
  if (code != MPI_SUCCESS) throw CommError(str("starting MPI: ", call, " failed: ", mpi_error(code)));
}

MPI_Op mpi_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::kMin:
      return MPI_MIN;
    case ReduceOp::kMax:
      return MPI_MAX;
    case ReduceOp::kSum:
      break;
  }
  return MPI_SUM;
}

MPI_Datatype mpi_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kLong:
      return MPI_INT64_T;
    case at::kByte:
      return MPI_UINT8_T;
    default:
      return MPI_DATATYPE_NULL;
  }
}

// Calls piece(offset, bytes) for consecutive parts of `bytes` bytes.
template <class Piece>
void for_pieces(std::int64_t bytes, Piece&& piece) {
  for (std::int64_t begin = 0; begin < bytes; begin += kPieceBytes) piece(begin, std::min(kPieceBytes, bytes - begin));
}

std::int64_t byte_count(const at::Tensor& tensor) { return tensor.numel() * tensor.element_size(); }
std::byte* bytes_of(const at::Tensor& tensor) { return static_cast<std::byte*>(tensor.data_ptr()); }

volatile std::sig_atomic_t exit_code_of_abort = 1;

bool mpi_started() {
  int started = 0;
  MPI_Initialized(&started);
  return started != 0;
}

void start_mpi() {
  int given = MPI_THREAD_SINGLE;
  check_start(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &given), "MPI_Init_thread");
  if (given < MPI_THREAD_SERIALIZED) {
    throw CommError(str("starting MPI: it gives thread level ", given, ", at least MPI_THREAD_SERIALIZED (",
                        MPI_THREAD_SERIALIZED, ") is needed; install an MPI built with thread support"));
  }
}

}  // namespace

struct MpiCommunicator::Impl {
  MPI_Comm world = MPI_COMM_NULL;  // a duplicate: messages of other libraries cannot be taken for ours
  std::chrono::duration<double> deadline{};

  // Polls until all requests are complete. `what` makes the start of the error message.
  template <class What>
  void complete(std::span<MPI_Request> requests, What&& what, MPI_Status* statuses = MPI_STATUSES_IGNORE) const {
    const Stopwatch watch;
    for (;;) {
      int done = 0;
      const int code = MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, statuses);
      if (code != MPI_SUCCESS) throw CommError(str(what(), " failed: ", mpi_error(code)));
      if (done) return;
      if (watch.seconds() > deadline.count()) {
        throw CommError(str(what(), " has waited ", deadline.count(),
                            " s for the other ranks: one of them is dead, stuck or much slower; see their last messages"));
      }
      std::this_thread::yield();
    }
  }

  // Starts one operation by start(&request), and completes it.
  template <class Start, class What>
  void run(Start&& start, What&& what) const {
    std::array<MPI_Request, 1> request{MPI_REQUEST_NULL};
    const int code = start(request.data());
    if (code != MPI_SUCCESS) throw CommError(str(what(), " failed: ", mpi_error(code)));
    complete(request, what);
  }
};

MpiCommunicator::MpiCommunicator(std::chrono::duration<double> deadline) : impl_(std::make_unique<Impl>()) {
  impl_->deadline = deadline;
  if (!mpi_started()) start_mpi();
  check_start(MPI_Comm_dup(MPI_COMM_WORLD, &impl_->world), "MPI_Comm_dup");
  check_start(MPI_Comm_set_errhandler(impl_->world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  MPI_Comm_rank(impl_->world, &rank_);
  MPI_Comm_size(impl_->world, &size_);
  MPI_Comm host = MPI_COMM_NULL;
  check_start(MPI_Comm_split_type(impl_->world, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host), "MPI_Comm_split_type");
  MPI_Comm_size(host, &local_size_);
  MPI_Comm_free(&host);
}

MpiCommunicator::~MpiCommunicator() = default;

void MpiCommunicator::require_cpu(const at::Tensor& tensor, std::string_view operation) const {
  require_contiguous(tensor, operation);
  if (!tensor.is_cpu()) throw CommError(str(describe(*this, operation, tensor), ": expected a tensor on the CPU"));
}

void MpiCommunicator::all_reduce(at::Tensor& tensor, ReduceOp op) {
  require_cpu(tensor, "all_reduce");
  const MPI_Datatype type = mpi_type(tensor.scalar_type());
  if (type == MPI_DATATYPE_NULL) {
    throw CommError(str(describe(*this, "all_reduce", tensor), ": expected float32, float64, int64 or uint8"));
  }
  if (op == ReduceOp::kSum && tensor.is_floating_point() && byte_count(tensor) >= kTreeSumBytes && is_power_of_two(size_)) {
    return tree_sum(*this, tensor);
  }
  for_pieces(byte_count(tensor), [&](std::int64_t begin, std::int64_t bytes) {
    const int count = static_cast<int>(bytes / tensor.element_size());
    impl_->run(
        [&](MPI_Request* request) {
          return MPI_Iallreduce(MPI_IN_PLACE, bytes_of(tensor) + begin, count, type, mpi_op(op), impl_->world, request);
        },
        [&] { return describe(*this, "all_reduce", tensor); });
  });
}

void MpiCommunicator::broadcast(at::Tensor& tensor, int root) {
  require_cpu(tensor, "broadcast");
  require_rank(root, "broadcast");
  for_pieces(byte_count(tensor), [&](std::int64_t begin, std::int64_t bytes) {
    impl_->run(
        [&](MPI_Request* request) {
          return MPI_Ibcast(bytes_of(tensor) + begin, static_cast<int>(bytes), MPI_BYTE, root, impl_->world, request);
        },
        [&] { return describe(*this, str("broadcast from ", root), tensor); });
  });
}

at::Tensor MpiCommunicator::all_gather(const at::Tensor& mine) {
  require_cpu(mine, "all_gather");
  std::vector<std::int64_t> shape = mine.sizes().vec();
  shape.insert(shape.begin(), size_);
  const at::Tensor all = at::empty(shape, mine.options().requires_grad(false));
  const std::int64_t bytes_of_one = byte_count(mine);
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min(kPieceBytes, bytes_of_one) * size_));
  for_pieces(bytes_of_one, [&](std::int64_t begin, std::int64_t bytes) {
    const int count = static_cast<int>(bytes);
    impl_->run(
        [&](MPI_Request* request) {
          return MPI_Iallgather(bytes_of(mine) + begin, count, MPI_BYTE, piece.data(), count, MPI_BYTE, impl_->world,
                                request);
        },
        [&] { return describe(*this, "all_gather", mine); });
    for (int from = 0; from < size_; ++from) {
      std::memcpy(bytes_of(all) + from * bytes_of_one + begin, piece.data() + from * bytes,
                  static_cast<std::size_t>(bytes));
    }
  });
  return all;
}

void MpiCommunicator::exchange(const at::Tensor& mine, at::Tensor& theirs, int peer) {
  require_cpu(mine, "exchange");
  require_cpu(theirs, "exchange");
  require_rank(peer, "exchange");
  if (peer == rank_) {
    theirs.copy_(mine.detach());
    return;
  }
  const std::int64_t out = byte_count(mine);
  const std::int64_t in = byte_count(theirs);
  for_pieces(std::max(out, in), [&](std::int64_t begin, std::int64_t) {
    const auto what = [&] { return describe(*this, str("exchange with ", peer), mine); };
    const auto part = [&](std::int64_t total) {
      return static_cast<int>(std::clamp<std::int64_t>(total - begin, 0, kPieceBytes));
    };
    std::array<MPI_Request, 2> requests{MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    int code = MPI_SUCCESS;
    if (part(in) > 0) {
      code = MPI_Irecv(bytes_of(theirs) + begin, part(in), MPI_BYTE, peer, kExchangeTag, impl_->world, &requests[0]);
    }
    if (code == MPI_SUCCESS && part(out) > 0) {
      code = MPI_Isend(bytes_of(mine) + begin, part(out), MPI_BYTE, peer, kExchangeTag, impl_->world, &requests[1]);
    }
    if (code != MPI_SUCCESS) throw CommError(str(what(), " failed: ", mpi_error(code)));
    std::array<MPI_Status, 2> statuses{};
    impl_->complete(requests, what, statuses.data());
    int came = 0;
    if (part(in) > 0) MPI_Get_count(&statuses[0], MPI_BYTE, &came);
    if (came != part(in)) throw CommError(str(what(), ": expected ", part(in), " bytes, ", came, " came"));
  });
}

void MpiCommunicator::barrier() {
  impl_->run([&](MPI_Request* request) { return MPI_Ibarrier(impl_->world, request); },
             [&] { return describe(*this, "barrier"); });
}

void MpiCommunicator::finish() {
  barrier();
  MPI_Comm_free(&impl_->world);
}

void MpiCommunicator::finalize() {
  if (mpi_started()) MPI_Finalize();
}

void MpiCommunicator::abort(ExitCode code, std::string_view why) noexcept {
  log::error("comm", why);
  exit_code_of_abort = static_cast<int>(code);
  std::signal(SIGALRM, [](int) { std::_Exit(exit_code_of_abort); });
  ::alarm(kAbortSeconds);
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));
}

}  // namespace ulmfit::comm
