// Expectations are closed forms in the number of ranks, so the tests hold for any number.
#include "comm/communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/machine.h"
#include "comm/rank_cores.h"
#include "tests/distributed/ranks.h"
#include "tests/support/random_tensor.h"

namespace ulmfit::comm {
namespace {

using test::random_tensor;
using test::ranks;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr std::int64_t kPiece = 1 << 20;  // bytes that travel at once

// Around the pieces: none, one element, below and above where the algorithm changes, past one piece, past several.
std::vector<std::int64_t> sizes(std::int64_t element_bytes) {
  const std::int64_t piece = kPiece / element_bytes;
  return {0, 1, 3, 1000, piece / 4 - 1, piece / 4, piece, piece + 1, 5 * piece + 7};
}

bool same_on_all_ranks(const at::Tensor& tensor) {
  at::Tensor of_first = tensor.clone();
  ranks().broadcast(of_first, 0);
  at::Tensor same = at::scalar_tensor(static_cast<std::int64_t>(at::equal(of_first, tensor)), at::kLong);
  ranks().all_reduce(same, ReduceOp::kMin);
  return same.item<std::int64_t>() == 1;
}

TEST(Ranks, AreNumberedOnce) {
  Communicator& comm = ranks();
  const at::Tensor all = comm.all_gather(at::scalar_tensor(std::int64_t{comm.rank()}, at::kLong));
  EXPECT_TRUE(at::equal(all, at::arange(comm.size(), at::kLong)));
  EXPECT_EQ(comm.local_size(), comm.size());                                     // all on this machine
  EXPECT_EQ(cores_of_rank(comm), std::max(available_cores() / comm.size(), 1));  // and none of them bound
}

TEST(AllReduce, SumOfRanksIsAClosedForm) {
  Communicator& comm = ranks();
  const std::int64_t n = comm.size();
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong, at::kByte}) {
    for (const std::int64_t size : sizes(static_cast<std::int64_t>(c10::elementSize(type)))) {
      at::Tensor tensor = at::full({size}, comm.rank(), type);
      comm.all_reduce(tensor, ReduceOp::kSum);
      EXPECT_TRUE(at::equal(tensor, at::full({size}, n * (n - 1) / 2, type))) << toString(type) << " " << size;
    }
  }
}

TEST(AllReduce, EachElementIsSummedAtItsPlace) {
  Communicator& comm = ranks();
  const std::int64_t n = comm.size();
  const std::int64_t size = 3 * kPiece / 4 + 5;
  at::Tensor tensor = at::arange(size, at::kLong).remainder(1000).to(at::kFloat) * (comm.rank() + 1);
  comm.all_reduce(tensor, ReduceOp::kSum);
  EXPECT_TRUE(at::equal(tensor, at::arange(size, at::kLong).remainder(1000).to(at::kFloat) * (n * (n + 1) / 2)));
}

TEST(AllReduce, MinAndMax) {
  Communicator& comm = ranks();
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong}) {
    for (const std::int64_t size : {std::int64_t{1}, kPiece / 4 + 1}) {
      at::Tensor least = at::full({size}, comm.rank() + 3, type);
      at::Tensor most = least.clone();
      comm.all_reduce(least, ReduceOp::kMin);
      comm.all_reduce(most, ReduceOp::kMax);
      EXPECT_TRUE(at::equal(least, at::full({size}, 3, type)));
      EXPECT_TRUE(at::equal(most, at::full({size}, comm.size() + 2, type)));
    }
  }
}

TEST(AllReduce, RandomSumsHaveTheSameBitsOnAllRanks) {
  Communicator& comm = ranks();
  for (const std::int64_t size : {1000L, 100'000L, 1'000'003L}) {
    at::Tensor tensor = random_tensor({size}, static_cast<std::uint32_t>(comm.rank()));
    at::Tensor expected = at::zeros({size}, at::kDouble);
    for (int rank = 0; rank < comm.size(); ++rank) expected += random_tensor({size}, static_cast<std::uint32_t>(rank));
    comm.all_reduce(tensor, ReduceOp::kSum);
    EXPECT_TRUE(same_on_all_ranks(tensor));
    EXPECT_TRUE(at::allclose(tensor.to(at::kDouble), expected, 1e-5, 1e-3));
  }
}

TEST(AllReduce, KeepsShapeAndReachesScalars) {
  Communicator& comm = ranks();
  at::Tensor tensor = at::ones({2, 3, 4});
  comm.all_reduce(tensor, ReduceOp::kSum);
  EXPECT_TRUE(at::equal(tensor, at::full({2, 3, 4}, comm.size(), at::kFloat)));
  at::Tensor scalar = at::scalar_tensor(0.5, at::kDouble);
  comm.all_reduce(scalar, ReduceOp::kSum);
  EXPECT_EQ(scalar.item<double>(), 0.5 * comm.size());
}

TEST(AllReduce, RefusesWhatItCannotSumOnEveryRankAlike) {
  Communicator& comm = ranks();
  at::Tensor half = at::ones({4}, at::kBFloat16);
  EXPECT_THAT([&] { comm.all_reduce(half, ReduceOp::kSum); },
              ThrowsMessage<CommError>(HasSubstr(str("all_reduce on rank ", comm.rank(), " of ", comm.size(),
                                                     ": BFloat16 [4] on cpu: expected float32, float64, int64 or uint8"))));
  at::Tensor columns = at::ones({4, 4}).t();
  EXPECT_THAT([&] { comm.all_reduce(columns, ReduceOp::kSum); }, ThrowsMessage<CommError>(HasSubstr("contiguous")));
  comm.barrier();
}

TEST(Broadcast, EveryRootReachesAll) {
  Communicator& comm = ranks();
  for (int root = 0; root < comm.size(); ++root) {
    for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong, at::kByte, at::kBFloat16}) {
      for (const std::int64_t size : sizes(static_cast<std::int64_t>(c10::elementSize(type)))) {
        at::Tensor tensor = at::full({size}, comm.rank() + 1, type);
        comm.broadcast(tensor, root);
        ASSERT_TRUE(at::equal(tensor, at::full({size}, root + 1, type))) << toString(type) << " " << size;
      }
    }
  }
  at::Tensor tensor = at::ones({1});
  EXPECT_THAT([&] { comm.broadcast(tensor, comm.size()); }, ThrowsMessage<CommError>(HasSubstr("there is no rank")));
}

TEST(AllGather, StacksInRankOrder) {
  Communicator& comm = ranks();
  for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{7}, kPiece / 8 + 3}) {
    const auto value_of = [&](int rank) { return at::arange(rows * 3, at::kFloat).view({rows, 3}) + 100 * rank; };
    const at::Tensor all = comm.all_gather(value_of(comm.rank()));
    ASSERT_EQ(all.sizes(), (std::vector<std::int64_t>{comm.size(), rows, 3}));
    for (int rank = 0; rank < comm.size(); ++rank) EXPECT_TRUE(at::equal(all[rank], value_of(rank)));
  }
  EXPECT_EQ(comm.all_gather(at::empty({0, 4})).sizes(), (std::vector<std::int64_t>{comm.size(), 0, 4}));
}

TEST(AllGatherBytes, UnequalStringsEmptyOnesIncluded) {
  Communicator& comm = ranks();
  const auto text_of = [](int rank) {
    return std::string(static_cast<std::size_t>(rank * rank) * 300'000, char('a' + rank));
  };
  const std::vector<std::string> all = comm.all_gather_bytes(text_of(comm.rank()));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(comm.size()));
  for (int rank = 0; rank < comm.size(); ++rank) EXPECT_TRUE(all[static_cast<std::size_t>(rank)] == text_of(rank));
}

TEST(BroadcastBytes, ReplacesLongerAndShorterStrings) {
  Communicator& comm = ranks();
  const int root = comm.size() - 1;
  for (const std::string& sent : {std::string(), std::string("with\0zero", 9), std::string(3 * kPiece + 1, 'x')}) {
    std::string bytes = comm.rank() == root ? sent : std::string(static_cast<std::size_t>(comm.rank()) * 100, '?');
    comm.broadcast_bytes(bytes, root);
    EXPECT_TRUE(bytes == sent) << sent.size();
  }
}

TEST(BroadcastFlag, IsTheRootsOnAllRanks) {
  Communicator& comm = ranks();
  for (int root = 0; root < comm.size(); ++root) {
    for (const bool flag : {true, false}) EXPECT_EQ(comm.broadcast_flag((comm.rank() == root) == flag, root), flag);
  }
}

TEST(Exchange, SwapsWithTheNeighbour) {
  Communicator& comm = ranks();
  const int peer = comm.rank() ^ 1;
  if (peer < comm.size()) {
    // Rank r gives r + 1 units: the two directions differ in size.
    for (const std::int64_t unit : {std::int64_t{0}, std::int64_t{1}, kPiece / 3 + 1}) {
      const at::Tensor mine = at::full({(comm.rank() + 1) * unit}, comm.rank(), at::kFloat);
      at::Tensor theirs = at::full({(peer + 1) * unit}, -1, at::kFloat);
      comm.exchange(mine, theirs, peer);
      EXPECT_TRUE(at::equal(theirs, at::full({(peer + 1) * unit}, peer, at::kFloat)));
    }
  }
  at::Tensor copy = at::zeros({3});
  comm.exchange(at::full({3}, 7.0), copy, comm.rank());
  EXPECT_TRUE(at::equal(copy, at::full({3}, 7.0)));
}

// Ranks that do not make the mirrored call are found out.
TEST(Exchange, MissingBytesAreAnError) {
  Communicator& comm = ranks();
  const int peer = comm.rank() ^ 1;
  if (peer < comm.size()) {
    const bool sender = comm.rank() < peer;
    at::Tensor theirs = at::empty({sender ? 0 : 10});
    const at::Tensor mine = at::ones({sender ? 8 : 0});
    if (sender) {
      comm.exchange(mine, theirs, peer);
    } else {
      EXPECT_THAT([&] { comm.exchange(mine, theirs, peer); },
                  ThrowsMessage<CommError>(HasSubstr("expected 40 bytes, 32 came")));
    }
  }
  comm.barrier();
}

TEST(Barrier, LetsNoRankPassBeforeTheLast) {
  Communicator& comm = ranks();
  using Clock = std::chrono::steady_clock;  // one machine, one clock
  for (int late = 0; late < comm.size(); ++late) {
    if (comm.rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    const std::int64_t arrived = Clock::now().time_since_epoch().count();
    comm.barrier();
    const std::int64_t left = Clock::now().time_since_epoch().count();
    at::Tensor last_arrival = at::scalar_tensor(arrived, at::kLong);
    comm.all_reduce(last_arrival, ReduceOp::kMax);
    EXPECT_GE(left, last_arrival.item<std::int64_t>());
  }
}

}  // namespace
}  // namespace ulmfit::comm
