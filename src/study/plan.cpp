#include "study/plan.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/machine.h"
#include "perf/measurements.h"
#include "reports/number_format.h"
#include "stages/compute.h"

namespace ulmfit::study {
namespace {

// What training reaches of the speed of large products, models small and large taken together: estimates.
constexpr double kShareOfPeak = 0.4, kShareOfBf16Peak = 0.25;

// Where nothing is known yet, more has to be learned, and the dropout that suits a tuned model is too much of it
// (tests/bench/README.md, "Labels and error").
constexpr std::int64_t kEpochsFromScratch = 3;
constexpr std::string_view kDropMultFromScratch = "0.5";

// FLOP/s of training. On GPUs a guess: to measure it would take memory of one for as long as the worker lives.
double speed_of(const Request& request, bool gpu) {
  constexpr double kOfGpu = 5e12;
  if (gpu) return kOfGpu;
  bool bf16 = false;
  for (const auto& [key, value] : request.compute) {
    const int threads = key == "train.threads" ? std::atoi(value.c_str()) : 0;
    if (threads > 0) at::set_num_threads(threads);
    bf16 = bf16 || (key == "precision" && value == "bf16" && (cpu_has("avx512_bf16") || cpu_has("amx_bf16")));
  }
  return bf16 ? kShareOfBf16Peak * perf::product_peak(at::kCPU, at::kBFloat16)
              : kShareOfPeak * perf::product_peak(at::kCPU, at::kFloat);
}

bool on_gpu(const Request& request) {
  const bool cpu = std::any_of(request.compute.begin(), request.compute.end(), [](const auto& value) {
    return value == std::pair<std::string, std::string>("device", "cpu");
  });
  return !cpu && stages::gpu_count() > 0;
}

}  // namespace

stages::FitFacts Material::facts(double lm_tokens, std::int64_t texts, std::int64_t valid_texts) const {
  stages::FitFacts facts;
  facts.lm_tokens = std::llround(lm_tokens);
  facts.texts = texts;
  facts.valid_texts = valid_texts;
  facts.shape = basis.shape;
  return facts;
}

void set_shape(std::vector<stages::Setting>& settings, const model::Shape& shape) {
  change(settings, "model.embedding", str(shape.embedding), "as the model that the others start from");
  change(settings, "model.hidden", str(shape.hidden), "");
  change(settings, "model.layers", str(shape.layers), "");
}

std::vector<stages::Setting> from_scratch(const Material& material, const stages::FitFacts& facts) {
  std::vector<stages::Setting> settings = stages::classifier_settings(facts);
  set_shape(settings, material.basis.shape);
  change(settings, "drop-mult", std::string(kDropMultFromScratch), "as fastai's classifier; a tuned model bears more");
  for (const stages::Setting& s : settings) {
    if (s.key != "epochs") continue;
    change(settings, "epochs", str(kEpochsFromScratch * std::stoll(s.value)),
           str(kEpochsFromScratch, " times those of a tuned model"));
    break;
  }
  return settings;
}

void add_note_of_copies(Plan& plan, const Sources& sources, const std::vector<std::size_t>& pool) {
  const std::unordered_set<std::string_view> tested(sources.test.texts.begin(), sources.test.texts.end());
  const auto copies = std::count_if(pool.begin(), pool.end(), [&](const std::size_t t) {
    return tested.contains(std::string_view(sources.train.texts[t]));
  });
  if (copies > 0) {
    plan.notes.push_back(str(copies, " of the training texts are test texts too, word for word: errors are flattered"));
  }
  if (sources.unlabelled_tests > 0) {
    plan.notes.push_back(str(sources.unlabelled_tests,
                             " of the --unlabelled texts are test texts, word for word: a language "
                             "model that is tuned on them knows these, and its errors may be flattered"));
  }
}

void add_cell(Plan& plan, const CellPipeline& pipeline, Cell cell) {
  plan.pipelines[cell.name] = pipeline.text();
  plan.cells.push_back(pipeline.cell(std::move(cell)));
}

Plan plan_study(const Request& request) {
  Material material{.request = request, .sources = {}, .models = stages::starting_models(request.from), .basis = {}};
  const stages::TrainedModel& model = material.models.front().model;
  material.sources = read_sources(request);
  material.text_bytes_a_token = bytes_a_token(material.sources.train, *model.text);
  material.basis.shape = model.info.shape;
  material.basis.writer = str("study ", request.kind);
  material.basis.compute = request.compute;
  material.basis.flop_a_second = speed_of(request, on_gpu(request));
  material.basis.test_tokens = material.tokens(material.sources.test.bytes(material.sources.test.all()));
  return request.kind == kLowShot ? plan_low_shot(material) : plan_ablation(material);
}

std::vector<std::string> describe(const std::vector<Cell>& cells, const std::map<std::string, State>& states,
                                  const std::vector<std::string>& notes) {
  std::vector<std::string> lines = notes;
  double seconds = 0, bytes = 0, largest = 0;
  std::size_t left = 0;
  for (const Cell& cell : cells) {
    if (states.at(cell.name) == State::kDone) continue;
    ++left;
    seconds += cell.seconds;
    bytes += cell.bytes;
    largest = std::max(largest, cell.bytes);
  }
  constexpr double kCheckpoints = 9;  // three of them with two moments a weight, while a cell runs
  lines.push_back(str(cells.size(), " cells, ", left, " of them to be run: about ", reports::duration(seconds),
                      " by one worker of this machine, and ", reports::fixed(bytes / 1e9, 1), " GB of disk (",
                      reports::fixed(kCheckpoints * largest / 1e9, 1), " GB more for each that runs); both are estimates"));
  return lines;
}

}  // namespace ulmfit::study
