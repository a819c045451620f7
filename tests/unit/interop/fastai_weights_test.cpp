// Against files that fastai has saved: tests/reference/fastai_bridge.py tells what each is.
#include "interop/fastai_weights.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "interop/torch_file.h"
#include "interop/torch_save.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::interop {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const fs::path kFolder = "tests/fixtures/fastai";

void expect_same(const FastaiWeights& a, const FastaiWeights& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].first, b.tensors[i].first);
    EXPECT_TRUE(a.tensors[i].second.equal(b.tensors[i].second)) << a.tensors[i].first;
  }
}

TEST(FastaiWeights, OfALanguageModelWhateverFormItWasSavedIn) {
  const FastaiWeights lm = read_fastai_weights(kFolder / "lm.pth");
  EXPECT_EQ(lm.kind, FastaiKind::kLanguageModel);
  EXPECT_EQ(lm.vocabulary, 24);
  EXPECT_EQ(lm.embedding, 8);
  EXPECT_EQ(lm.hidden, 12);
  EXPECT_EQ(lm.layers, 3);
  EXPECT_EQ(lm.tensors.front().first, "embedding.weight");
  EXPECT_EQ(lm.tensors.back().first, "decoder.bias");
  for (const char* other : {"lm_with_opt.pth", "lm_stream.pth"}) {
    expect_same(lm, read_fastai_weights(kFolder / other));
  }
}

// v1 stores the recurrent weights as dropout left them beside the raw ones; in this file they are all 7.
TEST(FastaiWeights, TheMaskedCopyOfTheRecurrentWeightsIsPassedOver) {
  expect_same(read_fastai_weights(kFolder / "lm.pth"), read_fastai_weights(kFolder / "lm_v1.pth"));
}

TEST(FastaiWeights, OfAnEncoderAndOfClassifiers) {
  const FastaiWeights encoder = read_fastai_weights(kFolder / "encoder.pth");
  EXPECT_EQ(encoder.kind, FastaiKind::kEncoder);
  const FastaiWeights v2 = read_fastai_weights(kFolder / "classifier.pth");
  EXPECT_EQ(v2.kind, FastaiKind::kClassifier);
  EXPECT_THAT(v2.head_widths, ElementsAre(24, 50, 3));
  EXPECT_FALSE(v2.head_bias);
  const FastaiWeights v1 = read_fastai_weights(kFolder / "classifier_v1.pth");
  EXPECT_THAT(v1.head_widths, ElementsAre(24, 50, 3));
  EXPECT_TRUE(v1.head_bias);
}

TEST(FastaiWeights, ComeBackAsTheyWere) {
  test::TempDir dir;
  for (const char* file : {"lm.pth", "encoder.pth", "classifier.pth", "classifier_v1.pth"}) {
    const FastaiWeights weights = read_fastai_weights(kFolder / file);
    write_fastai_weights(dir / file, weights);
    const FastaiWeights again = read_fastai_weights(dir / file);
    EXPECT_EQ(again.kind, weights.kind);
    expect_same(weights, again);
  }
}

// load_pretrained of fastai copies by order, not by name.
TEST(FastaiWeights, AreWrittenInFastaisOrderAndTied) {
  test::TempDir dir;
  write_fastai_weights(dir / "lm.pth", read_fastai_weights(kFolder / "lm.pth"));
  const auto keys = [](const fs::path& file) {
    const TorchFile torch(file);
    std::vector<std::string> names;
    for (const auto& [key, value] : torch.root().items) names.push_back(key->text);
    return names;
  };
  EXPECT_EQ(keys(dir / "lm.pth"), keys(kFolder / "lm.pth"));
  EXPECT_LT(fs::file_size(dir / "lm.pth"), fs::file_size(kFolder / "lm.pth") + 4096) << "the embedding is stored once";
}

TEST(FastaiWeights, WordsComeFromPickleJsonOrText) {
  const FastaiVocabulary pickled = read_fastai_vocabulary(kFolder / "vocab.pkl");
  ASSERT_EQ(pickled.words.size(), 24U);
  EXPECT_EQ(pickled.words[18],
            "\xc3\xbc"
            "ber");
  EXPECT_EQ(pickled.words[23], "xxfake");
  EXPECT_EQ(read_fastai_vocabulary(kFolder / "vocab.json").words, pickled.words);
  EXPECT_EQ(read_fastai_vocabulary(kFolder / "vocab.txt").words, pickled.words);
  const FastaiVocabulary both = read_fastai_vocabulary(kFolder / "vocab_classifier.pkl");
  EXPECT_EQ(both.words, pickled.words);
  EXPECT_THAT(both.labels, ElementsAre("negative", "positive", "mixed"));
  test::TempDir dir;
  write_fastai_vocabulary(dir / "v.pkl", both);
  EXPECT_EQ(read_fastai_vocabulary(dir / "v.pkl").labels, both.labels);
  EXPECT_EQ(read_fastai_vocabulary(dir / "v.pkl").words, both.words);
}

void expect_refused(const fs::path& file, const std::string& message) {
  EXPECT_THAT([&] { read_fastai_weights(file); }, ThrowsMessage<CheckpointError>(HasSubstr(message))) << file;
}

TEST(FastaiWeights, RefusesWhatIsNoAwdLstmOfFastai) {
  test::TempDir dir;
  expect_refused(kFolder / "qrnn.pth", "it is a QRNN");
  write_file_atomic(dir / "text.pth", "some text");
  expect_refused(dir / "text.pth", "it is no file of torch.save");
  write_file_atomic(dir / "zip.pth", "PK\x03\x04 and nothing else");
  expect_refused(dir / "zip.pth", "its zip form is broken");
  const auto with = [&](const std::string& name, const std::function<void(NamedTensors&)>& change) {
    TorchFile file(kFolder / "lm.pth");
    NamedTensors tensors;
    for (const auto& [key, value] : file.root().items) tensors.emplace_back(key->text, *file.tensor(*value, key->text));
    change(tensors);
    write_state_dict(dir / name, tensors);
    return dir / name;
  };
  const auto named = [](NamedTensors& tensors, const std::string& name) -> at::Tensor& {
    return std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first == name; })->second;
  };
  const auto without = [](const std::string& name) {
    return [name](NamedTensors& tensors) { std::erase_if(tensors, [&](const auto& t) { return t.first == name; }); };
  };
  EXPECT_NO_THROW(read_fastai_weights(with("whole.pth", [](NamedTensors&) {})));
  expect_refused(with("a.pth", without("0.encoder.weight")), "it has no encoder.weight");
  expect_refused(with("b.pth", without("0.rnns.1.module.bias_hh_l0")), "it has no 0.rnns.1.module.bias_hh_l0");
  expect_refused(with("c.pth", [&](NamedTensors& t) { named(t, "1.decoder.weight") = at::ones({24, 8}); }), "not tied");
  expect_refused(with("d.pth", [&](NamedTensors& t) { named(t, "1.decoder.bias") = at::ones({23}); }),
                 "1.decoder.bias has the shape [23], expected [24]");
  expect_refused(with("e.pth",
                      [&](NamedTensors& t) {
                        named(t, "0.rnns.0.weight_hh_l0_raw") = at::ones({40, 12});
                      }),
                 "has the shape [40, 12], expected [48, 12]");
  expect_refused(with("f.pth", [](NamedTensors& t) { t.emplace_back("2.attention.weight", at::ones({3})); }),
                 "2.attention.weight, which no AWD-LSTM of fastai has");
  expect_refused(
      with("g.pth", [](NamedTensors& t) { t.emplace_back("0.rnns.0.module.weight_ih_l0_reverse", at::ones({3})); }),
      "bidirectional");
  expect_refused(with("h.pth", [&](NamedTensors& t) { named(t, "1.decoder.bias") = at::ones({24}, at::kLong); }),
                 "holds no floating-point numbers");
}

std::string text_of(const std::string& value) {
  return "X" + std::string(1, static_cast<char>(value.size())) + "\0\0\0"s + value;
}

// A file of the stream form with this pickle as its root, the keys of its storages, and their elements.
std::string stream_file(const std::string& root, const std::string& keys = "", const std::string& elements = "") {
  const std::string proto = "\x80\x02";
  return proto + "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + proto + "M\xe9\x03." + proto + "}." + proto + root +
         "." + proto + "](" + keys + "e." + elements;
}

// A tensor of `count` elements in storage `key`, its sizes and strides as given.
std::string tensor_pickle(const std::string& type, const std::string& key, int count, const std::string& sizes,
                          const std::string& strides, const std::string& offset = "K\0"s) {
  const std::string number = "K" + std::string(1, static_cast<char>(count));
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text_of("storage") + "ctorch\n" + type + "\n" + text_of(key) +
         text_of("cpu") + number + "NtQ" + offset + sizes + strides + "\x89}tR";
}

TEST(TorchFile, HostileTensorsAreRefused) {
  test::TempDir dir;
  const auto expect = [&](const std::string& bytes, const std::string& message) {
    write_file_atomic(dir / "hostile.pth", bytes);
    EXPECT_THAT([&] { read_fastai_weights(dir / "hostile.pth"); }, ThrowsMessage<CheckpointError>(HasSubstr(message)));
  };
  const auto one = [&](const std::string& tensor) {
    return stream_file("}" + text_of("a") + tensor + "s", text_of("0"), "\2\0\0\0\0\0\0\0"s + std::string(16, 'x'));
  };
  const std::string two = "K\2\x85", stride = "K\1\x85";
  expect(one(tensor_pickle("FloatStorage", "0", 2, two, stride)), "it has no encoder.weight");
  expect(one(tensor_pickle("FloatStorage", "0", 2, "K\3\x85", stride)), "larger than its storage");
  expect(one(tensor_pickle("FloatStorage", "0", 2, two, "K\2\x85")), "lies outside its storage");
  expect(one(tensor_pickle("FloatStorage", "0", 2, two, stride, "K\1")), "lies outside its storage");
  expect(one(tensor_pickle("FloatStorage", "0", 2, two, stride, "J\xff\xff\xff\xff")), "lies outside its storage");
  expect(one(tensor_pickle("FloatStorage", "0", 2, two, "K\0\x85"s)), "not contiguous");
  expect(one(tensor_pickle("FloatStorage", "0", 2, "K\0\x85"s, stride)), "is empty");
  expect(one(tensor_pickle("FloatStorage", "0", 2, "N", "N")), "not described as torch does");
  expect(one(tensor_pickle("ComplexFloatStorage", "0", 2, two, stride)), "none of torch's plain numbers");
  expect(stream_file("}(" + text_of("a") + tensor_pickle("ByteStorage", "0", 2, two, stride) + text_of("b") +
                         tensor_pickle("DoubleStorage", "0", 2, two, stride) + "u",
                     text_of("0"), "\2\0\0\0\0\0\0\0"s + std::string(16, 'x')),
         "named with two types");
  std::string nested = "ctorch._utils\n_rebuild_parameter\nq\0000"s;
  for (int i = 0; i < 200'000; ++i) nested += "h\0"s;
  nested += "N";
  for (int i = 0; i < 200'000; ++i) nested += "\x85R";
  expect(stream_file("}" + text_of("a") + nested + "s"), "is no tensor");
}

TEST(FastaiWeights, AWordInAMillionPlacesIsRefused) {
  test::TempDir dir;
  std::string list = "\x80\x02X\0\0\1\0"s + std::string(65536, 'w') + "q\0000]("s;
  for (int i = 0; i < 2000; ++i) list += "h\0"s;
  write_file_atomic(dir / "v.pkl", list + "e.");
  EXPECT_THAT([&] { read_fastai_vocabulary(dir / "v.pkl"); },
              ThrowsMessage<CheckpointError>(HasSubstr("its words are too long")));
}

// fastcore's L and fastai's CategoryMap, as pickle.dump(dls.vocab) writes them.
TEST(FastaiWeights, WordsComeFromFastaisOwnLists) {
  const FastaiVocabulary both = read_fastai_vocabulary(kFolder / "vocab_dls.pkl");
  EXPECT_EQ(both.words, read_fastai_vocabulary(kFolder / "vocab.pkl").words);
  EXPECT_THAT(both.labels, ElementsAre("negative", "positive", "mixed"));
}

TEST(TorchFile, CutOffAnywhereIsRefused) {
  test::TempDir dir;
  for (const char* name : {"lm.pth", "lm_stream.pth"}) {
    const std::string whole = read_file(kFolder / name);
    for (std::size_t n = 0; n < whole.size(); n += 97) {
      write_file_atomic(dir / "cut.pth", std::string_view(whole).substr(0, n));
      EXPECT_THROW(read_fastai_weights(dir / "cut.pth"), CheckpointError) << name << " of " << n << " bytes";
    }
  }
}

// Every byte of the pickles, one after the other: refused, or read as other weights, but nothing worse.
TEST(TorchFile, AFlippedByteDoesNoHarm) {
  test::TempDir dir;
  for (const char* name : {"lm.pth", "lm_stream.pth"}) {
    const std::string whole = read_file(kFolder / name);
    for (std::size_t n = 0; n < std::min<std::size_t>(whole.size(), 3000); n += 3) {
      std::string changed = whole;
      changed[n] = static_cast<char>(changed[n] ^ 0x5a);
      write_file_atomic(dir / "changed.pth", changed);
      try {
        read_fastai_weights(dir / "changed.pth");
      } catch (const CheckpointError&) {
      }
    }
  }
}

}  // namespace
}  // namespace ulmfit::interop
