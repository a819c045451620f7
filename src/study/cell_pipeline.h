// The pipeline file of a cell as it grows section by section, and what the cell will cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/shape.h"
#include "stages/fit_settings.h"
#include "stages/pipeline_text.h"
#include "study/cell.h"
#include "study/request.h"

namespace ulmfit::study {

// What all cells share.
struct Basis {
  model::Shape shape;          // of the model, with the vocabulary that it will have about
  double flop_a_second = 1e9;  // that training reaches here
  double valid_tokens = 0;
  double test_tokens = 0;
  Values compute;      // options of every section that computes
  std::string writer;  // "study low-shot"
};

// Made settings say something else, or more.
void change(std::vector<stages::Setting>& settings, const std::string& key, const std::string& value,
            const std::string& reason);

class CellPipeline {
 public:
  explicit CellPipeline(const Basis& basis) : basis_(basis), text_(basis.writer, "the study's folder") {}

  // prepare-labelled or prepare-corpus. `tokens`: of all texts.
  void prepare(const std::string& section, const Values& values, double tokens);
  // finetune-lm from that model, or none. `tokens`: of an epoch.
  void tune(const Values& values, const std::vector<stages::Setting>& settings, std::int64_t seed, double tokens);
  // train-classifier. `tokens`: of an epoch.
  void classify(const Values& values, const std::vector<stages::Setting>& settings, std::int64_t seed, double tokens);
  // evaluate of classifiers on the test texts.
  void test(const std::vector<std::string>& models, const std::string& labelled, const std::string& report, bool baselines);
  // evaluate of a language model on a text of that many tokens.
  void measure(const std::string& model, const std::string& corpus, double tokens);

  std::string text() const { return text_.text(); }
  // The cell with its costs filled in.
  Cell cell(Cell described) const;

 private:
  void add(const std::string& section, const Values& values, const std::vector<stages::Setting>& settings,
           bool computes = true);

  const Basis& basis_;
  stages::PipelineText text_;
  double flop_ = 0;
  double sections_ = 0;
  double bytes_ = 0;
};

}  // namespace ulmfit::study
