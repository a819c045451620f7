// What is worth knowing about a labelled set before believing a figure measured on it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/label_sets.h"
#include "data_prep/corpus_builder.h"
#include "data_prep/overlap.h"

namespace ulmfit::data_prep {

enum class Split : std::uint8_t { kTrain, kValid, kTest, kUnlabelled };
inline constexpr Split kSplits[] = {Split::kTrain, Split::kValid, Split::kTest, Split::kUnlabelled};
std::string name(Split split);

// One text of the set, without the text.
struct LabelledDocument {
  Split split = Split::kTrain;
  std::int32_t label = -1;  // number of its class or, where texts have several labels, of its label set; -1: unlabelled
  std::int32_t group = -1;  // number of its group, -1: none
  std::int32_t file = 0;    // number of its file
  std::int64_t line = 0;
  bool empty = false;  // it has no text
};

struct LabelledSet {
  std::vector<LabelledDocument> documents;
  std::vector<std::string> labels;  // the names of the classes, by number
  data::LabelSets label_sets;       // where texts have several labels; else empty
  std::vector<std::string> groups;
  std::vector<std::string> files;
  std::vector<std::string> doubts;  // about how the files were read, a sentence each

  bool multilabel() const { return !label_sets.empty(); }
  // Of a document's label: its classes, and how people are told of it ("a + b", "none").
  std::vector<std::int32_t> classes_of(std::int32_t label) const;
  std::string told(std::int32_t label) const;
};

struct PrepareReport {
  struct Counts : SplitSummary {
    std::map<std::string, std::int64_t> classes;  // the texts that have each
    std::int64_t of_no_class = 0;                 // where texts may have several labels: those that have none
    std::int64_t empty = 0;                       // documents with a label, but without text
    std::vector<std::string> empty_examples;      // at most kExamples: their places
  };
  // Documents of `repeats` that repeat one of `of`; of an earlier one when both are the same split.
  struct Repeats {
    std::string repeats, of;
    std::int64_t exact = 0;
    std::int64_t near = 0;  // share a run of 12 words; most exact repeats are among them; not looked for within unlabelled
  };
  bool validation_given = false;
  std::map<std::string, Counts> splits;
  std::vector<Repeats> repeats;                    // of all pairs of splits that are there
  std::int64_t disagreements = 0;                  // labelled texts whose first copy has another label
  std::vector<std::string> disagreement_examples;  // at most kExamples: "file:line A, file:line B"
  std::int64_t leaking_groups = 0;                 // groups in two or more of train, valid, test
  std::vector<std::string> leaking_group_examples;
  std::vector<std::string> about_files;  // LabelledSet::doubts

  nlohmann::json to_json() const;
  std::vector<std::string> doubts() const;  // findings that make a figure doubtful, a sentence each
  void log() const;                         // these as warnings
};

inline constexpr std::size_t kExamples = 5;

// Everything but the tokens of the splits, which the writer of the corpora counts.
PrepareReport examine(const LabelledSet& set, const Overlaps& overlaps, bool validation_given);

}  // namespace ulmfit::data_prep
