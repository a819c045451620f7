// What the communicator makes of what CUDA and NCCL say, played without a GPU: tensors on the device "meta" stand for those
// on a GPU.
#include "comm/nccl/nccl_communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <map>
#include <thread>

#include "base/stopwatch.h"
#include "comm/nccl/gpu_calls.h"
#include "comm/solo_communicator.h"

namespace ulmfit::comm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;
using namespace std::chrono_literals;

// What the GPU and the network are to do, and what was asked of them.
struct Play {
  std::vector<std::string> gpus{"GPU-a", "GPU-b"};
  int in_progress = 0;                           // times that state() says so after each call
  std::atomic<int> polls_to_error = -1;          // of state(), until NCCL has failed; below 0: it never does
  std::atomic<bool> stuck = false;               // no event passes
  std::atomic<cudaError_t> query = cudaSuccess;  // of events that pass
  ncclResult_t answer = ncclSuccess;             // of every call of NCCL
  float milliseconds = 0;                        // between any two events
  std::chrono::microseconds call_takes{0};       // of NCCL

  std::vector<std::string> asked;
  std::atomic<int> polls = 0;
  std::atomic<int> in_nccl = 0;  // threads
  std::atomic<bool> two_in_nccl = false;
};

class PlayedCalls : public GpuCalls {
 public:
  explicit PlayedCalls(Play& play) : play_(play) {}

  std::vector<std::string> identities() override { return play_.gpus; }
  void take(int gpu) override { play_.asked.push_back(str("take ", gpu)); }
  std::string model() override { return "played GPU"; }

  cudaStream_t current_stream() override { return reinterpret_cast<cudaStream_t>(&current_); }
  cudaStream_t sum_stream() override { return reinterpret_cast<cudaStream_t>(&sums_); }

  cudaError_t create(cudaEvent_t& event, unsigned flags) override {
    timed_.push_back((flags & cudaEventDisableTiming) == 0);
    events_.push_back(static_cast<char>('1' + events_.size()));
    event = reinterpret_cast<cudaEvent_t>(&events_.back());
    return cudaSuccess;
  }
  void destroy(cudaEvent_t /*event*/) override {}
  cudaError_t record(cudaEvent_t event, cudaStream_t stream) override {
    play_.asked.push_back(str("event ", name(event), " on ", name(stream)));
    return cudaSuccess;
  }
  cudaError_t make_wait(cudaStream_t stream, cudaEvent_t event) override {
    play_.asked.push_back(str(name(stream), " waits for ", name(event)));
    return cudaSuccess;
  }
  // While the host is blocked in CUDA another thread's call blocks too.
  cudaError_t query(cudaEvent_t /*event*/) override {
    if (std::this_thread::get_id() != host_) std::this_thread::sleep_for(60s);
    return play_.stuck ? cudaErrorNotReady : play_.query.load();
  }
  cudaError_t elapsed(float& milliseconds, cudaEvent_t begin, cudaEvent_t end) override {
    milliseconds = play_.milliseconds;
    const auto timed = [&](cudaEvent_t event) { return timed_.at(static_cast<std::size_t>(name(event) - '1')); };
    return timed(begin) && timed(end) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  }
  cudaError_t then(cudaEvent_t event, void (*run)(void*), void* data) override {
    play_.asked.push_back(str("word after ", name(event)));
    if (!play_.stuck) run(data);
    return cudaSuccess;
  }
  std::string describe(cudaError_t code) override { return str("CUDA error ", static_cast<int>(code)); }

  ncclResult_t make_id(ncclUniqueId& /*id*/) override {
    play_.asked.emplace_back("id");
    return play_.answer;  // it is made when the call returns
  }
  ncclResult_t start(int size, const ncclUniqueId& /*id*/, int rank) override {
    return call(str("start ", rank, " of ", size));
  }
  ncclResult_t state() override {
    const OneCall one(play_);
    ++play_.polls;
    if (play_.polls_to_error >= 0 && play_.polls > play_.polls_to_error) return ncclRemoteError;
    return left_ > 0 ? --left_, ncclInProgress : ncclSuccess;
  }
  std::string describe(ncclResult_t result) override { return str("NCCL error ", static_cast<int>(result)); }
  std::string last_error() override { return "the cable is out"; }
  ncclResult_t all_reduce(void* /*data*/, std::size_t count, ncclDataType_t type, ncclRedOp_t op) override {
    return call(str("all_reduce ", count, " of type ", static_cast<int>(type), ", op ", static_cast<int>(op)));
  }
  ncclResult_t broadcast(void* /*data*/, std::size_t count, ncclDataType_t /*type*/, int root) override {
    return call(str("broadcast ", count, " from ", root));
  }
  ncclResult_t all_gather(const void* /*mine*/, void* /*all*/, std::size_t count, ncclDataType_t /*type*/) override {
    return call(str("all_gather ", count));
  }
  ncclResult_t exchange(const void* /*mine*/, std::size_t sent, void* /*theirs*/, std::size_t received,
                        ncclDataType_t /*type*/, int peer) override {
    return call(str("exchange ", sent, " for ", received, " with ", peer));
  }
  ncclResult_t finalize() override { return call("finalize"); }
  void destroy_communicator() override { play_.asked.emplace_back("destroy"); }
  void abort() override { play_.asked.emplace_back("abort"); }

 private:
  // NCCL's calls, of which threads make one at a time.
  struct OneCall {
    explicit OneCall(Play& p) : play(p) {
      if (play.in_nccl++ > 0) play.two_in_nccl = true;
      std::this_thread::sleep_for(play.call_takes);
    }
    ~OneCall() { --play.in_nccl; }
    Play& play;
  };
  ncclResult_t call(std::string what) {
    const OneCall one(play_);
    play_.asked.push_back(std::move(what));
    left_ = play_.in_progress;
    return play_.answer == ncclSuccess && left_ > 0 ? ncclInProgress : play_.answer;
  }
  std::string name(cudaStream_t stream) { return stream == sum_stream() ? "sums" : "computation"; }
  static char name(cudaEvent_t event) { return *reinterpret_cast<char*>(event); }

  Play& play_;
  const std::thread::id host_ = std::this_thread::get_id();
  char current_ = 0;
  char sums_ = 0;
  std::deque<char> events_;
  std::vector<bool> timed_;  // by event
  std::atomic<int> left_ = 0;
};

// Rank 1 of two that see the same and say the same.
class SecondOfTwo : public SoloCommunicator {
 public:
  int rank() const override { return 1; }
  int size() const override { return 2; }
  at::Tensor all_gather(const at::Tensor& mine) override { return at::stack({mine, mine}); }
  void broadcast(at::Tensor& tensor, int /*root*/) override {
    constexpr std::string_view kSeen = "GPU-a\nGPU-b\n";
    if (tensor.nbytes() == kSeen.size()) std::copy(kSeen.begin(), kSeen.end(), static_cast<char*>(tensor.data_ptr()));
  }
};

class NcclCommunicatorTest : public testing::Test {
 protected:
  static bool never() { return false; }

  std::unique_ptr<NcclCommunicator> make(std::chrono::duration<double> deadline = 30s) {
    auto made = std::make_unique<NcclCommunicator>(std::make_unique<SoloCommunicator>(),
                                                   std::make_unique<PlayedCalls>(play), deadline);
    made_asked = std::exchange(play.asked, {});
    play.polls = 0;
    return made;
  }

  Play play;
  std::vector<std::string> made_asked;
  at::Tensor tensor = at::empty({2, 3}, at::TensorOptions(at::kMeta).dtype(at::kFloat));
};

TEST_F(NcclCommunicatorTest, TakesItsGpuAndStartsOnIt) {
  const auto comm = make();
  EXPECT_THAT(made_asked, ElementsAre("take 0", "id", "start 0 of 1"));
  EXPECT_EQ(comm->device(), at::Device(at::kCUDA, 0));
  EXPECT_EQ(comm->processor(), "played GPU");
  play.gpus.clear();
  EXPECT_THAT([&] { make(); }, ThrowsMessage<CommError>(HasSubstr("choosing a GPU for rank 0: it sees none")));
}

TEST_F(NcclCommunicatorTest, EachCallComesBehindWhatWasQueuedAndBeforeWhatFollows) {
  const auto comm = make();
  comm->all_reduce(tensor, ReduceOp::kMax);
  EXPECT_THAT(play.asked,
              ElementsAre("event 1 on computation", "sums waits for 1",
                          str("all_reduce 6 of type ", static_cast<int>(ncclFloat32), ", op ", static_cast<int>(ncclMax)),
                          "event 2 on sums", "computation waits for 2", "event 3 on computation"));
  for (const auto& [name, run] :
       std::map<std::string, std::function<void()>>{{"broadcast 6 from 0", [&] { comm->broadcast(tensor, 0); }},
                                                    {"all_gather 6", [&] { comm->all_gather(tensor); }}}) {
    play.asked.clear();
    run();
    EXPECT_THAT(play.asked, ElementsAre("event 1 on computation", "sums waits for 1", name, "event 2 on sums",
                                        "computation waits for 2", "event 3 on computation"));
  }
}

TEST_F(NcclCommunicatorTest, TheSecondRankTakesAnotherGpuAndExchanges) {
  {
    NcclCommunicator comm(std::make_unique<SecondOfTwo>(), std::make_unique<PlayedCalls>(play), 30s);
    EXPECT_EQ(comm.device(), at::Device(at::kCUDA, 1));
    at::Tensor none = tensor.slice(0, 0, 0);
    comm.exchange(tensor, none, 0);
    EXPECT_THAT([&] { comm.exchange(tensor, none, 2); }, testing::Throws<CommError>());
  }
  EXPECT_THAT(play.asked, ElementsAre("take 1", "start 1 of 2", "event 1 on computation", "sums waits for 1",
                                      "exchange 6 for 0 with 0", "event 2 on sums", "computation waits for 2", "abort"));
}

TEST_F(NcclCommunicatorTest, SumsRunBesideTheComputationUntilTheyAreAskedFor) {
  const auto comm = make();
  comm->start_sum(tensor);
  comm->start_sum(tensor);
  for (const std::string& asked : play.asked) EXPECT_THAT(asked, testing::Not(HasSubstr("computation waits")));
  play.asked.clear();
  comm->finish_sums();
  EXPECT_THAT(play.asked, ElementsAre("event 4 on computation", "event 2 on sums", "computation waits for 2",
                                      "event 5 on computation", "word after 2"));
  EXPECT_EQ(comm->waited_seconds(), 0) << "of the latest it is not known yet";
  play.milliseconds = 250;
  comm->finish_sums();
  EXPECT_EQ(comm->waited_seconds(), 0.25);
}

TEST_F(NcclCommunicatorTest, WaitsForCallsThatGoOnInTheBackground) {
  play.in_progress = 7;
  const auto comm = make();
  comm->all_reduce(tensor, ReduceOp::kSum);
  EXPECT_GT(play.polls, 7) << "as long as NCCL says that it goes on";
}

TEST_F(NcclCommunicatorTest, AnErrorInTheBackgroundEndsEachWait) {
  const auto text = AllOf(HasSubstr("on rank 0 of 1"), HasSubstr("failed: NCCL error 6; NCCL says: the cable is out"));
  const Stopwatch watch;
  {
    const auto comm = make();
    play.stuck = true;
    play.polls_to_error = 5;
    EXPECT_THAT([&] { comm->wait_until(never, "computation of step 12"); },
                ThrowsMessage<CommError>(AllOf(text, HasSubstr("computation of step 12 on rank"))));
  }
  {
    play.stuck = false;
    play.polls_to_error = -1;
    const auto comm = make();
    play.in_progress = 1000;
    play.polls_to_error = 5;
    EXPECT_THAT([&] { comm->start_sum(tensor); },
                ThrowsMessage<CommError>(AllOf(text, HasSubstr("start_sum"), HasSubstr("[2, 3]"))));
  }
  EXPECT_LT(watch.seconds(), 20) << "long before the deadline";
}

TEST_F(NcclCommunicatorTest, WhatNeverEndsEndsAtTheDeadline) {
  const auto late = ThrowsMessage<CommError>(HasSubstr("has waited 0.02 s for the other ranks"));
  const auto comm = make(20ms);
  comm->finish_sums();
  play.stuck = true;
  EXPECT_THAT([&] { comm->wait_until(never, "computation"); }, late);
  EXPECT_THAT([&] { comm->barrier(); }, late);
  EXPECT_THAT([&] { comm->finish_sums(); }, late) << "the sums of the step before";
  EXPECT_THAT([&] { comm->finish(); }, late);
  play.stuck = false;
  play.in_progress = 1'000'000'000;
  EXPECT_THAT([&] { comm->all_reduce(tensor, ReduceOp::kSum); }, late);
  EXPECT_THAT([&] { make(20ms); },
              ThrowsMessage<CommError>(HasSubstr("starting NCCL on rank 0 of 1, cuda:0 has waited 0.02 s")));
}

// The host blocks where it does not poll: CUDA takes only so many kernels behind sums that never end.
TEST_F(NcclCommunicatorTest, SumsThatNeverEndEndAllRanksAlsoWhereTheHostIsBlocked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto blocked = [&](int polls_to_error) {
    NcclCommunicator comm(std::make_unique<SoloCommunicator>(), std::make_unique<PlayedCalls>(play), 20ms, 20ms);
    play.stuck = true;
    play.polls_to_error = polls_to_error;
    comm.finish_sums();
    std::this_thread::sleep_for(20s);
    std::_Exit(0);
  };
  EXPECT_EXIT(blocked(-1), testing::ExitedWithCode(5), "sums on rank 0 of 1.* has waited 0.02 s for the other ranks");
  EXPECT_EXIT(blocked(0), testing::ExitedWithCode(5), "sums on rank 0 of 1.* failed: NCCL error");
}

// NCCL 2.28's question for errors completes the call that goes on, and two threads that complete the same one free it
// twice.
TEST_F(NcclCommunicatorTest, OneThreadAtATimeCallsNccl) {
  play.call_takes = 100us;
  NcclCommunicator comm(std::make_unique<SoloCommunicator>(), std::make_unique<PlayedCalls>(play), 30s, 1ms);
  play.stuck = true;  // the sums: so that they are watched
  comm.finish_sums();
  play.in_progress = 3;
  play.polls = 0;
  for (int i = 0; i < 200; ++i) comm.start_sum(tensor);
  EXPECT_GT(play.polls, 200 * 3);
  EXPECT_FALSE(play.two_in_nccl);
}

TEST_F(NcclCommunicatorTest, FailuresNameTheCall) {
  const auto comm = make();
  play.query = cudaErrorIllegalAddress;
  EXPECT_THAT([&] { comm->all_reduce(tensor, ReduceOp::kSum); },
              ThrowsMessage<CommError>(HasSubstr("cudaEventQuery failed: CUDA error 700")));
  play.query = cudaSuccess;
  play.answer = ncclInvalidUsage;
  EXPECT_THAT([&] { comm->broadcast(tensor, 0); },
              ThrowsMessage<CommError>(AllOf(HasSubstr("broadcast from 0 on rank 0 of 1"), HasSubstr("NCCL error 5"))));
  EXPECT_THAT([&] { make(); }, ThrowsMessage<CommError>(HasSubstr("starting NCCL on rank 0 of 1, cuda:0 failed")));
  at::Tensor ints = tensor.to(at::kInt);
  EXPECT_THAT([&] { comm->all_reduce(ints, ReduceOp::kSum); },
              ThrowsMessage<CommError>(HasSubstr("expected float32, float64")));
}

TEST_F(NcclCommunicatorTest, TensorsOnTheCpuDoNotGoThroughIt) {
  const auto comm = make();
  at::Tensor on_cpu = at::ones({4});
  comm->all_reduce(on_cpu, ReduceOp::kSum);
  comm->broadcast(on_cpu, 0);
  EXPECT_EQ(comm->all_gather(on_cpu).sizes(), at::IntArrayRef({1, 4}));
  comm->start_sum(on_cpu);
  EXPECT_THAT(play.asked, IsEmpty());
}

TEST_F(NcclCommunicatorTest, IsEndedTogetherOrGivenUpAlone) {
  {
    const auto comm = make();
    comm->finish();
  }
  EXPECT_THAT(play.asked, ElementsAre("event 2 on sums", "computation waits for 2", "event 3 on computation", "finalize",
                                      "destroy", "abort"))
      << "which has nothing left to do";
  play.asked.clear();
  make();
  EXPECT_THAT(play.asked, ElementsAre("abort"));
}

}  // namespace
}  // namespace ulmfit::comm
