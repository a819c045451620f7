#include "base/activity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace ulmfit {
namespace {

using ::testing::ElementsAre;

TEST(Activity, IsTheInnermostOfThisThread) {
  EXPECT_EQ(current_activity(), "");
  {
    const Activity outer("validation");
    EXPECT_EQ(current_activity(), "validation");
    {
      const Activity inner("LSTM");
      EXPECT_EQ(current_activity(), "LSTM");
      std::thread([] { EXPECT_EQ(current_activity(), ""); }).join();
    }
    EXPECT_EQ(current_activity(), "validation");
  }
  EXPECT_EQ(current_activity(), "");
}

TEST(Activity, IsToldWithTheStep) {
  {
    const CurrentStep step(12);
    EXPECT_EQ(current_activity(), "step 12");
    const Activity activity("all-reduce");
    EXPECT_EQ(current_activity(), "step 12, all-reduce");
  }
  const Activity activity("validation");
  EXPECT_EQ(current_activity(), "validation");
}

TEST(Activity, IsToldToTheListener) {
  static std::vector<std::string> heard;
  static constexpr ActivityListener kListener{
      [](const Activity& a) noexcept { heard.push_back(std::string("+") + a.name()); },
      [](const Activity& a) noexcept { heard.push_back(std::string("-") + a.name()); }};
  {
    const Activity before("before");
    set_activity_listener(&kListener);
    const Activity outer("outer");
    const Activity inner("inner");
  }
  set_activity_listener(nullptr);
  const Activity after("after");
  EXPECT_THAT(heard, ElementsAre("+outer", "+inner", "-inner", "-outer", "-before"));
}

}  // namespace
}  // namespace ulmfit
