// Checkpoints of a run: OUT/checkpoints/step-000004200/{model.safetensors, training.safetensors, state.json,
// MANIFEST.json}. Order of a save: temporary folder, write, fsync, manifest, fsync, rename, fsync parent. A folder without
// a valid manifest does not exist for the reader. Rank 0 alone has a store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "interop/safetensors.h"

namespace ulmfit::train {

struct Snapshot {
  std::int64_t step = 0;
  std::int64_t best_step = -1;     // the step whose checkpoint is kept beside the newest ones; -1: none
  interop::NamedTensors model;     // weights
  interop::NamedTensors training;  // moments, carried states
  nlohmann::json state;            // everything else
};

class CheckpointStore {
 public:
  // Keeps the newest `keep` checkpoints and the best. Removes what a killed save left behind.
  CheckpointStore(std::filesystem::path folder, std::int64_t keep);
  ~CheckpointStore();  // waits for a save that is running
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;

  // Copies the tensors into buffers of its own (allocated once) and writes them on a thread; waits first for the save
  // before. A save that fails is logged as a warning when the next one starts or finish() is called, and the run goes on.
  void save(const Snapshot& snapshot);

  // Waits for the running save. Returns false if it failed (logged).
  bool finish();

  // The newest whole checkpoint; broken ones are named in a warning and passed over. Nothing if there is none.
  std::optional<Snapshot> latest();
  Snapshot load(std::int64_t step);  // throws CheckpointError

  double stalled_seconds() const { return stalled_; }  // that save() has taken in all

 private:
  struct Writer;
  std::filesystem::path folder_;
  std::int64_t keep_;
  double stalled_ = 0;
  std::unique_ptr<Writer> writer_;
};

// "step-000004200"
std::string checkpoint_name(std::int64_t step);

}  // namespace ulmfit::train
