#include "train/checkpoint_store.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <memory>

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
  CheckpointStore store(dir.path(), {});
  EXPECT_FALSE(store.latest());
  save_whole(store, snapshot_of(7));
  const auto loaded = store.latest();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->step, 7);
  EXPECT_EQ(loaded->state.at("step"), 7);
  EXPECT_TRUE(at::equal(loaded->model.at(0).second, at::full({3, 2}, 7.0)));
  EXPECT_TRUE(at::equal(loaded->training.at(0).second, at::arange(4, at::kFloat)));
}

TEST(CheckpointStore, PassesOverOneOfARunThatHadDiverged) {
  const test::TempDir dir;
  CheckpointStore store(dir.path(), {3, 0});
  save_whole(store, snapshot_of(7));
  Snapshot diverged = snapshot_of(8);
  diverged.model[0].second[1][0] = std::nan("");
  save_whole(store, diverged);
  testing::internal::CaptureStderr();
  EXPECT_EQ(store.latest()->step, 7);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("checkpoint of step 8: w is not finite"));
  Snapshot states = snapshot_of(9);
  states.training[0].second[0] = HUGE_VAL;
  save_whole(store, states);
  EXPECT_EQ(store.latest()->step, 7) << "so does one of its moments or LSTM states";
}

TEST(CheckpointStore, PreparedBuffersChangeNothing) {
  const test::TempDir dir;
  CheckpointStore store(dir.path(), {});
  Snapshot snapshot = snapshot_of(3);
  store.prepare(snapshot);
  store.save(snapshot);  // at once: the buffers may still be made
  store.prepare(snapshot);
  ASSERT_TRUE(store.finish());
  EXPECT_TRUE(at::equal(store.load(3).model.at(0).second, snapshot.model[0].second));
  snapshot.step = 4;
  snapshot.model[0].second = at::full({7, 2}, 5.0);  // of another shape than was prepared
  store.save(snapshot);
  ASSERT_TRUE(store.finish());
  EXPECT_TRUE(at::equal(store.load(4).model.at(0).second, snapshot.model[0].second));
  EXPECT_TRUE(at::equal(store.load(4).training.at(0).second, snapshot.training[0].second));
  store.prepare(snapshot);  // the destructor waits for it
}

TEST(CheckpointStore, WritesACopyOfTheMomentOfSaving) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), {});
  const Snapshot snapshot = snapshot_of(1);
  store.save(snapshot);
  at::Tensor weights = snapshot.model[0].second;
  weights.fill_(-1);  // training goes on while the file is written
  store.finish();
  EXPECT_TRUE(at::equal(store.latest()->model.at(0).second, at::full({3, 2}, 1.0)));
}

TEST(CheckpointStore, KeepsTheNewestAndTheBest) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), {});
  save_whole(store, snapshot_of(1, 1));
  for (std::int64_t step = 2; step <= 5; ++step) save_whole(store, snapshot_of(step, 1));
  for (const int step : {1, 4, 5}) EXPECT_TRUE(fs::exists(dir / checkpoint_name(step))) << step;
  for (const int step : {2, 3}) EXPECT_FALSE(fs::exists(dir / checkpoint_name(step))) << step;
}

TEST(CheckpointStore, KeepsMultiplesOfAStepForGood) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), {.newest = 1, .every = 4});
  for (const int step : {3, 4, 6, 8, 9, 10}) save_whole(store, snapshot_of(step));
  for (const int step : {4, 8, 10}) EXPECT_TRUE(fs::exists(dir / checkpoint_name(step))) << step;
  for (const int step : {3, 6, 9}) EXPECT_FALSE(fs::exists(dir / checkpoint_name(step))) << step;
}

TEST(CheckpointStore, ABrokenLaterOneDoesNotDriveOutWhatIsSaved) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), {.newest = 1});
  save_whole(store, snapshot_of(9));
  fs::remove(dir / checkpoint_name(9) / "MANIFEST.json");
  save_whole(store, snapshot_of(5));
  EXPECT_EQ(store.latest()->step, 5);
  EXPECT_FALSE(fs::exists(dir / checkpoint_name(9)));
}

TEST(CheckpointStore, ASecondSaveWaitsForTheFirst) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), {});
  Snapshot large = snapshot_of(1);
  large.model = {{"w", at::ones({8'000'000})}};
  store.save(large);
  store.save(snapshot_of(2));
  EXPECT_TRUE(fs::exists(dir / checkpoint_name(1)));
  EXPECT_TRUE(store.finish());
}

TEST(CheckpointStore, ItsEndWaitsForTheSave) {
  test::TempDir dir;
  {
    CheckpointStore store(dir.path(), {});
    Snapshot large = snapshot_of(1);
    large.model = {{"w", at::ones({8'000'000})}};
    store.save(large);
  }
  EXPECT_TRUE(fs::exists(dir / checkpoint_name(1)));
}

TEST(CheckpointStore, PassesOverABrokenNewest) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), {.newest = 3});
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
  const CheckpointStore store(dir.path(), {});
  EXPECT_FALSE(fs::exists(dir / ".saving-step-000000009"));
}

TEST(CheckpointStore, AFailedSaveIsToldAndTheRunGoesOn) {
  test::TempDir dir;
  CheckpointStore store(dir / "checkpoints", {});
  save_whole(store, snapshot_of(1));
  fs::remove_all(dir / "checkpoints");
  write_file_atomic(dir / "checkpoints", "a file where the folder was");
  store.save(snapshot_of(2));
  EXPECT_FALSE(store.finish());
  fs::remove(dir / "checkpoints");
  save_whole(store, snapshot_of(3));
  EXPECT_EQ(store.latest()->step, 3);
}

// No file may grow beyond this while it lives: what a full disk does to a large file.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(CheckpointStore, AFailedSaveLeavesNothingBehind) {
  test::TempDir dir;
  CheckpointStore store(dir.path(), {});
  save_whole(store, snapshot_of(1));
  {
    const FileSizeLimit limit(100);
    store.save(snapshot_of(2));
    EXPECT_FALSE(store.finish());
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()), 1);
  EXPECT_EQ(store.latest()->step, 1);
  save_whole(store, snapshot_of(3));
  EXPECT_EQ(store.latest()->step, 3);
}

Snapshot judged(std::int64_t step, std::int64_t best) {
  Snapshot snapshot = snapshot_of(step, best);
  snapshot.state["counters"]["best_step"] = best;
  return snapshot;
}

TEST(CheckpointStore, TheBestStaysUntilTheNextIsSaved) {
  const test::TempDir dir;
  for (const bool started_again : {false, true}) {
    SCOPED_TRACE(started_again);
    const fs::path folder = dir / (started_again ? "again" : "once");
    auto store = std::make_unique<CheckpointStore>(folder, Retention{1, 0});
    save_whole(*store, judged(1, 1));
    save_whole(*store, judged(2, 1));
    {
      const FileSizeLimit limit(100);
      store->save(judged(3, 3));
      EXPECT_FALSE(store->finish());
    }
    if (started_again) store = std::make_unique<CheckpointStore>(folder, Retention{1, 0});
    save_whole(*store, judged(4, 3));
    EXPECT_TRUE(fs::exists(folder / checkpoint_name(1))) << "the best that is saved";
    EXPECT_FALSE(fs::exists(folder / checkpoint_name(2)));
    EXPECT_EQ(store->best(3)->step, 1);
    save_whole(*store, judged(5, 5));
    EXPECT_FALSE(fs::exists(folder / checkpoint_name(1))) << "its successor is";
    EXPECT_EQ(store->best(5)->step, 5);
    write_file_atomic(folder / checkpoint_name(5) / "model.safetensors", "damaged");
    EXPECT_FALSE(store->best(5));
  }
}

}  // namespace
}  // namespace ulmfit::train
