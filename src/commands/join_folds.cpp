// join-folds: the evaluations of cross-validation's folds as one.
#include "base/error.h"
#include "commands/call.h"
#include "stages/classification_result.h"

namespace ulmfit::commands {
namespace {

class JoinFolds : public Command {
 public:
  void declare(config::OptionSet& set) override {
    set.add("evaluation", evaluations_, "the --report folder of each fold's evaluation");
    set.require("evaluation");
    set.add("report", report_, "folder for report.html and evaluation.json of all folds' texts together");
    set.require("report");
  }
  std::string_view introduction() const override {
    return "Adds up what evaluate has found on the folds of a cross-validation, each text judged by the classifier that "
           "has not\n"
           "learned its label: error, confusions, baselines, and the texts whose labels are doubtful.";
  }
  Outcome run(const config::OptionSet& set, comm::Communicator& /*comm*/) override {
    const stages::JoinedEvaluations joined = stages::joined_evaluations({evaluations_.begin(), evaluations_.end()});
    reports::Classification answers = joined.answers;
    answers.split = "held-out training";
    stages::Evaluated result = stages::classification_result(answers);
    stages::Summary summary = {{"folds", str(evaluations_.size())},
                               {"language model", "may have read these texts, without their labels"}};
    if (!joined.right_of_baselines.empty()) result.table += "\nto be beaten:\n";
    for (const auto& [name, right] : joined.right_of_baselines) {
      stages::add_baseline(name, right, result.metrics.at("texts"), result, summary);
    }
    stages::add_doubts(joined.doubts, "join-folds", "", result, summary);
    stages::write_evaluation(
        report_,
        {"cross-validation: " + report_, "join-folds", summary, reports::kClassifierMetrics, answers, set.to_config()},
        result.metrics);
    result.metrics.erase("top_losses");  // they are in the file
    Outcome told = outcome(result.metrics, result.table);
    told.table_tells_all = true;
    return told;
  }

 private:
  std::vector<std::string> evaluations_;
  std::string report_;
};

}  // namespace

std::unique_ptr<Command> join_folds() { return std::make_unique<JoinFolds>(); }

}  // namespace ulmfit::commands
