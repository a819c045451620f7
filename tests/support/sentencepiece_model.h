// A small SentencePiece model, trained on the spot.
#pragma once

#include <sentencepiece_trainer.h>

#include <stdexcept>
#include <string>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::test {

// Bytes of a character-pair model of a few English words. `more` are further options of spm_train.
inline std::string sentencepiece_model(const std::string& more = "") {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 50; ++i) text += "the film was good\nthe film was not good at all\nwe liked the other film better\n";
  write_file_atomic(dir / "text.txt", text);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--input=" + (dir / "text.txt").string() +
          " --vocab_size=60 --model_type=bpe --hard_vocab_limit=false --minloglevel=2 " + more,
      nullptr, &model);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  return model;
}

}  // namespace ulmfit::test
