// What predict writes: the answers as text, and the file that holds them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/stopwatch.h"
#include "stages/explain.h"
#include "stages/predict.h"

namespace ulmfit::stages {

struct Answer {
  const float* probabilities = nullptr;  // of the labels
  double unknown_share = 0;              // of the words
  std::vector<WordShares> words;         // by label, those that speak for it; empty: not asked for
};

// Which labels a text gets, by the probabilities.
struct LabelRule {
  std::vector<std::string> labels;
  std::vector<double> thresholds;  // by label: a text gets all that are as probable; empty: the most probable one alone
  std::string delimiter;           // between several in a table

  bool several() const { return !thresholds.empty(); }
  // The numbers of those that a text gets, the most probable first.
  std::vector<std::size_t> chosen(const float* probabilities) const;
};

// How answers are written.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  virtual std::string header() const { return ""; }  // before the first answer
  virtual std::string line(const Request& request, const Answer& answer) const = 0;
};

// Of a table: `columns` are those of the input; with --top=1 it gets no column for each label.
std::unique_ptr<AnswerFormat> answer_format(const PredictOptions& options, LabelRule rule,
                                            std::vector<std::string> columns);

// A file of answers that grows beside its name, as FILE.partial, and gets it when it is whole. FILE.progress says how far
// it is, and what `asked` was: a call that asks the same goes on there.
class AnswerFile {
 public:
  // Throws ConfigError when FILE is there, CheckpointError when another call writes it.
  AnswerFile(std::filesystem::path file, nlohmann::json asked);

  std::int64_t answered() const { return answered_; }  // before
  // Throws FileError.
  void write(std::string_view text, std::int64_t answers);
  void finish();

 private:
  void save_progress();

  std::filesystem::path file_;
  nlohmann::json asked_;
  std::int64_t answered_ = 0;
  std::size_t bytes_ = 0;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<OutputFile> partial_;
  Stopwatch since_saved_;
};

}  // namespace ulmfit::stages
