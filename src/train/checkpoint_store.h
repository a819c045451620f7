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
  std::int64_t best_step = -1;     // the step whose checkpoint is kept beside the newest ones (-1: none); until it is
                                   // saved, the one that was the best before it
  interop::NamedTensors model;     // weights
  interop::NamedTensors training;  // moments, recurrent state
  nlohmann::json state;            // everything else
};

// Which checkpoints stay, besides the best.
struct Retention {
  std::int64_t newest = 2;  // so many, at least 1
  std::int64_t every = 0;   // those of steps that are a multiple of this; 0: none
};

class CheckpointStore {
 public:
  // Removes what a killed save left behind.
  CheckpointStore(std::filesystem::path folder, Retention retention);
  ~CheckpointStore();  // waits for a save that is running
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;

  // Allocates the buffers that snapshots like this one are copied into (of those on the CPU on the thread): without it the
  // first save stalls for that too.
  void prepare(const Snapshot& like);

  // Copies the tensors into buffers of its own (allocated once) and writes them on a thread; waits first for the save
  // before. A save that fails is logged as a warning, what it wrote is removed, and the run goes on. The checkpoints that
  // the retention does not name are removed after it, and those of later steps, which are what the run did not continue
  // from. One that could not be read is renamed to "unread-step-..." instead: it may be whole.
  void save(const Snapshot& snapshot);

  // Waits for the running save. Returns false if it failed.
  bool finish();

  // The newest whole checkpoint of finite values; others are named in a warning and passed over. Nothing if there is
  // none.
  std::optional<Snapshot> latest();
  bool holds_any() const;            // checkpoints, whole or not
  Snapshot load(std::int64_t step);  // throws CheckpointError
  // The checkpoint of `best_step`; with a warning, the best one before it, if that one was not saved or is damaged; nothing
  // if none can be read.
  std::optional<Snapshot> best(std::int64_t best_step);

 private:
  struct Writer;
  std::optional<Snapshot> sound(std::int64_t step);  // whole and finite; else nothing, and a warning
  std::filesystem::path folder_;
  Retention retention_;
  std::unique_ptr<Writer> writer_;
};

// "step-000004200"
std::string checkpoint_name(std::int64_t step);

}  // namespace ulmfit::train
