#include "data/hdf5_handle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace ulmfit::data {
namespace {

using ::testing::ElementsAre;

std::vector<std::int64_t> closed;

int note(std::int64_t id) {
  closed.push_back(id);
  return id == 13 ? -1 : 0;
}

TEST(Hdf5Handle, ClosesOnce) {
  closed.clear();
  {
    Hdf5Handle first(1, note);
    const Hdf5Handle moved(std::move(first));
    Hdf5Handle early(2, note);
    EXPECT_TRUE(early.close());
    EXPECT_TRUE(early.close());
    const Hdf5Handle invalid(-1, note);
  }
  EXPECT_THAT(closed, ElementsAre(2, 1));
}

TEST(Hdf5Handle, ReportsAFailedClose) {
  Hdf5Handle unlucky(13, note);
  EXPECT_FALSE(unlucky.close());
}

}  // namespace
}  // namespace ulmfit::data
