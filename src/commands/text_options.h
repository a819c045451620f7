// Options of text rules, tokenizer and vocabulary that the text commands share.
#pragma once

#include <cstdint>
#include <string>

#include "config/option_set.h"
#include "data_prep/corpus_builder.h"
#include "text/text_pipeline.h"
#include "text/vocabulary.h"

namespace ulmfit::commands {

struct TextArguments {
  text::TokenizerKind tokenizer = text::TokenizerKind::kWords;
  text::TextRules rules = text::TextRules::kFastai;
  std::string sentencepiece_model;  // path
  void declare(config::OptionSet& set);
  text::TextOptions resolved() const;  // reads the model file
};

struct VocabularyArguments {
  text::VocabularyOptions options;
  std::string from;
  bool extend = false;
  void declare(config::OptionSet& set);
  data_prep::KnownVocabulary known() const;  // of a run folder, the stage in it
};

}  // namespace ulmfit::commands
