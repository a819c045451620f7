#include "model/vocabulary_transfer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

using test::closed_form;
using test::relative_difference;
using test::same_bits;

TEST(TransferRows, KnownRowsAreCopiedAndNewOnesAreTheMean) {
  const at::Tensor old = closed_form(1, {7, 3}, 2).requires_grad_(true);
  const at::Tensor moved = transfer_rows(old, {4, -1, 0, 4, -1});
  EXPECT_TRUE(same_bits(moved[0], old[4]));
  EXPECT_TRUE(same_bits(moved[2], old[0]));
  EXPECT_TRUE(same_bits(moved[3], old[4]));
  EXPECT_LT(relative_difference(moved[1], old.detach().to(at::kDouble).mean(0)), 1e-6);
  EXPECT_TRUE(same_bits(moved[4], moved[1]));
  EXPECT_FALSE(moved.requires_grad());
}

TEST(TransferRows, ABiasMovesAsItsRowsDo) {
  const at::Tensor old = at::tensor({1.0F, 2.0F, 6.0F});
  EXPECT_TRUE(same_bits(transfer_rows(old, {2, -1, 1}), at::tensor({6.0F, 3.0F, 2.0F})));
}

TEST(TransferRows, TheSameWordsInAnotherOrderAreAPermutation) {
  const at::Tensor old = closed_form(1, {5, 3}, 2);
  const std::vector<std::int64_t> order{3, 1, 4, 0, 2};
  EXPECT_TRUE(same_bits(transfer_rows(old, order), old.index_select(0, at::tensor(order, at::kLong))));
  EXPECT_TRUE(same_bits(transfer_rows(old, {0, 1, 2, 3, 4}), old));
}

TEST(TransferRows, AVocabularyWithNoKnownWordIsAllMean) {
  const at::Tensor old = closed_form(1, {5, 3}, 2);
  const at::Tensor moved = transfer_rows(old, std::vector<std::int64_t>(9, -1));
  EXPECT_LT(relative_difference(moved, old.mean(0).expand({9, 3})), 1e-6);
}

TEST(TransferRows, TheResultIsACopy) {
  const at::Tensor old = closed_form(1, {5, 3}, 2);
  const at::Tensor before = old.clone();
  transfer_rows(old, {0, 1, 2, 3, 4}).zero_();
  EXPECT_TRUE(same_bits(old, before));
}

}  // namespace
}  // namespace ulmfit::model
