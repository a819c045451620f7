#include "model/token_shares.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/model_checks.h"

namespace ulmfit::model {
namespace {

const std::vector<std::int64_t> kDocument{2, 5, 7, 1, 9, 4, 3, 8, 10, 6, 2, 7, 3};

class TokenShares : public ::testing::Test {
 protected:
  at::Tensor features(PoolingHead& head) {
    const at::NoGradGuard no_grad;
    const std::vector<const std::vector<std::int64_t>*> documents{&kDocument};
    return head.features(encoder_, documents, weights_, {}, nullptr)[0];
  }
  test::OneThread one_thread_;
  AwdLstm encoder_ = test::tiny_model();
  std::vector<LstmWeights> weights_ = encoder_.batch_weights(0, nullptr);
};

// Of one linear layer behind a batch norm, all shares of a class add up to what the max-pooled features add to its logit.
TEST_F(TokenShares, AddUpToTheMaxPoolsPartOfTheLogit) {
  for (const bool pool_all : {true, false}) {
    PoolingHead head({{18, 3}, {.window = 4, .length = 8, .pool_all = pool_all}}, 1, at::kCPU);
    test::set_closed_form(head);
    const auto parameters = head.parameters();
    const auto buffers = head.buffers();
    const at::Tensor scale = parameters[0].tensor.detach() / (buffers[1].second + 1e-5).sqrt();
    const at::Tensor of_max = (features(head) * scale * parameters[2].tensor.detach()).narrow(1, 6, 6).sum(1);
    const at::Tensor shares = token_shares(encoder_, head, weights_, kDocument);
    ASSERT_EQ(shares.sizes(), (at::IntArrayRef{3, 13}));
    EXPECT_LT(test::relative_difference(shares.sum(1), of_max), 1e-5);
    if (!pool_all) {  // the first ones are not pooled
      EXPECT_EQ(shares.narrow(1, 0, 8).abs().max().item<double>(), 0);
    }
  }
}

// A token that won no feature has no share; one that won all has everything.
TEST_F(TokenShares, GoToTheWinners) {
  PoolingHead head({{18, 5, 2}, {.window = 70, .length = 70}}, 1, at::kCPU);
  test::set_closed_form(head);
  const at::NoGradGuard no_grad;
  const at::Tensor x = at::tensor(kDocument, at::kLong).unsqueeze(1);
  const at::Tensor tops = encoder_.forward(x, encoder_.zero_state(1), weights_, {}, nullptr).top.squeeze(1);
  const at::Tensor winners = std::get<1>(tops.max(0));
  const at::Tensor shares = token_shares(encoder_, head, weights_, kDocument);
  for (std::int64_t t = 0; t < shares.size(1); ++t) {
    if (!(winners == t).any().item<bool>()) {
      EXPECT_EQ(shares.select(1, t).abs().max().item<double>(), 0) << t;
    }
  }
  EXPECT_GT(shares.abs().max().item<double>(), 0);
  const at::Tensor one = token_shares(encoder_, head, weights_, {2});
  EXPECT_EQ(one.sizes(), (at::IntArrayRef{2, 1}));
}

}  // namespace
}  // namespace ulmfit::model
