// The part of the report that is about the answers of a classifier of texts with several labels.
#pragma once

#include <string>

#include "reports/multilabel_metrics.h"

namespace ulmfit::reports {

// Tiles: wrong decisions, texts that are wholly right with the interval, micro and macro F1. HTML, empty without texts.
std::string multilabel_tiles(const Multilabel& decided, const MultilabelMetrics& metrics);

// Table by class. HTML, empty without texts.
std::string multilabel_sections(const Multilabel& decided, const MultilabelMetrics& metrics);

}  // namespace ulmfit::reports
