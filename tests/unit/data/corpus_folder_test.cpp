#include "data/corpus_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/manifest.h"
#include "tests/support/corpora.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::data {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder with one split, as prepare-corpus or prepare-labelled leaves it.
class CorpusFolder : public ::testing::Test {
 protected:
  CorpusInfo prepare(const std::string& kind, const std::vector<std::string>& labels, const LabelSets& sets = {}) {
    write_file_atomic(dir_ / "vocab.txt", "xxunk\nxxpad\n");
    write_file_atomic(dir_ / "text.json", "{}");
    const bool labelled = kind != "lm";
    ShardHeader header = test::corpus_header(2, labelled);
    header.vocabulary_fingerprint = file_fingerprint(dir_ / "vocab.txt");
    ShardWriter writer(dir_.path(), "train", header);
    writer.add(std::vector<std::int32_t>{0, 1, 0}, labelled ? 0 : -1);
    writer.add(std::vector<std::int32_t>{0, 1}, labelled ? 1 : -1);
    writer.finish();

    CorpusInfo info;
    info.kind = kind;
    info.vocabulary_fingerprint = header.vocabulary_fingerprint;
    info.text_fingerprint = header.text_fingerprint;
    info.splits["train"] = split_info(ShardSet(dir_.path(), "train"));
    info.labels = labels;
    info.label_sets = sets;
    write_corpus_info(dir_.path(), info, {{"source", "made for a test"}});
    write_manifest(dir_.path());
    return info;
  }

  // Rewrites corpus.json and the manifest.
  template <class Change>
  void change_corpus_json(Change change) {
    json corpus = json::parse(read_file(dir_ / "corpus.json"));
    change(corpus);
    write_file_atomic(dir_ / "corpus.json", corpus.dump());
    write_manifest(dir_.path());
  }

  std::string refusal() const {
    try {
      open_corpus(dir_.path());
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(), HasSubstr(dir_.path().string()));
      EXPECT_THAT(e.what(), HasSubstr("prepare"));
      return e.what();
    }
    return "accepted";
  }

  test::TempDir dir_;
};

TEST_F(CorpusFolder, GivesBackWhatWasWritten) {
  for (const bool labelled : {false, true}) {
    const CorpusInfo written = labelled ? prepare("labelled", {"bad", "good one"}) : prepare("lm", {});
    const CorpusInfo read = open_corpus(dir_.path());
    EXPECT_EQ(read.kind, written.kind);
    EXPECT_EQ(read.vocabulary_fingerprint, written.vocabulary_fingerprint);
    EXPECT_EQ(read.text_fingerprint, written.text_fingerprint);
    EXPECT_EQ(read.labels, written.labels);
    ASSERT_EQ(read.splits.size(), 1U);
    EXPECT_EQ(read.splits.at("train").tokens, 5);
    EXPECT_EQ(read.splits.at("train").documents, 2);
    EXPECT_EQ(read.splits.at("train").fingerprint, written.splits.at("train").fingerprint);
    EXPECT_EQ(corpus_provenance(dir_.path()), json({{"source", "made for a test"}}));
    const ShardSet shards = open_split(dir_.path(), read, "train");
    EXPECT_EQ(shards.token_count(), 5);
    EXPECT_EQ(fs::exists(dir_ / "labels.txt"), labelled);
  }
  EXPECT_THAT(read_lines(dir_ / "labels.txt"), ElementsAre("bad", "good one"));
}

TEST_F(CorpusFolder, OfSeveralLabelsATextKeepsItsLabelSets) {
  const LabelSets sets{{}, {0, 2}};
  prepare("multilabel", {"a", "b", "c"}, sets);
  EXPECT_EQ(read_file(dir_ / "label_sets.txt"), "\n0 2\n");
  const CorpusInfo read = open_corpus(dir_.path());
  EXPECT_TRUE(read.multilabel() && read.has_labels());
  EXPECT_EQ(read.label_sets, sets);
  EXPECT_EQ(open_split(dir_.path(), read, "train").label(1), 1);
  const auto with_sets = [&](const std::string& text) {
    write_file_atomic(dir_ / "label_sets.txt", text);
    write_manifest(dir_.path());
    return refusal();
  };
  EXPECT_THAT(with_sets("\n0 3\n"), HasSubstr("label set 1 has class 3, but there are 3 classes"));
  EXPECT_THAT(with_sets("\n0;2\n"), HasSubstr("line 2 of the label sets is '0;2'"));
  EXPECT_THAT(with_sets(""), HasSubstr("kind is \"multilabel\", and it has 0 label sets"));
  EXPECT_THAT(with_sets("0\n0\n"), HasSubstr("label sets 0 and 1 are the same"));
  fs::remove(dir_ / "label_sets.txt");
  write_manifest(dir_.path());
  EXPECT_THAT(refusal(), HasSubstr("label_sets.txt"));
  with_sets("\n0 2\n");
  change_corpus_json([](json& c) { c["label_sets"] = "/etc/passwd"; });
  EXPECT_THAT(refusal(), HasSubstr("\"label_sets\" is not label_sets.txt"));
  change_corpus_json([](json& c) { c.erase("label_sets"); });
  EXPECT_THAT(refusal(), HasSubstr("kind is \"multilabel\", and it has 0 label sets"));
  change_corpus_json([](json& c) {
    c["kind"] = "labelled";
    c["label_sets"] = "label_sets.txt";
  });
  EXPECT_THAT(refusal(), HasSubstr("kind is \"labelled\", and it has 2 label sets"));
}

TEST_F(CorpusFolder, RefusesAFolderWithoutManifestOrWithChangedFiles) {
  prepare("labelled", {"a", "b"});
  const std::string manifest = read_file(dir_ / "MANIFEST.json");
  fs::remove(dir_ / "MANIFEST.json");
  EXPECT_THAT(refusal(), HasSubstr("no MANIFEST.json"));
  write_file_atomic(dir_ / "MANIFEST.json", manifest);
  fs::resize_file(dir_ / "train-00000.h5", 1000);
  EXPECT_THAT(refusal(), HasSubstr("train-00000.h5: has 1000 bytes"));
}

TEST_F(CorpusFolder, RefusesABadDescription) {
  prepare("labelled", {"a", "b"});
  const json good = json::parse(read_file(dir_ / "corpus.json"));
  const auto after = [&](auto change) {
    change_corpus_json([&](json& corpus) {
      corpus = good;
      change(corpus);
    });
    return refusal();
  };
  EXPECT_EQ(after([](json&) {}), "accepted");
  EXPECT_THAT(after([](json& c) { c["format"] = "other"; }), HasSubstr("its format is not ulmfit-corpus"));
  EXPECT_THAT(after([](json& c) { c["version"] = 9; }), HasSubstr("version 9, this program knows version 1"));
  EXPECT_THAT(after([](json& c) { c["kind"] = "sound"; }), HasSubstr("kind is \"sound\""));
  EXPECT_THAT(after([](json& c) { c["kind"] = "lm"; }), HasSubstr("kind is \"lm\", but it has class names"));
  EXPECT_THAT(after([](json& c) { c["labels"] = nullptr; }), HasSubstr("it has 0 classes"));
  EXPECT_THAT(after([](json& c) { c["labels"] = "/etc/passwd"; }), HasSubstr("\"labels\" is not labels.txt"));
  EXPECT_THAT(after([](json& c) { c["splits"] = json::object(); }), HasSubstr("it has no splits"));
  EXPECT_THAT(after([](json& c) { c["splits"] = json::array({1}); }), HasSubstr("is not a valid corpus description"));
  EXPECT_THAT(after([](json& c) { c["splits"]["train"]["tokens"] = -5; }), HasSubstr("documents of -5 tokens"));
  EXPECT_THAT(after([](json& c) { c["splits"]["train"]["tokens"] = "5"; }), HasSubstr("is not a valid corpus description"));
  EXPECT_THAT(after([](json& c) { c["splits"]["../x"] = c["splits"]["train"]; }), HasSubstr("a split is named \"../x\""));
  EXPECT_THAT(after([](json& c) { c["vocabulary_fingerprint"] = "0"; }), HasSubstr("vocab.txt has fingerprint"));
  for (const std::string key :
       {"format", "version", "kind", "vocabulary_fingerprint", "text_fingerprint", "splits", "labels"}) {
    EXPECT_THAT(after([&](json& c) { c.erase(key); }), HasSubstr("'" + key + "' not found"));
  }
  write_file_atomic(dir_ / "corpus.json", "{\"format\": ");
  write_manifest(dir_.path());
  EXPECT_THAT(refusal(), HasSubstr("is not a valid corpus description"));
}

TEST_F(CorpusFolder, RefusesMissingParts) {
  for (const char* name : {"vocab.txt", "text.json", "corpus.json", "labels.txt"}) {
    prepare("labelled", {"a", "b"});
    fs::remove(dir_ / name);
    write_manifest(dir_.path());
    EXPECT_THAT(refusal(), HasSubstr(name));
  }
}

TEST_F(CorpusFolder, WritesNothingThatItWouldRefuse) {
  const CorpusInfo good = prepare("labelled", {"a", "b"});
  const auto write = [&](auto change) {
    CorpusInfo info = good;
    change(info);
    try {
      write_corpus_info(dir_.path(), info, json::object());
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  using I = CorpusInfo;
  EXPECT_EQ(write([](I&) {}), "accepted");
  EXPECT_THAT(write([](I& i) { i.labels = {"a", "a"}; }), HasSubstr("class name \"a\" appears twice"));
  EXPECT_THAT(write([](I& i) { i.labels = {"a", "b\nc"}; }), HasSubstr("empty or has a line end"));
  EXPECT_THAT(write([](I& i) { i.labels = {"a"}; }), HasSubstr("it has 1 classes, two are needed"));
  EXPECT_THAT(write([](I& i) { i.splits.clear(); }), HasSubstr("it has no splits"));
}

TEST_F(CorpusFolder, OpensOnlySplitsThatMatchTheDescription) {
  prepare("lm", {});
  const CorpusInfo good = open_corpus(dir_.path());
  const auto open = [&](auto change, const std::string& split = "train") {
    CorpusInfo info = good;
    change(info);
    try {
      open_split(dir_.path(), info, split);
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  using I = CorpusInfo;
  EXPECT_EQ(open([](I&) {}), "accepted");
  EXPECT_THAT(open([](I&) {}, "test"), HasSubstr("has no split \"test\": it has train"));
  EXPECT_THAT(open([](I& i) { i.splits["test"] = i.splits["train"]; }, "test"), HasSubstr("no shards test-00000.h5"));
  EXPECT_THAT(open([](I& i) { i.splits["train"].tokens = 6; }), HasSubstr("token count 5, corpus.json says 6"));
  EXPECT_THAT(open([](I& i) { i.splits["train"].documents = 3; }), HasSubstr("document count 2, corpus.json says 3"));
  EXPECT_THAT(open([](I& i) { i.splits["train"].fingerprint = "f"; }), HasSubstr("corpus.json says f"));
  EXPECT_THAT(open([](I& i) { i.vocabulary_fingerprint = "v"; }), HasSubstr("corpus.json says v"));
  EXPECT_THAT(open([](I& i) { i.text_fingerprint = "t"; }), HasSubstr("corpus.json says t"));
  EXPECT_THAT(open([](I& i) { i.kind = "labelled"; }), HasSubstr("having labels (0 or 1) 0, corpus.json says 1"));
}

TEST_F(CorpusFolder, RefusesLabelsWithoutAClass) {
  prepare("labelled", {"a", "b"});
  CorpusInfo info = open_corpus(dir_.path());
  EXPECT_NO_THROW(open_split(dir_.path(), info, "train"));
  info.labels.pop_back();
  try {
    open_split(dir_.path(), info, "train");
    ADD_FAILURE();
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("document 1 of train"));
    EXPECT_THAT(e.what(), HasSubstr("has label 1, but there are 1 classes"));
  }
  prepare("multilabel", {"a", "b"}, {{0, 1}});
  try {
    open_split(dir_.path(), open_corpus(dir_.path()), "train");
    ADD_FAILURE();
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("has label 1, but there are 1 label sets"));
  }
}

}  // namespace
}  // namespace ulmfit::data
