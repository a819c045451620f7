#include "stages/chosen_stage.h"

namespace ulmfit::stages {

void ChosenStage::declare(config::OptionSet& set) {
  if (is_classifier()) return classifier.declare(set);
  command == "pretrain" ? lm.declare_pretrain(set) : lm.declare_finetune(set);
}

void ChosenStage::resolve(const config::OptionSet& set, const comm::Communicator& comm) {
  if (!is_classifier()) lm.resolve(set, comm);
}

std::unique_ptr<TrainingStage> ChosenStage::prepare(const config::OptionSet& set, comm::Communicator& comm) const {
  if (is_classifier()) return prepare_classifier(classifier, set, comm);
  return prepare_lm(command, lm, set, comm);
}

}  // namespace ulmfit::stages
