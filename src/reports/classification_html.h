// The part of the report that is about a classifier's answers.
#pragma once

#include <string>

#include "reports/classification_metrics.h"

namespace ulmfit::reports {

// Tiles: accuracy with its interval, macro F1. HTML, empty without texts.
std::string classification_tiles(const Classification& result, const ClassificationMetrics& metrics);

// Confusion matrix (up to 30 classes), table by class, most frequent mistakes. HTML, empty without texts.
std::string classification_sections(const Classification& result, const ClassificationMetrics& metrics);

}  // namespace ulmfit::reports
