// The plan of a study: its cells, what they run and read, and how their results are put together.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "stages/starting_models.h"
#include "study/cell.h"
#include "study/cell_pipeline.h"
#include "study/request.h"
#include "study/texts.h"

namespace ulmfit::study {

// A row of a table: the cells of one setting.
struct Row {
  std::string label;
  std::string setting;
};
struct Table {
  std::string title;
  std::string note;  // what differs between its rows, for who has not read the paper
  std::vector<Row> rows;
};

struct Plan {
  std::vector<Cell> cells;
  std::map<std::string, std::string> pipelines;  // text of pipeline.cfg by cell
  std::map<std::string, std::string> files;      // other files of the study's folder and what they hold
  std::vector<std::string> notes;                // what was drawn, what is left out and why
  std::vector<Table> tables;
};

// What a plan is made of.
struct Material {
  const Request& request;
  Sources sources;
  std::vector<stages::StartingModel> models;
  double text_bytes_a_token = 1;
  Basis basis;

  double tokens(double bytes) const { return bytes / text_bytes_a_token; }
  // As pipelines name it: they run in the study's folder, which may move.
  static std::string cell_folder(const std::string& cell, const std::string& name) { return "cells/" + cell + "/" + name; }
  // What the settings are chosen by (stages/fit_settings.h).
  stages::FitFacts facts(double lm_tokens, std::int64_t texts, std::int64_t valid_texts) const;
};

// That of the given model, for one that begins from nothing.
void set_shape(std::vector<stages::Setting>& settings, const model::Shape& shape);

// The settings of a classifier that starts from nothing, of the shape of the first model.
std::vector<stages::Setting> from_scratch(const Material& material, const stages::FitFacts& facts);

// Tells how many texts of the pool, and how many without labels, are test texts too, if any.
void add_note_of_copies(Plan& plan, const Sources& sources, const std::vector<std::size_t>& pool);

// Adds the cell with its pipeline and its costs.
void add_cell(Plan& plan, const CellPipeline& pipeline, Cell cell);

// Reads texts and models and makes the plan; nothing is written. Throws DataError and ConfigError for what cannot be
// studied (read_sources, starting_models, check_subsets).
Plan plan_study(const Request& request);

// Its parts, by kind. `material` is complete but for what depends on the kind: the validation texts' tokens.
Plan plan_low_shot(Material& material);
Plan plan_ablation(Material& material);

// The lines that tell of it before it begins: cells, hours and disk of those that are not done.
std::vector<std::string> describe(const std::vector<Cell>& cells, const std::map<std::string, State>& states,
                                  const std::vector<std::string>& notes);

}  // namespace ulmfit::study
