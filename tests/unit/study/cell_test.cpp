#include "study/cell.h"

#include <gtest/gtest.h>

namespace ulmfit::study {
namespace {

const std::vector<Cell> kCells{{.name = "texts", .needs = {}},
                               {.name = "lm", .needs = {"texts"}},
                               {.name = "classifier", .needs = {"lm"}},
                               {.name = "scratch", .needs = {"texts"}}};

TEST(States, ACellIsOpenWhenAllThatItNeedsIsDone) {
  auto states = states_of(kCells, {});
  EXPECT_EQ(states["texts"], State::kOpen);
  EXPECT_EQ(states["lm"], State::kWaiting);
  EXPECT_EQ(states["classifier"], State::kWaiting);
  states = states_of(kCells, {{"texts", {.state = State::kDone}}});
  EXPECT_EQ(states["lm"], State::kOpen);
  EXPECT_EQ(states["scratch"], State::kOpen);
  EXPECT_EQ(states["classifier"], State::kWaiting);
}

TEST(States, ABrokenCellBlocksThoseBehindItAndNoOthers) {
  const std::map<std::string, Record> records{{"texts", {.state = State::kDone}},
                                              {"lm", {.state = State::kBroken, .exit_code = 6, .ended = 100}}};
  auto states = states_of(kCells, records);
  EXPECT_EQ(states["lm"], State::kBroken);
  EXPECT_EQ(states["classifier"], State::kBlocked);
  EXPECT_EQ(states["scratch"], State::kOpen);
  states = states_of(kCells, records, 100.5);
  EXPECT_EQ(states["lm"], State::kOpen) << "a later start tries it again";
  EXPECT_EQ(states["classifier"], State::kWaiting);
}

TEST(States, WhatIsDoneStaysDone) {
  const auto states = states_of(kCells, {{"classifier", {.state = State::kDone}}, {"texts", {.state = State::kBroken}}});
  EXPECT_EQ(states.at("classifier"), State::kDone);
  EXPECT_EQ(states.at("scratch"), State::kBlocked);
}

TEST(States, AStoppedCellIsStoppedUntilItsNeedsAreBroken) {
  EXPECT_EQ(states_of(kCells, {{"texts", {.state = State::kStopped}}}).at("texts"), State::kStopped);
  EXPECT_EQ(states_of(kCells, {{"texts", {.state = State::kBroken}}, {"lm", {.state = State::kStopped}}}).at("lm"),
            State::kBlocked);
}

}  // namespace
}  // namespace ulmfit::study
