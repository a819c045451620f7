// What --dry-run finds out by training for a moment.
#pragma once

#include "comm/communicator.h"
#include "stages/stage_run.h"
#include "train/training_plan.h"

namespace ulmfit::stages {

// Trains some steps of the last unfreezing phase, for about a second, and logs how long all steps would take at that rate,
// and the memory taken. The stage's weights are changed: it can only be thrown away. kPlanned with these seconds, or
// kStopped by a signal. Collective.
StageResult measure_dry_run(const TrainingStage& stage, const train::TrainingPlan& plan, comm::Communicator& comm);

}  // namespace ulmfit::stages
