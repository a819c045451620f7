#include "stages/stage_folder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/manifest.h"
#include "model/softmax_head.h"
#include "stages/classifier_info.h"
#include "stages/language_model_info.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::stages {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class StageFolder : public ::testing::Test {
 protected:
  StageFolder() {
    make_directories(corpus_);
    vocabulary_.save(corpus_ / "vocab.txt");
    write_file_atomic(corpus_ / "text.json", text::TextPipeline({}).to_json().dump());
    at::NoGradGuard no_grad;
    at::Tensor bias = softmax_.bias();
    bias.copy_(at::linspace(-1, 1, bias.numel()));
    // One training batch moves the running statistics, so that they are not what a new head has.
    const model::MaskKey key{1, 0, {0, 1, 2}};
    head_.forward(at::arange(3 * 18).reshape({3, 18}).to(at::kFloat), {0, 0}, &key);
  }

  StageInfo lm() const {
    StageInfo info;
    info.head = std::make_shared<LanguageModelInfo>();
    info.shape = kShape;
    info.backward = true;
    info.metrics = {{"loss", 4.5}, {"perplexity", 90.017}};
    info.lineage = {{"pretrain", "00ff", {{"steps", 7}, {"corpus", {{"name", "x"}}}}}, {"finetune-lm", "", {{"seed", 3}}}};
    return info;
  }
  StageInfo classifier() const {
    StageInfo info = lm();
    const auto head = std::make_shared<ClassifierInfo>();
    head->labels = {"no", "yes", "maybe, \"later\""};
    head->head = head_.options();
    head->text_columns = {"title", "body"};
    info.head = head;
    return info;
  }
  StageInfo multilabel() const {
    StageInfo info = classifier();
    const auto head = std::make_shared<ClassifierInfo>(*info.head_info_as<ClassifierInfo>());
    head->thresholds = {0.5, 1.0 / 3, 0.875};
    head->label_delimiter = ";";
    info.head = head;
    return info;
  }
  void write(const StageInfo& info) {
    const bool classifies = info.head_info_as<ClassifierInfo>() != nullptr;
    write_stage(stage_, info, encoder_, classifies ? static_cast<model::Head&>(head_) : softmax_, read_text_files(corpus_),
                "[train]\nseed = 3\n");
  }
  TrainedModel read() const { return read_stage(stage_, at::kCPU); }
  std::string refusal() const {
    try {
      read();
    } catch (const CheckpointError& e) {
      return e.what();
    }
    return "not refused";
  }
  // Changes stage.json and makes the manifest fit: what the checksums cannot see.
  void edit(const std::function<void(json&)>& change) {
    json j = json::parse(read_file(stage_ / "stage.json"));
    change(j);
    write_file_atomic(stage_ / "stage.json", j.dump());
    write_manifest(stage_);
  }

  static constexpr model::Shape kShape{16, 6, 8, 2};
  test::TempDir dir_;
  fs::path corpus_ = dir_ / "corpus";
  fs::path stage_ = dir_ / "run/stage";
  text::Vocabulary vocabulary_ = text::Vocabulary::build({}, {});
  model::AwdLstm encoder_{kShape, 3, at::kCPU};
  model::SoftmaxHead softmax_{encoder_};
  model::PoolingHead head_{{{18, 5, 3}, {9, 30, false, false}, true}, 3, at::kCPU};
};

TEST_F(StageFolder, LanguageModelComesBackBitForBit) {
  write(lm());
  for (const fs::path& path : {stage_, dir_ / "run"}) {  // the stage, or the run folder that holds it
    const TrainedModel stage = read_stage(path, at::kCPU);
    EXPECT_EQ(to_json(stage.info), to_json(lm()));
    EXPECT_EQ(stage.vocabulary->fingerprint(), vocabulary_.fingerprint());
    EXPECT_EQ(stage.text->fingerprint(), text::TextPipeline({}).fingerprint());
    EXPECT_FALSE(stage.model_fingerprint.empty());
    const auto before = model::tensors_of(encoder_, softmax_);
    const auto after = model::tensors_of(*stage.encoder, head_as<model::SoftmaxHead>(stage));
    ASSERT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_TRUE(at::equal(before[i].second, after[i].second)) << before[i].first;
    }
  }
}

TEST_F(StageFolder, WhatAnAdaptiveSoftmaxHasLeftSaysSoUntilItIsTuned) {
  StageInfo info = lm();
  info.metrics["adaptive_perplexity"] = 80;
  info.lineage = {{"pretrain", "", {{kSoftmaxFact, "adaptive"}}}};
  write(info);
  EXPECT_EQ(note_of_softmax(read().info), note_of_softmax(info));
  EXPECT_THAT(note_of_softmax(info), HasSubstr("perplexity of the validation text 80.00 and 90.02; finetune-lm"));
  EXPECT_THAT(read_file(stage_ / "CARD.md"),
              HasSubstr("\n\nThis model was trained with an adaptive softmax, and read with "));
  info.lineage.push_back({"finetune-lm", "", {{"seed", 3}}});
  EXPECT_EQ(note_of_softmax(info), "");
  for (const json& other : {json("sampled"), json(3), json(nullptr)}) {
    info.lineage = {{"pretrain", "", {{kSoftmaxFact, other}}}};
    EXPECT_EQ(note_of_softmax(info), "") << other;
  }
}

TEST_F(StageFolder, ClassifierComesBackWithItsHeadAndStatistics) {
  write(classifier());
  const TrainedModel stage = read();
  EXPECT_EQ(to_json(stage.info), to_json(classifier()));
  const auto before = head_.parameters();
  const auto after = stage.head->parameters();
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(at::equal(before[i].tensor, after[i].tensor)) << before[i].name;
  }
  for (std::size_t i = 0; i < head_.buffers().size(); ++i) {
    EXPECT_TRUE(at::equal(head_.buffers()[i].second, stage.head->buffers()[i].second)) << head_.buffers()[i].first;
  }
}

TEST_F(StageFolder, ThresholdsComeBackAndOfOneLabelATextThereAreNone) {
  write(multilabel());
  const StageInfo info = read().info;
  EXPECT_EQ(to_json(info), to_json(multilabel()));
  const auto* head = info.head_info_as<ClassifierInfo>();
  EXPECT_TRUE(head->multilabel());
  EXPECT_EQ(head->thresholds, (std::vector{0.5, 1.0 / 3, 0.875}));
  EXPECT_EQ(head->label_delimiter, ";");
  EXPECT_THAT(read_file(stage_ / "CARD.md"), HasSubstr("# AWD-LSTM text classifier, several labels a text\n"));
  write(classifier());
  EXPECT_FALSE(read().info.head_info_as<ClassifierInfo>()->multilabel());
  EXPECT_FALSE(json::parse(read_file(stage_ / "stage.json")).at("classifier").contains("thresholds"));
}

TEST_F(StageFolder, BadThresholdsAreRefused) {
  const auto refused = [&](const char* field, const json& value) {
    write(multilabel());
    edit([&](json& j) { j["classifier"][field] = value; });
    return refusal();
  };
  EXPECT_THAT(refused("thresholds", {0.5, 0.5}), HasSubstr("it has 2 thresholds for 3 labels"));
  EXPECT_THAT(refused("thresholds", json::array()), HasSubstr("it has 0 thresholds for 3 labels"));
  EXPECT_THAT(refused("thresholds", {0.5, 0.5, 0}), HasSubstr("a threshold is 0, expected a number between 0 and 1"));
  EXPECT_THAT(refused("thresholds", {0.5, 1, 0.5}), HasSubstr("a threshold is 1"));
  EXPECT_THAT(refused("thresholds", {0.5, nullptr, 0.5}), HasSubstr("cannot read stage"));
  EXPECT_THAT(refused("label_delimiter", "; "), HasSubstr("label_delimiter is '; ', expected one character"));
  write(multilabel());
  edit([](json& j) { j["classifier"].erase("label_delimiter"); });
  EXPECT_THAT(refusal(), HasSubstr("cannot read stage"));
}

TEST(ClassifierInfo, OfTwoKindsOrOtherClassesAreNotAveraged) {
  ClassifierInfo one, several;
  one.labels = several.labels = {"a", "b"};
  several.thresholds = {0.25, 0.5};
  require_same_classes(one, "p", one, "q");
  require_same_classes(several, "p", several, "q");
  const auto message = [](const ClassifierInfo& a, const ClassifierInfo& b) {
    try {
      require_same_classes(a, "p", b, "q");
    } catch (const CheckpointError& e) {
      return std::string(e.what());
    }
    return std::string("not refused");
  };
  EXPECT_EQ(message(several, one), "p gives several labels a text, and q one: they cannot be averaged");
  EXPECT_EQ(message(one, several), "q gives several labels a text, and p one: they cannot be averaged");
  ClassifierInfo other = several;
  other.thresholds = {0.75, 0.25};
  EXPECT_EQ(mean_thresholds({&several, &other}), (std::vector{0.5, 0.375}));
  EXPECT_EQ(mean_thresholds({&one, &one}), std::vector<double>());
}

TEST_F(StageFolder, ColumnsOfAnOlderStageAreThoseOfItsData) {
  write(classifier());
  edit([](json& j) { j["classifier"].erase("text_columns"); });
  EXPECT_EQ(read().info.head_info_as<ClassifierInfo>()->text_columns, std::vector<std::string>{"text"})
      << "its lineage does not tell";
  edit([](json& j) {
    j["lineage"].push_back({{"command", "train-classifier"}, {"fingerprint", ""}});
    j["lineage"].back()["facts"]["data"]["request"]["text_columns"] = {"headline", "body"};
  });
  EXPECT_EQ(read().info.head_info_as<ClassifierInfo>()->text_columns, (std::vector<std::string>{"headline", "body"}));
}

TEST_F(StageFolder, AnOlderStageIsReplacedWhole) {
  write(classifier());
  make_directories(dir_ / "run/.writing-stage/left-by-a-kill");
  write(lm());
  EXPECT_EQ(read().info.head->kind().name, "lm");
  EXPECT_FALSE(fs::exists(dir_ / "run/.writing-stage"));
  EXPECT_FALSE(fs::exists(stage_ / "left-by-a-kill"));
}

TEST_F(StageFolder, DamagedFilesAreNamed) {
  EXPECT_THAT(refusal(), HasSubstr("no finished stage in"));
  for (const char* file : {"model.safetensors", "vocab.txt", "text.json", "stage.json", "CARD.md"}) {
    write(lm());
    std::string bytes = read_file(stage_ / file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file_atomic(stage_ / file, bytes);
    EXPECT_THAT(refusal(), HasSubstr(file)) << "a flipped bit";
    write(lm());
    truncate_file(stage_ / file, bytes.size() - 1);
    EXPECT_THAT(refusal(), HasSubstr(file)) << "cut off";
    write(lm());
    fs::remove(stage_ / file);
    EXPECT_THAT(refusal(), HasSubstr(file)) << "missing";
  }
  write(lm());
  fs::remove(stage_ / kManifestName);
  EXPECT_THAT(refusal(), HasSubstr("no finished stage in"));
}

TEST_F(StageFolder, WhatDoesNotFitTogetherIsRefused) {
  const auto refused = [&](const StageInfo& info, const std::function<void(json&)>& change) {
    write(info);
    edit(change);
    return refusal();
  };
  EXPECT_THAT(refused(lm(), [](json& j) { j["version"] = 9; }), AllOf(HasSubstr("version 9"), HasSubstr("reads 1")));
  EXPECT_THAT(refused(lm(), [](json& j) { j["format"] = "poem"; }), HasSubstr("is not a stage description"));
  EXPECT_THAT(refused(lm(), [](json& j) { j["kind"] = "poem"; }), HasSubstr("kind is \"poem\", expected lm or classifier"));
  EXPECT_THAT(refused(lm(), [](json& j) { j.erase("lineage"); }), HasSubstr("cannot read stage"));
  EXPECT_THAT(refused(lm(), [](json& j) { j["shape"]["hidden"] = 7; }), HasSubstr("does not have the shape"));
  EXPECT_THAT(refused(lm(), [](json& j) { j["shape"]["hidden"] = 1 << 20; }), HasSubstr("model.safetensors has"));
  EXPECT_THAT(refused(lm(), [](json& j) { j["probe"] = j["probe"].get<double>() * 1.01; }),
              HasSubstr("does not compute what it did"));
  EXPECT_THAT(refused(classifier(), [](json& j) { j["classifier"]["labels"].erase(0); }),
              HasSubstr("do not lead from 18 features to 2 labels"));
  EXPECT_THAT(refused(lm(), [](json& j) { j["kind"] = "classifier"; }), HasSubstr("cannot read stage"));

  write(lm());
  text::Vocabulary::build(
      {{"more", 3}, {"words", 3}, {"than", 3}, {"the", 3}, {"model", 3}, {"has", 3}, {"rows", 3}, {"!", 3}}, {})
      .save(stage_ / "vocab.txt");
  write_manifest(stage_);
  EXPECT_THAT(refusal(), HasSubstr("vocab.txt has 24 words, the model 16"));
}

// The manifest fits: someone has made such a file on purpose, or a program with a fault.
TEST_F(StageFolder, EveryFieldOfAHostileDescriptionIsRefused) {
  write(classifier());
  const json good = json::parse(read_file(stage_ / "stage.json"));
  struct Case {
    const char* field;
    json value;
    const char* message;
  };
  const std::vector<Case> cases{
      {"/classifier/window", 0, "window is 0"},
      {"/classifier/window", -3, "window is -3"},
      {"/classifier/window", -40, "window is -40"},
      {"/classifier/window", 7.5, "window is 7.5"},
      {"/classifier/window", 18446744073709551615U, "window is 18446744073709551615"},
      {"/classifier/length", 0, "length is 0"},
      {"/classifier/length", std::int64_t{1} << 41, "length is"},
      {"/classifier/detach", 1, "cannot read stage"},
      {"/classifier/pool_all", "yes", "cannot read stage"},
      {"/classifier/labels", json::array({"a"}), "has 1 labels"},
      {"/classifier/labels", {"a", "a", "b"}, "labels are alike"},
      {"/classifier/labels", {"a", "", "b"}, "labels is empty"},
      {"/classifier/head_widths", json::array(), "do not lead from 18"},
      {"/classifier/head_widths", {18, 0, 3}, "width of the head is 0"},
      {"/classifier/head_widths", {18, -5, 3}, "width of the head is -5"},
      {"/classifier/head_widths", {17, 5, 3}, "do not lead from 18"},
      {"/classifier/head_widths", {18, 3000000, 3}, "model.safetensors has"},
      {"/classifier/text_columns", json::array(), "no text column"},
      {"/shape/vocabulary", 0, "vocabulary is 0"},
      {"/shape/vocabulary", true, "vocabulary is true"},
      {"/shape/embedding", -1, "embedding is -1"},
      {"/shape/hidden", std::int64_t{1} << 40, "hidden is"},
      {"/shape/layers", 0, "layers is 0"},
      {"/shape/layers", 65, "layers is 65"},
      {"/direction", "sideways", "direction is"},
      {"/lineage", json::array(), "no lineage"},
      {"/lineage/0/facts", 3, "lineage is empty"},
      {"/lineage/1/command", "", "lineage is empty"},
      {"/figures/loss", nullptr, "cannot read stage"},
      {"/probe", "x", "cannot read stage"},
  };
  for (const auto& [field, value, message] : cases) {
    edit([&](json& j) {
      j = good;
      j.at(json::json_pointer(field)) = value;
    });
    EXPECT_THAT(refusal(), HasSubstr(message)) << field << " = " << value;
  }
}

TEST(StageInfo, OfBothKindsHasACard) {
  StageInfo info;
  info.head = std::make_shared<LanguageModelInfo>();
  info.shape = {16, 6, 8, 2};
  info.lineage = {{"pretrain", "00ff", {{"steps", 7000}}}, {"finetune-lm", "", {{"seed", 3}}}};
  EXPECT_THAT(
      reports::stage_card(card_info(info, "seed = 3\n")),
      AllOf(HasSubstr("# AWD-LSTM language model\n"), HasSubstr("Vocabulary: 16 words. Embedding 6, hidden 8, 2 layers; "),
            HasSubstr("| weights | 00ff |"), HasSubstr("### 2. finetune-lm (this stage)"),
            HasSubstr("the usefulness of generated text"), HasSubstr("seed = 3")));
  const auto head = std::make_shared<ClassifierInfo>();
  head->labels = {"a", "b"};
  head->head.widths = {18, 2};
  head->text_columns = {"text"};
  info.head = head;
  info.metrics = {{"error", 0.25}};
  EXPECT_THAT(reports::stage_card(card_info(info, "")),
              AllOf(HasSubstr("# AWD-LSTM text classifier\n"), HasSubstr("2 classes: a, b."), HasSubstr("| error | 0.25 |"),
                    HasSubstr("calibration of the probabilities")));
}

TEST_F(StageFolder, ListsOfFilesOfAnOlderStageAreSummarized) {
  StageInfo info = lm();
  json list = json::array();
  for (int i = 0; i < 1410; ++i) list.push_back({{"name", str("page-", i)}, {"bytes", 10}, {"xxh3", "00"}});
  info.lineage.front().facts["corpus"]["request"]["inputs"] = list;
  write(info);
  EXPECT_EQ(read().info.lineage.front().facts.at("corpus").at("request").at("inputs").at("files"), 1410);
}

// libsentencepiece, which this program is linked with too, must not write into libtorch's variables
// (sentencepiece_tokenizer.cpp).
TEST(LinkedLibraries, LeaveTheFlagAloneByWhichAFailedAllocationAborts) {
  EXPECT_FALSE(FLAGS_caffe2_use_fatal_for_enforce);
  EXPECT_THROW(at::empty({std::int64_t{1} << 50}), c10::Error);
}

}  // namespace
}  // namespace ulmfit::stages
