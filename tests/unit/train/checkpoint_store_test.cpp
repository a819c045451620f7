#include "train/checkpoint_store.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::train {
namespace {

using ::testing::HasSubstr;

Snapshot snapshot_of(std::int64_t step, std::int64_t best = -1) {
  Snapshot snapshot;
  snapshot.step = step;
  snapshot.best_step = best;
  snapshot.model = {{"w", at::full({3, 2}, static_cast<double>(step))}};
  snapshot.training = {{"m", at::arange(4, at::kFloat)}};
  snapshot.state = {{"step", step}};
  return snapshot;
}

void save_whole(CheckpointStore& store, const Snapshot& snapshot) {
  store.save(snapshot);
  ASSERT_TRUE(store.finish());
}

TEST(CheckpointStore, GivesBackWhatItWasGiven) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), 2);
  EXPECT_FALSE(store.latest());
  save_whole(store, snapshot_of(7));
  const auto loaded = store.latest();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 7);
  EXPECT_EQ(loaded->state.at("step"), 7);
  EXPECT_TRUE(at::equal(loaded->model.at(0).second, at::full({3, 2}, 7.0)));
  EXPECT_TRUE(at::equal(loaded->training.at(0).second, at::arange(4, at::kFloat)));
}

TEST(CheckpointStore, WritesACopyOfTheMomentOfSaving) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), 2);
  const Snapshot snapshot = snapshot_of(1);
  store.save(snapshot);
  at::Tensor weights = snapshot.model[0].second;
  weights.fill_(-1);  // training goes on while the file is written
  store.finish();
  EXPECT_TRUE(at::equal(store.latest()->model.at(0).second, at::full({3, 2}, 1.0)));
}

TEST(CheckpointStore, KeepsTheNewestAndTheBest) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), 2);
  save_whole(store, snapshot_of(1, 1));
  for (std::int64_t step = 2; step <= 5; ++step) save_whole(store, snapshot_of(step, 1));
  for (const int step : {1, 4, 5}) EXPECT_TRUE(fs::exists(dir / checkpoint_name(step))) << step;
  for (const int step : {2, 3}) EXPECT_FALSE(fs::exists(dir / checkpoint_name(step))) << step;
}

TEST(CheckpointStore, PassesOverABrokenNewest) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), 3);
  save_whole(store, snapshot_of(1));
  save_whole(store, snapshot_of(2));
  std::string bytes = read_file(dir / checkpoint_name(2) / "model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomic(dir / checkpoint_name(2) / "model.safetensors", bytes);
  EXPECT_EQ(store.latest()->step, 1);
  fs::remove(dir / checkpoint_name(1) / "MANIFEST.json");
  EXPECT_FALSE(store.latest());
  try {
    store.load(2);
    FAIL();
  } catch (const CheckpointError& e) {
    EXPECT_THAT(e.what(), HasSubstr("model.safetensors"));
  }
}

TEST(CheckpointStore, RemovesWhatAKilledSaveLeft) {
  test::TempDir dir;
  fs::create_directories(dir / ".saving-step-000000009");
  const CheckpointStore store(dir.path(), 2);
  EXPECT_FALSE(fs::exists(dir / ".saving-step-000000009"));
}

TEST(CheckpointStore, AFailedSaveIsToldAndTheRunGoesOn) {
  test::TempDir dir;
  CheckpointStore store(dir / "checkpoints", 2);
  save_whole(store, snapshot_of(1));
  fs::remove_all(dir / "checkpoints");
  write_file_atomic(dir / "checkpoints", "a file where the folder was");
  store.save(snapshot_of(2));
  EXPECT_FALSE(store.finish());
  fs::remove(dir / "checkpoints");
  save_whole(store, snapshot_of(3));
  EXPECT_EQ(store.latest()->step, 3);
}

}  // namespace
}  // namespace ulmfit::train
