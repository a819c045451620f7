#include "comm/rank_cores.h"

#include <gtest/gtest.h>

#include "base/machine.h"
#include "comm/solo_communicator.h"

namespace ulmfit::comm {
namespace {

TEST(RankCores, OfRanksThatMayRunAnywhereAreDivided) {
  const std::vector<int> all{0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(share_of_cores({all}), 8);
  EXPECT_EQ(share_of_cores({all, all}), 4);
  EXPECT_EQ(share_of_cores({all, all, all}), 2);
}

TEST(RankCores, OfBoundRanksAreTheirOwn) {
  EXPECT_EQ(share_of_cores({{0, 1, 2}, {3, 4, 5}, {6, 7, 8}}), 3);
  EXPECT_EQ(share_of_cores({{0}, {1}}), 1);
  EXPECT_EQ(share_of_cores({{0, 1}, {2, 3, 4, 5, 6, 7}}), 2);  // alike on all
}

TEST(RankCores, OfRanksOnSocketsAreThoseOfTheFullerOne) {
  const std::vector<int> one{0, 1, 2, 3}, other{4, 5, 6, 7};
  EXPECT_EQ(share_of_cores({one, other, one}), 2);
  EXPECT_EQ(share_of_cores({one, other, one, other, one}), 1);
}

TEST(RankCores, AreOneAtLeast) {
  EXPECT_EQ(share_of_cores({{0}, {0}, {0}}), 1);
  EXPECT_EQ(share_of_cores({{}, {}}), 1);  // nothing could be read
}

TEST(RankCores, ThatALauncherLeavesIdleAreNoticed) {
  EXPECT_TRUE(leaves_cores(1, 2, 64));
  EXPECT_TRUE(leaves_cores(8, 4, 64));
  EXPECT_FALSE(leaves_cores(16, 4, 64));
  EXPECT_FALSE(leaves_cores(1, 2, 2));
  EXPECT_FALSE(leaves_cores(1, 2, 0));  // it could not be read
}

TEST(RankCores, AloneAreAllThatAreAllowed) {
  SoloCommunicator comm;
  EXPECT_EQ(cores_of_rank(comm), available_cores());
}

}  // namespace
}  // namespace ulmfit::comm
