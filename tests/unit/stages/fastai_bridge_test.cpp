// Models that fastai has saved compute the same numbers here: tests/reference/fastai_bridge.py made both.
#include "stages/fastai_bridge.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "interop/fastai_weights.h"
#include "model/pooling_head.h"
#include "model/softmax_head.h"
#include "stages/classifier_info.h"
#include "stages/stage_folder.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::stages {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const fs::path kFolder = "tests/fixtures/fastai";

class FastaiBridge : public ::testing::Test {
 protected:
  TrainedModel import(const std::string& weights, const std::string& vocabulary, const std::string& output = "imported") {
    import_fastai(options(weights, vocabulary, output), text::TextPipeline({}), "");
    return read_stage(dir_ / output, at::kCPU);
  }
  ImportOptions options(const std::string& weights, const std::string& vocabulary, const std::string& output = "imported") {
    ImportOptions o;
    o.weights = kFolder / weights;
    o.vocabulary = kFolder / vocabulary;
    o.output = dir_ / output;
    o.foreign_tokens = true;
    return o;
  }
  void expect_refused(const ImportOptions& o, const std::string& message) {
    EXPECT_THAT([&] { import_fastai(o, text::TextPipeline({}), ""); }, ThrowsMessage<Error>(HasSubstr(message)));
    EXPECT_FALSE(fs::exists(fs::path(o.output) / "stage"));
  }
  void expect_close(const at::Tensor& ours, const std::string& key) {
    std::vector<float> values;
    const std::function<void(const nlohmann::json&)> flatten = [&](const nlohmann::json& j) {
      if (j.is_number()) return values.push_back(j.get<float>());
      for (const auto& inner : j) flatten(inner);
    };
    flatten(numbers_.at(key));
    const at::Tensor theirs = at::tensor(values).reshape(ours.sizes());
    EXPECT_TRUE(((ours - theirs).abs() <= 1e-5 * (1 + theirs.abs())).all().item<bool>())
        << key << " differs by " << (ours - theirs).abs().max().item<double>();
  }
  at::Tensor probabilities(const TrainedModel& model) {
    const auto documents = numbers_.at("documents").get<std::vector<std::vector<std::int64_t>>>();
    std::vector<const std::vector<std::int64_t>*> pointers;
    for (const auto& document : documents) pointers.push_back(&document);
    auto& head = head_as<model::PoolingHead>(model);
    const at::NoGradGuard no_grad;
    const at::Tensor features =
        head.features(*model.encoder, pointers, model.encoder->batch_weights(0, nullptr), {}, nullptr);
    return at::softmax(head.forward(features, {}, nullptr), 1);
  }

  test::TempDir dir_;
  nlohmann::json numbers_ = nlohmann::json::parse(read_file(kFolder / "numbers.json"));
};

TEST_F(FastaiBridge, ALanguageModelGivesFastaisLogits) {
  for (const char* file : {"lm.pth", "lm_v1.pth"}) {
    const TrainedModel lm = import(file, "vocab.pkl", file);
    const auto ids = numbers_.at("ids").get<std::vector<std::vector<std::int64_t>>>();
    std::vector<std::int64_t> flat = ids[0];
    flat.insert(flat.end(), ids[1].begin(), ids[1].end());
    const at::Tensor x = at::tensor(flat, at::kLong).reshape({2, -1}).t().contiguous();
    const at::NoGradGuard no_grad;
    const at::Tensor top =
        lm.encoder->forward(x, lm.encoder->zero_state(2), lm.encoder->batch_weights(0, nullptr), {}, nullptr).top;
    expect_close(top.transpose(0, 1).contiguous(), "top");
    const auto& head = head_as<model::SoftmaxHead>(lm);
    expect_close(at::linear(top, head.weight(), head.bias()).transpose(0, 1).contiguous(), "logits");
  }
}

TEST_F(FastaiBridge, EachTokenOfATextHasFastaisLoss) {
  const TrainedModel lm = import("lm.pth", "vocab.pkl");
  const auto expected = nlohmann::json::parse(read_file(kFolder / "token_losses.json"));
  const auto ids = expected.at("ids").get<std::vector<std::int64_t>>();
  const auto& head = head_as<model::SoftmaxHead>(lm);
  const at::NoGradGuard no_grad;
  const auto weights = lm.encoder->batch_weights(0, nullptr);
  model::LstmState state = lm.encoder->zero_state(1);
  std::size_t compared = 0;
  for (std::size_t first = 0; first + 1 < ids.size(); first += 5) {  // other windows than there: they change nothing
    const std::size_t count = std::min<std::size_t>(5, ids.size() - 1 - first);
    const at::Tensor x = at::tensor(std::vector(ids.begin() + static_cast<std::ptrdiff_t>(first),
                                                ids.begin() + static_cast<std::ptrdiff_t>(first + count)),
                                    at::kLong)
                             .unsqueeze(1);
    const model::EncoderOutput out = lm.encoder->forward(x, state, weights, {}, nullptr);
    state = out.next;
    for (std::size_t t = 0; t < count; ++t) {
      const at::Tensor target = at::tensor({ids[first + t + 1]}, at::kLong);
      const double loss = head.loss(out.top.select(0, static_cast<std::int64_t>(t)), target, 1, model::Precision::kFloat32)
                              .loss.item<double>();
      const double theirs = expected.at("losses")[compared++];
      EXPECT_NEAR(loss, theirs, 1e-5 * (1 + theirs));
    }
  }
  EXPECT_EQ(compared, ids.size() - 1);
}

TEST_F(FastaiBridge, ClassifiersOfBothVersionsGiveFastaisProbabilities) {
  const TrainedModel v2 = import("classifier.pth", "vocab_classifier.pkl", "v2");
  EXPECT_EQ(v2.info.head_info_as<ClassifierInfo>()->labels, (std::vector<std::string>{"negative", "positive", "mixed"}));
  expect_close(probabilities(v2), "classifier");
  const TrainedModel v1 = import("classifier_v1.pth", "vocab_classifier.pkl", "v1");
  expect_close(probabilities(v1), "classifier_v1");
}

TEST_F(FastaiBridge, AnEncoderBecomesALanguageModelWithoutABias) {
  const TrainedModel lm = import("encoder.pth", "vocab.txt");
  EXPECT_EQ(head_as<model::SoftmaxHead>(lm).bias().abs().max().item<double>(), 0);
  EXPECT_TRUE(lm.encoder->embedding().detach().equal(import("lm.pth", "vocab.txt", "lm").encoder->embedding().detach()));
}

TEST_F(FastaiBridge, WhatWasImportedIsExportedAsItWas) {
  for (const auto& [file, vocabulary] :
       {std::pair("lm.pth", "vocab.pkl"), std::pair("classifier.pth", "vocab_classifier.pkl"),
        std::pair("classifier_v1.pth", "vocab_classifier.pkl")}) {
    import(file, vocabulary, str(file, "-stage"));
    ExportOptions o;
    o.model = dir_ / str(file, "-stage");
    o.output = dir_ / str(file, "-exported");
    export_fastai(o);
    const auto before = interop::read_fastai_weights(kFolder / file);
    const auto after = interop::read_fastai_weights(fs::path(o.output) / "model.pth");
    ASSERT_EQ(before.tensors.size(), after.tensors.size());
    for (std::size_t i = 0; i < before.tensors.size(); ++i) {
      EXPECT_TRUE(before.tensors[i].second.equal(after.tensors[i].second)) << before.tensors[i].first;
    }
    EXPECT_EQ(interop::read_fastai_vocabulary(fs::path(o.output) / "vocab.pkl").words,
              interop::read_fastai_vocabulary(kFolder / vocabulary).words);
    EXPECT_EQ(export_fastai(o).at("exported"), "before");
    write_file_atomic(fs::path(o.output) / "vocab.pkl", "another");
    EXPECT_THAT([&] { export_fastai(o); }, ThrowsMessage<ConfigError>(HasSubstr("is not empty")));
  }
}

TEST_F(FastaiBridge, RefusesWhatDoesNotFitTogetherAndLeavesNothing) {
  ImportOptions o = options("lm.pth", "vocab.pkl");
  o.foreign_tokens = false;
  expect_refused(o, "--accept-foreign-tokens");
  write_file_atomic(dir_ / "short.txt", "xxunk\nxxpad\nfilm\n");
  o = options("lm.pth", "vocab.pkl");
  o.vocabulary = dir_ / "short.txt";
  expect_refused(o, "has 3 words");
  expect_refused(options("classifier.pth", "vocab.pkl"), "give --labels");
  o = options("classifier.pth", "vocab.pkl");
  o.labels = dir_ / "two.txt";
  write_file_atomic(dir_ / "two.txt", "good\nbad\n");
  expect_refused(o, "there are 2 names of classes");
  import("lm.pth", "vocab.pkl", "used");
  EXPECT_EQ(import_fastai(options("lm.pth", "vocab.pkl", "used"), text::TextPipeline({}), "").at("imported"), "before");
  o = options("lm_v1.pth", "vocab.pkl", "used");
  EXPECT_THAT([&] { import_fastai(o, text::TextPipeline({}), ""); }, ThrowsMessage<ConfigError>(HasSubstr("is not empty")));
}

}  // namespace
}  // namespace ulmfit::stages
