// CARD.md of a stage: where it comes from, how it was made, what it reached, what was not measured.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ulmfit::reports {

// A step of the way from text to the stage.
struct CardStage {
  std::string command;
  std::string fingerprint;  // of its weights; empty: the stage of the card
  nlohmann::json facts;     // a row each, lists of files as a summary (data/file_lists.h)
};

struct CardInfo {
  std::string title;
  std::string model;                      // a sentence or two about its size
  std::vector<std::string> labels;        // of a classifier
  std::map<std::string, double> metrics;  // on the validation split
  std::string also_not_measured;          // by this kind of model
  std::vector<CardStage> lineage;         // oldest first
  std::string config_text;
};

// Markdown, a table a stage.
std::string stage_card(const CardInfo& info);

}  // namespace ulmfit::reports
