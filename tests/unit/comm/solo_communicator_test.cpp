#include "comm/solo_communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ulmfit::comm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(SoloCommunicator, IsTheOnlyRank) {
  SoloCommunicator comm;
  EXPECT_EQ(comm.rank(), 0);
  EXPECT_EQ(comm.size(), 1);
  EXPECT_EQ(comm.local_size(), 1);
  EXPECT_FALSE(comm.overlaps());
  comm.barrier();
  comm.finish();
}

TEST(SoloCommunicator, EveryOperationIsTheIdentity) {
  SoloCommunicator comm;
  const at::Tensor expected = at::arange(6, at::kFloat).view({2, 3});
  at::Tensor tensor = expected.clone();
  for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMin, ReduceOp::kMax}) comm.all_reduce(tensor, op);
  comm.broadcast(tensor, 0);
  comm.start_sum(tensor);
  comm.finish_sums();
  EXPECT_TRUE(at::equal(tensor, expected));
  EXPECT_TRUE(at::equal(comm.all_gather(tensor), expected.unsqueeze(0)));
  at::Tensor theirs = at::zeros({2, 3});
  comm.exchange(tensor, theirs, 0);
  EXPECT_TRUE(at::equal(theirs, expected));
}

TEST(SoloCommunicator, AGpuThatHangsIsNotAwaitedForEver) {
  SoloCommunicator comm(at::Device(at::kCUDA, 0), "a GPU", std::chrono::milliseconds(20));
  comm.wait_until([] { return true; }, "computation");
  EXPECT_THAT(
      [&] { comm.wait_until([] { return false; }, "computation"); },
      ThrowsMessage<CommError>(HasSubstr("computation on rank 0 of 1 has waited 0.02 s (--comm.deadline) for cuda:0")));
}

TEST(SoloCommunicator, GatheredValuesAreACopy) {
  SoloCommunicator comm;
  at::Tensor mine = at::ones({3});
  const at::Tensor all = comm.all_gather(mine);
  mine.zero_();
  EXPECT_TRUE(at::equal(all, at::ones({1, 3})));
}

TEST(SoloCommunicator, BytesAreTheirOwn) {
  SoloCommunicator comm;
  std::string text("with\0zero", 9);
  comm.broadcast_bytes(text, 0);
  EXPECT_EQ(text, std::string("with\0zero", 9));
  EXPECT_THAT(comm.all_gather_bytes(text), ElementsAre(text));
  EXPECT_THAT(comm.all_gather_bytes(""), ElementsAre(""));
  EXPECT_TRUE(comm.broadcast_flag(true, 0));
  EXPECT_FALSE(comm.broadcast_flag(false, 0));
}

// What would fail on many ranks fails on one.
TEST(SoloCommunicator, RefusesWhatOtherCommunicatorsRefuse) {
  SoloCommunicator comm;
  at::Tensor columns = at::ones({4, 4}).t().narrow(1, 0, 2);
  EXPECT_THAT([&] { comm.all_reduce(columns, ReduceOp::kSum); },
              ThrowsMessage<CommError>(HasSubstr("all_reduce on rank 0 of 1: Float [4, 2] on cpu: expected a contiguous")));
  at::Tensor undefined;
  EXPECT_THROW(comm.all_reduce(undefined, ReduceOp::kSum), CommError);
  at::Tensor tensor = at::ones({2});
  EXPECT_THAT([&] { comm.broadcast(tensor, 1); }, ThrowsMessage<CommError>(HasSubstr("there is no rank 1")));
  EXPECT_THROW(comm.exchange(tensor, tensor, -1), CommError);
}

TEST(SoloCommunicatorDeathTest, AbortEndsWithTheCode) {
  SoloCommunicator comm;
  EXPECT_EXIT(comm.abort(ExitCode::kDiverged, "the loss is nan"), testing::ExitedWithCode(6), "the loss is nan");
}

}  // namespace
}  // namespace ulmfit::comm
