#include "stages/verify_parity.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/log.h"
#include "comm/solo_communicator.h"

namespace ulmfit::stages {
namespace {

// What rounding in another order may do. With --reproducible, nothing.
constexpr double kGradientTolerance = 1e-5;  // of the largest value of a parameter's gradient
constexpr double kLossTolerance = 1e-4;      // nats, of one step and, where rounding does not grow, over all steps

nlohmann::json to_json(const train::StepComparison& state) {
  return {{"phase", state.phase},
          {"step", state.step},
          {"gradient_difference", state.gradient_difference},
          {"parameter", state.parameter},
          {"loss_difference", state.loss_difference},
          {"kinks", state.kinks}};
}

ParityVerdict judge(const train::ParityReport& report, const VerifyParityOptions& options, const RunOptions& run, int ranks,
                    const train::MicroBatches& micro_batches) {
  const auto worst = std::max_element(report.states.begin(), report.states.end(), [](const auto& a, const auto& b) {
    return a.gradient_difference < b.gradient_difference;
  });
  const double state_loss = std::max_element(report.states.begin(), report.states.end(), [](const auto& a, const auto& b) {
                              return a.loss_difference < b.loss_difference;
                            })->loss_difference;
  const auto kinks = std::count_if(report.states.begin(), report.states.end(), [](const auto& s) { return s.kinks > 0; });
  // One step of SGD at the rates of AWD-LSTM multiplies rounding, and a classifier that takes another side of a kink goes
  // another way from there: of such runs only single steps can agree.
  const bool smooth = !options.stage.is_classifier() && options.stage.optim().optimizer.kind == optim::OptimizerKind::kAdam;
  const bool judge_losses = smooth || run.compute.reproducible;
  const double gradient_tolerance = run.compute.reproducible ? 0 : kGradientTolerance;
  const double loss_tolerance = run.compute.reproducible ? 0 : kLossTolerance;
  ParityVerdict verdict;
  verdict.agree = worst->gradient_difference <= gradient_tolerance && state_loss <= loss_tolerance &&
                  (report.loss_difference <= loss_tolerance || !judge_losses);
  const bool agree = verdict.agree;
  for (const auto& state : report.states) verdict.lines.push_back(to_json(state));
  verdict.lines.push_back({{"agree", agree},
                           {"ranks", ranks},
                           {"passes", micro_batches.count},
                           {"states", report.states.size()},
                           {"kinks", kinks},
                           {"state_loss_difference", state_loss},
                           {"gradient_difference", worst->gradient_difference},
                           {"parameter", worst->parameter},
                           {"gradient_tolerance", gradient_tolerance},
                           {"steps", report.steps},
                           {"loss_difference", report.loss_difference},
                           {"loss_step", report.loss_step},
                           {"loss_tolerance", judge_losses ? nlohmann::json(loss_tolerance) : nlohmann::json()}});
  log::info("verify-parity",
            str(agree ? "they agree: " : "THEY DO NOT AGREE: ", "one step from the same state gives gradients within ",
                worst->gradient_difference, " of each one's largest value (", worst->parameter, ", step ", worst->step,
                "; ", report.states.size(), " states), losses within ", state_loss, " nats; ",
                kinks == 0 ? "" : str(kinks, " of the states stood on a kink and were compared nearby; "),
                "going on by themselves losses stay within ", report.loss_difference, " nats (step ", report.loss_step,
                "; ", report.steps, " steps", judge_losses ? ")" : "; not judged, rounding grows in such runs)"));
  return verdict;
}

// One of the two runs, with what it consists of.
struct Side {
  Side(const TrainingStage& stage, const train::TrainingPlan& plan, comm::Communicator& comm)
      : engine(stage, plan, comm, nullptr, &recorder, trainer_options(stage)),
        run{engine.trainer, stage.task(), recorder} {}

  train::LossRecorder recorder;
  Engine engine;
  train::ParityRun run;
};

// `alone` is null on ranks other than 0.
ParityVerdict compare(const TrainingStage* alone, const TrainingStage& together, const VerifyParityOptions& options,
                      comm::Communicator& comm) {
  const train::TrainingPlan plan(together.optim.plan(together.task(), together.batch_size), together.task());
  check_world(together, comm);
  log::info("verify-parity",
            str(comm.size(), comm.size() == 1 ? " rank in " : " ranks in ", together.micro_batches.total,
                together.micro_batches.total == 1 ? " micro-batch" : " micro-batches", " a step against one; up to ",
                options.parity.steps, " steps in each of ", plan.phases(), plan.phases() == 1 ? " phase" : " phases"));
  comm::SoloCommunicator solo(comm.device());
  std::optional<Side> one;
  if (alone != nullptr) one.emplace(*alone, plan, solo);
  Side all(together, plan, comm);
  const train::ParityReport report = compare_with_one_rank(one ? &one->run : nullptr, all.run, plan, options.parity, comm);
  ParityVerdict verdict;
  if (alone != nullptr) verdict = judge(report, options, together.run, comm.size(), together.micro_batches);
  verdict.agree = comm.broadcast_flag(verdict.agree, 0);
  return verdict;
}

}  // namespace

void VerifyParityOptions::declare(config::OptionSet& set) {
  set.add("parity.steps", parity.steps, "steps that both train, from the start of each unfreezing phase",
          {.min = 1, .max = 1e9}, config::OnResume::kMayChange);
  set.add("parity.states", parity.states, "of these, how many steps have their gradients compared, in each phase",
          {.min = 1, .max = 1e9}, config::OnResume::kMayChange);
  stage.declare(set);
}

ParityVerdict verify_parity(VerifyParityOptions options, const config::OptionSet& set, comm::Communicator& comm) {
  options.stage.run().log_every = {config::Length::Unit::kSteps, 1};
  options.stage.run().checkpoint_every = {config::Length::Unit::kSteps, 0};
  options.stage.optim().patience = 0;
  options.stage.optim().nt_asgd = 0;  // steps are compared, not what validations would keep of them
  options.stage.resolve(set, comm);
  Arithmetic& precision = options.stage.run().compute.precision;
  if (precision == Arithmetic::kAuto) precision = Arithmetic::kFp32;  // the tolerances are float32's
  if (options.stage.is_classifier() && !options.stage.run().compute.reproducible) {
    options.parity.kink_above = kGradientTolerance;
  }
  VerifyParityOptions options_alone = options;
  options_alone.stage.run().max_streams_per_pass = 0;
  if (precision != Arithmetic::kFp32 && !options.stage.run().compute.reproducible) {
    throw ConfigError(str("verify-parity has tolerances for float32; with --precision=", name_in(kArithmetics, precision),
                          " give --reproducible too, whose bits must be the same"));
  }
  const auto together = options.stage.prepare(set, comm);
  if (comm.size() == 1 && together->micro_batches.count == 1) {
    throw ConfigError(
        "verify-parity compares several ranks with one: mpirun -n N ulmfit verify-parity ... (or, on one rank, several "
        "micro-batches with one: --train.max-streams-per-pass)");
  }
  if (comm.rank() != 0) return compare(nullptr, *together, options, comm);
  comm::SoloCommunicator solo(comm.device());
  const auto alone = options_alone.stage.prepare(set, solo);
  return compare(alone.get(), *together, options, comm);
}

}  // namespace ulmfit::stages
