#include "comm/world_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/machine.h"
#include "tests/distributed/ranks.h"

namespace ulmfit::comm {
namespace {

using test::ranks;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

Facts facts(const std::string& vocabulary) {
  return {{"binary version", "0.1.0"}, {"vocabulary", vocabulary}, {"threads", "2"}};
}

TEST(WorldCheck, PassesWhereAllAgree) {
  EXPECT_NO_THROW(world_check(ranks(), facts("3fa1")));
  EXPECT_NO_THROW(state_agreement(ranks(), {{"w", 0x8000000000000001ULL}}, 4200));
}

TEST(WorldCheck, NamesTheOddRankOnEveryRank) {
  Communicator& comm = ranks();
  for (int odd = 0; odd < comm.size(); ++odd) {
    // Of two, the lower counts as right.
    const int named = comm.size() == 2 ? 1 : odd;
    const std::string its = named == odd ? "77c0" : "3fa1";
    const std::string others = named == odd ? "3fa1" : "77c0";
    EXPECT_THAT([&] { world_check(comm, facts(comm.rank() == odd ? "77c0" : "3fa1")); },
                ThrowsMessage<CommError>(AllOf(HasSubstr(str("vocabulary: rank ", named, " (", host_name(), ") has '", its,
                                                             "', the other ", comm.size() - 1, " '", others, "'")),
                                               Not(HasSubstr("threads")), Not(HasSubstr("binary")))));
  }
}

TEST(WorldCheck, RanksThatWouldComputeOnAnotherKindOfDeviceAreNamed) {
  Communicator& comm = ranks();
  EXPECT_NO_THROW(require_same_device(comm, at::kCPU));
  const int blind = comm.size() - 1;
  EXPECT_THAT([&] { require_same_device(comm, comm.rank() == blind ? at::kCPU : at::kCUDA); },
              ThrowsMessage<ConfigError>(HasSubstr(str("rank ", blind, " (", host_name(),
                                                       ") would compute on cpu, the others "
                                                       "on cuda"))));
}

TEST(WorldCheck, ShowsLongValuesWhereTheyDiffer) {
  Communicator& comm = ranks();
  std::string config(10'000, 'x');
  if (comm.rank() == comm.size() - 1) config[5'000] = 'y';
  EXPECT_THAT(
      [&] {
        world_check(comm, {{"config", config}});
      },
      ThrowsMessage<CommError>(
          AllOf(HasSubstr("'...xxxxxxxxxxxxxxxxxxxxyxxx"), HasSubstr("'...xxxxxxxxxxxxxxxxxxxxxxxx"))));
}

TEST(WorldCheck, AFactThatOneRankLacksIsADifference) {
  Communicator& comm = ranks();
  Facts mine = facts("3fa1");
  if (comm.rank() == comm.size() - 1) mine.emplace_back("GPU", "H100");
  EXPECT_THAT([&] { world_check(comm, mine); },
              ThrowsMessage<CommError>(HasSubstr(str("GPU: rank ", comm.size() - 1, " (", host_name(), ") has 'H100'"))));
}

TEST(WorldCheck, ListsSeveralRanksAndEveryDifference) {
  Communicator& comm = ranks();
  if (comm.size() < 4) return;
  Facts mine = facts(comm.rank() == 1 ? "a" : comm.rank() == 2 ? "b" : "c");
  mine[2].second = comm.rank() == 0 ? "4" : "2";
  if (comm.size() == 4) {
    EXPECT_THAT([&] { world_check(comm, mine); },
                ThrowsMessage<CommError>(AllOf(HasSubstr(str("vocabulary: ranks 1 (", host_name(), "), 2 (", host_name(),
                                                             ") differ, the first has 'a', the other 2 'c'")),
                                               HasSubstr("threads: rank 0 ("), HasSubstr("has '4', the other 3 '2'"))));
  }
}

TEST(StateAgreement, NamesTheOddRankTheStepAndTheTensorsThatDiffer) {
  Communicator& comm = ranks();
  const bool odd = comm.rank() == comm.size() - 1;
  EXPECT_THAT(
      [&] {
        state_agreement(comm, {{"a", 1}, {"b", odd ? 0xBAD : 0x600D}, {"c", 3}}, 1200);
      },
      ThrowsMessage<CommError>(
          AllOf(HasSubstr("after step 1200"),
                HasSubstr(str("b: rank ", comm.size() - 1, " (", host_name(), ") has 'hash 0000000000000bad'")),
                HasSubstr("'hash 000000000000600d'"), Not(HasSubstr("\n  a: ")), Not(HasSubstr("\n  c: ")))));
}

TEST(StateAgreement, ListsEightTensorsAndCountsTheOthers) {
  Communicator& comm = ranks();
  StateHashes state;
  for (int i = 0; i < 20; ++i) state.emplace_back(str("t", i), comm.rank() == 0 ? 1 : 2);
  EXPECT_THAT([&] { state_agreement(comm, state, 7); },
              ThrowsMessage<CommError>(AllOf(HasSubstr("t7: "), Not(HasSubstr("t8: ")), HasSubstr("and 12 more"))));
}

TEST(StateAgreement, ARankAtAnotherStepIsOdd) {
  Communicator& comm = ranks();
  EXPECT_THAT(
      [&] {
        state_agreement(comm, {{"w", 7}}, comm.rank() == 0 ? 10 : 11);
      },
      ThrowsMessage<CommError>(AllOf(HasSubstr("steps done: rank"), HasSubstr("'10'"), HasSubstr("'11'"))));
}

TEST(StateAgreement, OfTwoNeitherIsKnownToBeRight) {
  Communicator& comm = ranks();
  if (comm.size() != 2) return;
  EXPECT_THAT(
      [&] {
        state_agreement(comm, {{"w", static_cast<std::uint64_t>(comm.rank())}}, 1);
      },
      ThrowsMessage<CommError>(HasSubstr("neither side is known to be right")));
}

}  // namespace
}  // namespace ulmfit::comm
