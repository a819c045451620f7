// The order of a training run, whatever is learned: batch, forward, backward, sums over ranks (of gradients, losses, wishes
// to stop), clip, update, report, validate, save.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "comm/communicator.h"
#include "comm/grad_reducer.h"
#include "optim/optimizer.h"
#include "reports/metrics.h"
#include "train/checkpoint_store.h"
#include "train/divergence_guard.h"
#include "train/early_stopping.h"
#include "train/memory_trimmer.h"
#include "train/step_figures.h"
#include "train/task.h"
#include "train/training_clock.h"
#include "train/training_plan.h"
#include "train/weight_average.h"

namespace ulmfit::train {

enum class StopReason { kFinished, kSignalled, kEarlyStopped };

struct TrainerOptions {
  double clip = 0.25;                    // highest gradient norm; 0: no clipping
  std::int64_t log_every = 50;           // steps between reports
  std::int64_t checkpoint_every = 1000;  // steps between checkpoints; the end of each epoch is one too; 0: only those
  std::int64_t patience = 0;             // stop after that many validations without improvement; 0: never
  bool validates = true;                 // at the end of each epoch
  std::int64_t max_skipped = 10;         // steps in a row with gradients that are not finite, then DivergedError
};

// Ranks compare their state at the start, after every so many steps, and before each checkpoint.
inline constexpr std::int64_t kStepsBetweenComparisons = 1000;

// Watches a run from rank 0: screen, metrics file, plots.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_step_report(const reports::StepReport& report) = 0;
  virtual void on_evaluation(const reports::EvaluationReport& report) = 0;
  // What it needs to go on after a resume (file offsets), saved in each checkpoint.
  virtual nlohmann::json state() = 0;
};

// Whether early stopping with that patience had ended the run when the snapshot was taken. Throws CheckpointError if it is
// of another version.
bool early_stopped(const Snapshot& snapshot, std::int64_t patience);

class Trainer {
 public:
  // All must outlive the trainer. `store` and `observer` are null on ranks other than 0. `reducer` has the task's
  // reduced_parameters(). `average` is null where what is trained is what is kept.
  Trainer(Task& task, const TrainingPlan& plan, optim::Optimizer& optimizer, comm::GradReducer& reducer,
          comm::Communicator& comm, CheckpointStore* store, Observer* observer, TrainerOptions options,
          WeightAverage* average = nullptr);

  // Continues from a checkpoint; rank 0 passes it, the others nothing. Collective. Throws CheckpointError if it does not
  // fit.
  void restore(const std::optional<Snapshot>& snapshot);

  // Trains to the end of the plan (or to step `until`), or until a signal or early stopping; all ranks leave on the same
  // step. Collective.
  StopReason run(std::int64_t until = std::numeric_limits<std::int64_t>::max());

  // After run(): the weights that were evaluated and saved are now the model's. A run that goes on does so from restore().
  void keep_averages();

  // What verify-parity needs besides. The state of the run, which restore() takes, sharing its tensors' memory
  // (collective). The sums and the gradients of the next step, over all ranks, nothing updated (collective; restore()
  // before going on). The next step is another one.
  Snapshot snapshot();
  StepTotals compute_gradients();
  void skip_to(std::int64_t step) { counters_.step = step; }

  std::int64_t step() const { return counters_.step; }
  std::int64_t best_step() const { return early_stopping_.best_step(); }
  double elapsed_seconds() const { return clock_.elapsed_seconds(); }  // of the run with validations, over all restarts
  double items() const { return counters_.items; }

 private:
  // Saved in state.json, beside the clock and what early stopping and divergence guard save: see counters_to_json.
  struct Counters {
    std::int64_t step = 0;   // steps done
    double items = 0;        // targets seen
    double report_nats = 0;  // since the last report
    double report_targets = 0;
  };

  void train_step();
  void update_by_host(const std::vector<at::Tensor>& gradients);
  void update_by_device(const at::Tensor& figures);
  double communication_seconds() const { return comm_seconds_ + reducer_.waited_seconds(); }
  at::Tensor forward_backward();
  bool take_figures();
  void take_figures_but(std::size_t left);
  void enter_phase(std::size_t phase);
  void zero_gradients();
  void report();
  void compare_ranks();
  void validate();
  void save();
  interop::NamedTensors averages() const;
  const at::Tensor& saved_tensor(const interop::NamedTensors& tensors, const std::string& name,
                                 const at::Tensor& like) const;
  nlohmann::json counters_to_json() const;
  void counters_from_json(const nlohmann::json& json);

  Task& task_;
  const TrainingPlan& plan_;
  optim::Optimizer& optimizer_;
  comm::GradReducer& reducer_;
  std::vector<at::Tensor> own_;  // parameters whose gradient is the same on all ranks
  comm::Communicator& comm_;
  CheckpointStore* store_;
  Observer* observer_;
  TrainerOptions options_;
  WeightAverage* average_;

  Counters counters_;
  std::size_t current_phase_ = static_cast<std::size_t>(-1);
  StepRates rates_;  // of the latest step
  FigureQueue figures_;
  double norm_ = 0;  // of the latest step whose figures were taken
  bool stop_agreed_ = false;
  EarlyStopping early_stopping_;
  DivergenceGuard divergence_guard_;
  TrainingClock clock_;  // a lap is from report to report
  MemoryTrimmer memory_trimmer_;
  double report_items_ = 0;
  double report_wait_start_ = 0;
  double comm_seconds_ = 0;
  double report_comm_start_ = 0;
};

}  // namespace ulmfit::train
