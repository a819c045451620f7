#include "train/early_stopping.h"

#include <gtest/gtest.h>

namespace ulmfit::train {
namespace {

TEST(EarlyStopping, StopsAfterThatManyValidationsInARowThatAreNoBetter) {
  EarlyStopping early(2);
  EXPECT_EQ(early.best_step(), -1);
  const struct {
    double score;
    std::int64_t best_step;
    bool stops;
  } validations[] = {{3, 10, false}, {2, 20, false}, {2, 20, false}, {1.5, 40, false}, {1.6, 40, false}, {1.5, 40, true}};
  std::int64_t step = 0;
  for (const auto& validation : validations) {
    early.add(validation.score, step += 10);
    EXPECT_EQ(early.best_step(), validation.best_step) << "after step " << step;
    EXPECT_EQ(early.stops(), validation.stops) << "after step " << step;
  }
}

TEST(EarlyStopping, WithoutPatienceNeverStops) {
  EarlyStopping early(0);
  for (std::int64_t step = 1; step < 100; ++step) early.add(static_cast<double>(step), step);
  EXPECT_FALSE(early.stops());
  EXPECT_EQ(early.best_step(), 1);
}

TEST(EarlyStopping, GoesOnAsSavedUnderThePatienceOfTheNewStart) {
  EarlyStopping early(5);
  early.add(1, 7);
  for (int i = 0; i < 3; ++i) early.add(2, 8 + i);
  nlohmann::json counters;
  early.save(counters);
  EarlyStopping same(5);
  same.load(counters);
  EXPECT_FALSE(same.stops());
  EXPECT_EQ(same.best_step(), 7);
  EarlyStopping stricter(3);
  stricter.load(counters);
  EXPECT_TRUE(stricter.stops());
  counters["best_score"] = nullptr;  // what older programs made of a NaN
  same.load(counters);
  EXPECT_EQ(same.best_step(), -1);
  counters.erase("bad_validations");
  EXPECT_THROW(same.load(counters), nlohmann::json::exception);
}

}  // namespace
}  // namespace ulmfit::train
