// The fixture of the tests of prepare_labelled.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "data/corpus_folder.h"
#include "data_prep/prepare_labelled.h"
#include "tests/unit/data_prep/test_files.h"

namespace ulmfit::data_prep {

class PreparedTexts : public ::testing::Test {
 protected:
  // Every word is kept.
  PrepareLabelledOptions options(std::string_view train) const {
    PrepareLabelledOptions o;
    o.train = test::put(dir_ / "train.csv", train);
    o.output = dir_ / "out";
    o.vocabulary.min_count = 1;
    o.threads = 2;
    return o;
  }
  // The message of texts that are refused: nothing is left of them.
  static std::string refusal(const PrepareLabelledOptions& o) {
    const std::string message = test::message_of<DataError>([&] { prepare_labelled(o); });
    EXPECT_FALSE(fs::exists(o.output));
    EXPECT_FALSE(fs::exists(o.output.string() + ".partial"));
    return message;
  }
  static data::ShardSet shards(const fs::path& corpus, const std::string& split) {
    return data::open_split(corpus, data::open_corpus(corpus), split);
  }
  const test::TempDir dir_;
};

}  // namespace ulmfit::data_prep
