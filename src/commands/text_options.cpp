#include "commands/text_options.h"

#include "base/error.h"
#include "base/file.h"

namespace ulmfit::commands {
void TextArguments::declare(config::OptionSet& set) {
  set.add("tokenizer", tokenizer, text::kTokenizerKinds,
          "words: Unicode word boundaries (ICU); whitespace: text that is split already; sentencepiece: a trained model");
  set.add("rules", rules, text::kTextRules,
          "fastai: v2's text rules (xxmaj, xxup, xxrep ...); fastai1: v1's, for models that it trained; none");
  set.add("sentencepiece-model", sentencepiece_model, "the .model file of --tokenizer=sentencepiece");
}

text::TextOptions TextArguments::resolved() const {
  text::TextOptions options;
  options.tokenizer = tokenizer;
  options.rules = rules;
  const bool sentencepiece = options.tokenizer == text::TokenizerKind::kSentencePiece;
  if (sentencepiece == sentencepiece_model.empty()) {
    throw ConfigError(sentencepiece ? "--tokenizer=sentencepiece needs --sentencepiece-model=FILE"
                                    : "--sentencepiece-model goes with --tokenizer=sentencepiece only");
  }
  if (sentencepiece) options.sentencepiece_model = read_file(sentencepiece_model);
  return options;
}

void VocabularyArguments::declare(config::OptionSet& set) {
  set.add("vocab.size", options.max_words, "most words of the vocabulary, special tokens included",
          {.min = 16, .max = 1 << 24});
  set.add("vocab.min-count", options.min_count, "words seen less often are unknown", {.min = 1});
  set.add("vocab", from, "take the vocabulary, and with a folder the text rules, from this stage, corpus or vocab.txt");
  set.add("vocab.extend", extend,
          "with --vocab: the words of this text, and behind them those of --vocab that it lacks, as far as --vocab.size "
          "has room; a model that is tuned on the "
          "corpus keeps them");
}

data_prep::KnownVocabulary VocabularyArguments::known() const {
  if (extend && from.empty()) throw ConfigError("--vocab.extend goes with --vocab, which names the words to keep");
  const fs::path stage = fs::path(from) / "stage";
  return {!from.empty() && fs::exists(stage / "vocab.txt") ? stage : fs::path(from), extend};
}

}  // namespace ulmfit::commands
