#include "comm/gpu_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace ulmfit::comm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(GpuChoice, RanksThatSeeAllTakeTheirOwnInOrder) {
  EXPECT_THAT(choose_gpus({{"a", "b"}, {"a", "b"}, {"c", "d"}, {"c", "d"}}, false), ElementsAre(0, 1, 0, 1)) << "two hosts";
  EXPECT_THAT(choose_gpus({{"a", "b", "c"}, {"a", "b", "c"}}, false), ElementsAre(0, 1)) << "more GPUs than ranks";
}

TEST(GpuChoice, RanksThatSeeOneTakeIt) {
  EXPECT_THAT(choose_gpus({{"a"}, {"b"}, {"c"}, {"d"}}, false), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(choose_gpus({{"b", "a"}, {"a", "b"}}, false), ElementsAre(0, 0)) << "each in an order of its own";
}

TEST(GpuChoice, TwoRanksOnOneAreRefusedByNameUnlessTheyMayShare) {
  EXPECT_THAT(
      [] {
        choose_gpus({{"a"}, {"GPU-7"}, {"GPU-7"}}, false);
      },
      ThrowsMessage<CommError>(AllOf(HasSubstr("rank 2"), HasSubstr("GPU-7"), HasSubstr("by rank 1"))));
  EXPECT_THAT(
      [] {
        choose_gpus({{"a", "b"}, {"a", "b"}, {"a", "b"}}, false);
      },
      ThrowsMessage<CommError>(HasSubstr("rank 2")));
  EXPECT_THAT(choose_gpus({{"a", "b"}, {"a", "b"}, {"a", "b"}, {"a", "b"}}, true), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(choose_gpus({{"a"}, {"a"}}, true), ElementsAre(0, 0));
  EXPECT_THAT([] { choose_gpus({{"a"}, {}}, true); }, ThrowsMessage<CommError>(HasSubstr("rank 1: it sees none")));
}

}  // namespace
}  // namespace ulmfit::comm
