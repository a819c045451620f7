#include "comm/world_check.h"

#include <gtest/gtest.h>

#include "comm/solo_communicator.h"

namespace ulmfit::comm {
namespace {

// Several ranks are in tests/distributed/world_check_test.cpp.
TEST(WorldCheck, OneRankAgreesWithItself) {
  SoloCommunicator comm;
  EXPECT_NO_THROW(world_check(comm, {{"binary", "0.1"}, {"not UTF-8", "\xff\xfe"}, {"", ""}}));
  EXPECT_NO_THROW(world_check(comm, {}));
  EXPECT_NO_THROW(state_agreement(comm, {{"w", 0xFFFFFFFFFFFFFFFFULL}}, 12));
}

}  // namespace
}  // namespace ulmfit::comm
