#include "optim/unfreeze_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "base/error.h"

namespace ulmfit::optim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "0011x2": flags by group, epochs.
std::vector<std::string> written(const std::vector<Phase>& plan) {
  std::vector<std::string> out;
  for (const Phase& phase : plan) {
    std::string text;
    for (const bool trains : phase.trainable) text += trains ? '1' : '0';
    out.push_back(text + "x" + std::to_string(phase.epochs));
  }
  return out;
}

std::string refusal(std::string_view text, std::size_t groups, std::int64_t epochs) {
  try {
    parse_unfreeze_plan(text, groups, epochs);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(UnfreezePlan, NamedPlans) {
  EXPECT_THAT(written(parse_unfreeze_plan("full", 5, 8)), ElementsAre("11111x8"));
  EXPECT_THAT(written(parse_unfreeze_plan("last", 5, 8)), ElementsAre("00001x8"));
  EXPECT_THAT(written(parse_unfreeze_plan("paper", 5, 8)),
              ElementsAre("00001x1", "00011x1", "00111x1", "01111x1", "11111x4"));
  EXPECT_THAT(written(parse_unfreeze_plan("paper", 5, 5)),
              ElementsAre("00001x1", "00011x1", "00111x1", "01111x1", "11111x1"));
  EXPECT_THAT(written(parse_unfreeze_plan("released", 5, 52)), ElementsAre("00001x1", "00011x1", "11111x50"));
  EXPECT_THAT(written(parse_unfreeze_plan("released", 4, 3)), ElementsAre("0001x1", "0011x1", "1111x1"));
}

TEST(UnfreezePlan, FewGroups) {
  EXPECT_THAT(written(parse_unfreeze_plan("paper", 1, 2)), ElementsAre("1x2"));
  EXPECT_THAT(written(parse_unfreeze_plan("released", 2, 4)), ElementsAre("01x1", "11x3"));
  EXPECT_THAT(written(parse_unfreeze_plan("released", 1, 4)), ElementsAre("1x4"));
}

TEST(UnfreezePlan, EpochsByPhase) {
  EXPECT_THAT(written(parse_unfreeze_plan("1,1,1,3", 5, 6)), ElementsAre("00001x1", "00011x1", "00111x1", "11111x3"));
  EXPECT_THAT(written(parse_unfreeze_plan("2,1,1,1,2", 5, 7)),
              ElementsAre("00001x2", "00011x1", "00111x1", "01111x1", "11111x2"));
  EXPECT_THAT(written(parse_unfreeze_plan("4", 5, 4)), ElementsAre("11111x4"));
}

TEST(UnfreezePlan, EveryPlanTrainsTheHeadThroughoutAndSpendsAllEpochs) {
  for (const std::string_view name : {"full", "last", "paper", "released"}) {
    for (std::size_t groups = 1; groups <= 6; ++groups) {
      for (std::int64_t epochs = 6; epochs < 12; ++epochs) {
        std::int64_t sum = 0;
        for (const Phase& phase : parse_unfreeze_plan(name, groups, epochs)) {
          EXPECT_EQ(phase.trainable.size(), groups);
          EXPECT_TRUE(phase.trainable.back());
          EXPECT_GE(phase.epochs, 1);
          sum += phase.epochs;
        }
        EXPECT_EQ(sum, epochs);
      }
    }
  }
}

TEST(UnfreezePlan, OneGroupAfterTheOther) {
  EXPECT_THAT(written(parse_unfreeze_plan("chain-thaw", 4, 7)),
              ElementsAre("0001x1", "1000x1", "0100x1", "0010x1", "1111x3"));
  EXPECT_THAT(written(parse_unfreeze_plan("bottom-up", 4, 6)), ElementsAre("1000x1", "0100x1", "0010x1", "0001x3"));
  EXPECT_THAT(written(parse_unfreeze_plan("chain-thaw", 1, 2)), ElementsAre("1x2"));
  EXPECT_THAT(written(parse_unfreeze_plan("bottom-up", 1, 2)), ElementsAre("1x2"));
  EXPECT_THAT(refusal("chain-thaw", 5, 5), HasSubstr("'chain-thaw' has 6 phases"));
  EXPECT_THAT(refusal("bottom-up", 5, 4), HasSubstr("'bottom-up' has 5 phases"));
}

TEST(UnfreezePlan, OfNamedGroupsAlone) {
  const std::vector<std::string> names{"embedding", "rnn0", "rnn1", "head"};
  EXPECT_THAT(written(restricted(parse_unfreeze_plan("full", 4, 3), names, {"head", "rnn0"})), ElementsAre("0101x3"));
  EXPECT_THAT(written(restricted(parse_unfreeze_plan("1,1,2", 4, 4), names, {"head", "embedding"})),
              ElementsAre("0001x1", "0001x1", "1001x2"));
  const auto failure = [&](std::string_view plan, const std::vector<std::string>& wanted) {
    try {
      restricted(parse_unfreeze_plan(plan, 4, 8), names, wanted);
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string("none");
  };
  EXPECT_THAT(failure("full", {"rnn2"}),
              HasSubstr("no layer group 'rnn2' to train; this model has embedding, rnn0, rnn1, head"));
  EXPECT_THAT(failure("paper", {"rnn0"}), HasSubstr("phase 1 of the unfreezing plan trains none"));
}

TEST(UnfreezePlan, RefusesNonsense) {
  EXPECT_THAT(refusal("paper", 5, 4), HasSubstr("'paper' has 5 phases"));
  EXPECT_THAT(refusal("paper", 5, 4), HasSubstr("the stage has 4 epochs; give 5 epochs or more"));
  EXPECT_THAT(refusal("released", 5, 2), HasSubstr("'released' has 3 phases"));
  EXPECT_THAT(refusal("1,1,1,3", 5, 5), HasSubstr("adds up to 6 epochs, but the stage has 5; set the epochs to 6"));
  EXPECT_THAT(refusal("1,1,1", 2, 3), HasSubstr("has 3 phases, but the model has only 2 layer groups"));
  for (const std::string_view bad :
       {"", "gradual", "1,,2", "1,", ",1", "0,1", "-1,2", "1.5", "1 ,1", "2000000", "99999999999999999999"}) {
    EXPECT_THAT(refusal(bad, 5, 3),
                HasSubstr("is neither a plan (full, last, paper, released, chain-thaw, bottom-up) nor a number"))
        << bad;
  }
  EXPECT_THAT(refusal("full", 5, 0), HasSubstr("needs one epoch or more, but the stage has 0"));
  EXPECT_THROW(parse_unfreeze_plan("full", 0, 1), std::invalid_argument);
}

TEST(UnfreezePlan, IsDescribedLineByLine) {
  const std::vector<std::string> names = {"embedding", "rnn", "head"};
  EXPECT_THAT(describe(parse_unfreeze_plan("1,2,4", 3, 7), names,
                       {{0.01, 0.02, 0.04}, {0.0025, 0.005, 0.01}, {0.001, 0.002, 0.004}}),
              ElementsAre("phase 1, epoch 1: trains head (0.04); frozen: embedding, rnn",
                          "phase 2, epochs 2-3: trains rnn (0.005), head (0.01); frozen: embedding",
                          "phase 3, epochs 4-7: trains embedding (0.001), rnn (0.002), head (0.004); frozen: none"));
}

}  // namespace
}  // namespace ulmfit::optim
