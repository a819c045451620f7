#include "interop/safetensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <stdexcept>

#include "base/error.h"
#include "base/file.h"
#include "base/random.h"
#include "base/stopwatch.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::interop {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Made by tests/reference/safetensors_fixture.py with Python's safetensors 0.8.0.
constexpr std::string_view kPythonFile =
    "50010000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a227074227d2c22696473223a7b2264747970"
    "65223a22493634222c227368617065223a5b325d2c22646174615f6f666673657473223a5b302c31365d7d2c227363616c617222"
    "3a7b226474797065223a22463634222c227368617065223a5b5d2c22646174615f6f666673657473223a5b31362c32345d7d2c22"
    "776569676874223a7b226474797065223a22463332222c227368617065223a5b322c335d2c22646174615f6f666673657473223a"
    "5b32342c34385d7d2c22656d707479223a7b226474797065223a22463136222c227368617065223a5b302c345d2c22646174615f"
    "6f666673657473223a5b34382c34385d7d2c22666c616773223a7b226474797065223a22424f4f4c222c227368617065223a5b33"
    "5d2c22646174615f6f666673657473223a5b34382c35315d7d7d2020202020200700000000000000f7ffffffffffffff9a999999"
    "9999b93f0000c03f000000c000005040000000006f12833acaf249f1010001";

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

std::string file_bytes(const NamedTensors& tensors, const Metadata& metadata = {}) {
  std::string out;
  write_safetensors([&](const void* data, std::size_t n) { out.append(static_cast<const char*>(data), n); }, tensors,
                    metadata);
  return out;
}

std::string bytes_of(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return "";
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

// A file with this header (padded) and this many bytes of data.
std::string raw_file(std::string header, std::size_t data_bytes) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + std::string(data_bytes, '\0');
}

NamedTensors all_types() {
  return {{"f32", at::tensor({1.5F, -0.0F, 3e-39F, -1e30F}).view({2, 2})},
          {"bool", at::tensor({1, 0, 1}).to(at::kBool)},
          {"f64", at::tensor({0.1, -2.0}, at::kDouble)},
          {"f16", at::tensor({0.5F, 65504.0F}).to(at::kHalf)},
          {"bf16", at::tensor({0.5F, 1e38F}).to(at::kBFloat16)},
          {"i64", at::tensor({int64_t{1} << 60, int64_t{-1}}, at::kLong)},
          {"i32", at::tensor({1 << 30, -1}, at::kInt)},
          {"i16", at::tensor({-32768, 32767}).to(at::kShort)},
          {"u8", at::tensor({0, 255, 3}).to(at::kByte)},
          {"scalar", at::scalar_tensor(7.25F)},
          {"empty", at::empty({0, 5})},
          {"1.layers.0.weight \"\xc3\xa9\"\n", at::ones({1})}};
}

TEST(Safetensors, ReadsWhatItWrites) {
  test::TempDir dir;
  const Metadata metadata = {{"format", "pt"}, {"note", "a \"quoted\"\nline"}};
  {
    OutputFile out(dir / "m.safetensors");
    write_safetensors(out, all_types(), metadata);
    out.close();
  }
  SafetensorsFile file(dir / "m.safetensors");
  EXPECT_EQ(file.metadata(), metadata);
  const NamedTensors found = file.read_all();
  const NamedTensors expected = all_types();
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].first, expected[i].first);
    EXPECT_EQ(found[i].second.scalar_type(), expected[i].second.scalar_type());
    EXPECT_EQ(found[i].second.sizes(), expected[i].second.sizes());
    EXPECT_EQ(bytes_of(found[i].second), bytes_of(expected[i].second));
    EXPECT_TRUE(at::equal(file.read(expected[i].first), expected[i].second));
  }
  EXPECT_TRUE(file.contains("f32"));
  EXPECT_FALSE(file.contains("f33"));
}

TEST(Safetensors, LayoutIsTheSpecifications) {
  const std::string bytes = file_bytes({{"b", at::tensor({1.0F})}, {"a", at::tensor({2}).to(at::kByte)}}, {{"k", "v"}});
  const std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}})";
  const std::size_t padded = (header.size() + 7) / 8 * 8;
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length, padded);
  EXPECT_EQ(bytes.substr(8, padded), header + std::string(padded - header.size(), ' '));
  EXPECT_EQ(bytes.substr(8 + padded), std::string("\x00\x00\x80\x3f\x02", 5));
}

TEST(Safetensors, NothingIsAFileToo) {
  test::TempDir dir;
  write_file_atomic(dir / "m", file_bytes({}));
  SafetensorsFile file(dir / "m");
  EXPECT_TRUE(file.read_all().empty());
  EXPECT_TRUE(file.metadata().empty());
}

TEST(Safetensors, ReadsPythonsFile) {
  test::TempDir dir;
  write_file_atomic(dir / "m", from_hex(kPythonFile));
  SafetensorsFile file(dir / "m");
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}}));
  EXPECT_TRUE(at::equal(file.read("weight"), at::tensor({1.5F, -2.0F, 3.25F, 0.0F, 1e-3F, -1e30F}).view({2, 3})));
  EXPECT_TRUE(at::equal(file.read("ids"), at::tensor({7, -9}, at::kLong)));
  EXPECT_TRUE(at::equal(file.read("flags"), at::tensor({1, 0, 1}).to(at::kBool)));
  EXPECT_TRUE(at::equal(file.read("empty"), at::empty({0, 4}, at::kHalf)));
  EXPECT_TRUE(at::equal(file.read("scalar"), at::scalar_tensor(0.1, at::kDouble)));
  EXPECT_EQ(file.tensors().size(), 5U);
}

TEST(Safetensors, WriterRefusesWhatTheFormatCannotHold) {
  const at::Tensor fine = at::zeros({2, 3});
  EXPECT_THROW(file_bytes({{"a", fine}, {"a", fine}}), std::invalid_argument);
  EXPECT_THROW(file_bytes({{"a", fine.t()}}), std::invalid_argument);
  EXPECT_THROW(file_bytes({{"a", fine.to(at::kComplexFloat)}}), std::invalid_argument);
  EXPECT_THROW(file_bytes({{"__metadata__", fine}}), std::invalid_argument);
  EXPECT_THROW(file_bytes({{"\xff", fine}}), std::invalid_argument);
  EXPECT_THROW(file_bytes({}, {{"k", "\xff"}}), std::invalid_argument);
}

std::string refusal(const std::string& bytes) {
  test::TempDir dir;
  {
    OutputFile out(dir / "bad.safetensors");
    out.write(bytes);
    out.close();
  }
  try {
    SafetensorsFile(dir / "bad.safetensors").read_all();
  } catch (const CheckpointError& e) {
    EXPECT_THAT(e.what(), StartsWith("cannot read " + (dir / "bad.safetensors").string() + ": "));
    return e.what();
  }
  return "accepted";
}

std::string header_refusal(const std::string& header, std::size_t data_bytes = 4) {
  return refusal(raw_file(header, data_bytes));
}

// Two tensors of four bytes, with the second's entry as given.
std::string second_refusal(const std::string& second, std::size_t data_bytes = 8) {
  return header_refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)" + second + "}", data_bytes);
}

TEST(SafetensorsRules, HeaderLength) {
  EXPECT_THAT(refusal(""), HasSubstr("it has 0 bytes, fewer than the 8"));
  EXPECT_THAT(refusal("1234567"), HasSubstr("it has 7 bytes"));
  const std::string huge("\xff\xff\xff\xff\xff\xff\xff\xff", 8);
  EXPECT_THAT(refusal(huge + "{}"), HasSubstr("18446744073709551615 bytes, above the limit"));
  EXPECT_THAT(refusal(std::string("\x08\0\0\0\0\0\0\0{}    ", 14)),
              HasSubstr("the header's length is 8 bytes, but 6 follow"));
  EXPECT_THAT(refusal(std::string(8, '\0')), HasSubstr("does not start with '{'"));
}

TEST(SafetensorsRules, HeaderText) {
  EXPECT_EQ(header_refusal("{}", 0), "accepted");
  EXPECT_THAT(header_refusal(" {}", 0), HasSubstr("does not start with '{'"));
  EXPECT_THAT(header_refusal("[]", 0), HasSubstr("does not start with '{'"));
  EXPECT_THAT(header_refusal("{}\n", 0), HasSubstr("does not end with '}' and blanks"));
  EXPECT_THAT(header_refusal("{} {}", 0), HasSubstr("not valid JSON"));
  EXPECT_THAT(header_refusal("{a:1}", 0), HasSubstr("not valid JSON"));
  EXPECT_THAT(header_refusal("{\"\xff\":1}", 0), HasSubstr("not valid JSON"));
  EXPECT_THAT(header_refusal(R"({"a":{"dtype":[[[[]]]]}})", 0), HasSubstr("nested too deeply"));
  EXPECT_THAT(header_refusal("{\"a\":" + std::string(100000, '[') + "}", 0), HasSubstr("nested too deeply"));
}

TEST(SafetensorsRules, KeysAreUnique) {
  EXPECT_THAT(second_refusal(R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), HasSubstr("the key 'a' twice"));
  EXPECT_THAT(second_refusal(R"("b":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[4,8]})"),
              HasSubstr("the key 'dtype' twice"));
  EXPECT_THAT(header_refusal(R"({"__metadata__":{"k":"1","k":"2"}})", 0), HasSubstr("the key 'k' twice"));
  EXPECT_EQ(second_refusal(R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "accepted");
}

// 100 MB of header are allowed, which is a million names: each must not be compared with all others. (Then these took
// minutes.)
TEST(SafetensorsRules, ManyTensorsAreReadInSeconds) {
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) {
    header += (i == 0 ? "" : ",") + ("\"" + std::to_string(i)) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  }
  const Stopwatch watch;
  EXPECT_EQ(header_refusal(header + "}", 0), "accepted");
  EXPECT_LT(watch.seconds(), 60);
}

TEST(SafetensorsRules, Metadata) {
  EXPECT_THAT(header_refusal(R"({"__metadata__":[]})", 0), HasSubstr("__metadata__ is not an object"));
  EXPECT_THAT(header_refusal(R"({"__metadata__":{"k":1}})", 0), HasSubstr("entry 'k' is not a string"));
}

TEST(SafetensorsRules, TensorFields) {
  EXPECT_THAT(second_refusal(R"("b":3)"), HasSubstr("'b' is not described by an object"));
  EXPECT_THAT(second_refusal(R"("b":{"shape":[1],"data_offsets":[4,8]})"), HasSubstr("lacks dtype, shape or data_offsets"));
  EXPECT_THAT(second_refusal(R"("b":{"dtype":"F32","data_offsets":[4,8]})"),
              HasSubstr("lacks dtype, shape or data_offsets"));
  EXPECT_THAT(second_refusal(R"("b":{"dtype":"F32","shape":[1]})"), HasSubstr("lacks dtype, shape or data_offsets"));
  EXPECT_THAT(second_refusal(R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8],"x":1})"),
              HasSubstr("unknown field 'x'"));
  EXPECT_THAT(second_refusal(R"("b":{"dtype":1,"shape":[1],"data_offsets":[4,8]})"),
              HasSubstr("dtype that is not a string"));
  EXPECT_THAT(second_refusal(R"("b":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[4,8]})"),
              HasSubstr("has the dtype 'F8_E4M3'"));
}

TEST(SafetensorsRules, Shape) {
  const auto shaped = [](const std::string& shape) {
    return second_refusal(R"("b":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[4,8]})");
  };
  EXPECT_EQ(shaped("[]"), "accepted");
  EXPECT_EQ(shaped("[1,1,1]"), "accepted");
  EXPECT_THAT(shaped("1"), HasSubstr("shape that is not a list"));
  for (const std::string bad : {"[-1]", "[1.0]", "[\"1\"]", "[null]"})
    EXPECT_THAT(shaped(bad), HasSubstr("not a whole number")) << bad;
  EXPECT_THAT(shaped("[2]"), HasSubstr("has 4 bytes, but its shape and dtype need 8"));
  EXPECT_THAT(shaped("[0]"), HasSubstr("has 4 bytes, but its shape and dtype need 0"));
  // 2^62 * 4 elements, and 2^63 behind a zero: the product wraps to 0, or the strides would.
  for (const std::string bad :
       {"[4611686018427387904,4]", "[18446744073709551615]", "[0,9223372036854775808]", "[4294967296,4294967296]"}) {
    EXPECT_THAT(shaped(bad), HasSubstr("shape too large")) << bad;
  }
  EXPECT_THAT(shaped("[99999999999999999999]"), AnyOf(HasSubstr("not a whole number"), HasSubstr("not valid JSON")));
}

TEST(SafetensorsRules, Offsets) {
  const auto at_offsets = [](const std::string& offsets, const std::string& shape = "[1]") {
    return second_refusal(R"("b":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}");
  };
  EXPECT_EQ(at_offsets("[4,8]"), "accepted");
  for (const std::string bad : {"4", "[4]", "[4,8,12]", "[-4,0]", "[4.0,8]", "[\"4\",8]"}) {
    EXPECT_THAT(at_offsets(bad), HasSubstr("data_offsets that are not two whole numbers")) << bad;
  }
  EXPECT_THAT(at_offsets("[8,4]"), HasSubstr("'b' ends before it begins"));
  EXPECT_THAT(at_offsets("[2,6]"), HasSubstr("'b' overlaps the one before it"));
  EXPECT_THAT(at_offsets("[0,4]"), HasSubstr("overlaps the one before it"));
  EXPECT_THAT(at_offsets("[5,9]"), HasSubstr("a hole of 1 bytes before tensor 'b'"));
  EXPECT_THAT(at_offsets("[4,12]", "[2]"), HasSubstr("the tensors have 12 bytes, but the file holds 8"));
  EXPECT_THAT(at_offsets("[18446744073709551612,18446744073709551615]"), HasSubstr("has 3 bytes, but"));
  EXPECT_THAT(header_refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5),
              HasSubstr("a hole of 1 bytes"));
}

TEST(SafetensorsRules, FileEndsWithTheLastTensor) {
  const std::string one = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  EXPECT_EQ(header_refusal(one, 4), "accepted");
  EXPECT_THAT(header_refusal(one, 3), HasSubstr("the tensors have 4 bytes, but the file holds 3"));
  EXPECT_THAT(header_refusal(one, 5), HasSubstr("the tensors have 4 bytes, but the file holds 5"));
}

TEST(SafetensorsRules, BoolsAreZeroOrOne) {
  std::string bytes = file_bytes({{"flags", at::ones({3}, at::kBool)}});
  EXPECT_EQ(refusal(bytes), "accepted");
  bytes.back() = '\2';
  EXPECT_THAT(refusal(bytes), HasSubstr("'flags' of dtype BOOL has bytes other than 0 and 1"));
}

TEST(SafetensorsRules, TruncatedFilesAreRefused) {
  const std::string whole = file_bytes(all_types(), {{"k", "v"}});
  for (std::size_t i = 0; i < 20; ++i) {
    const std::size_t size = whole.size() * i / 20;
    EXPECT_NE(refusal(whole.substr(0, size)), "accepted") << size << " of " << whole.size() << " bytes";
  }
  EXPECT_NE(refusal(whole.substr(0, whole.size() - 1)), "accepted");
}

// Flipped bits are for the manifest's checksum to find; here they must only never do harm.
TEST(SafetensorsRules, FlippedBitsAreReadOrRefused) {
  const std::string whole = file_bytes(all_types(), {{"k", "v"}});
  int refused = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    std::string bytes = whole;
    const std::uint64_t bit = random_below({1, Purpose::kBench, 0, 0}, i, whole.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    refused += refusal(bytes) == "accepted" ? 0 : 1;
  }
  EXPECT_GT(refused, 300);
}

TEST(SafetensorsRules, MissingTensorAndFileAreNamed) {
  test::TempDir dir;
  write_file_atomic(dir / "m", file_bytes({{"a", at::zeros({1})}}));
  SafetensorsFile file(dir / "m");
  try {
    file.read("b");
    FAIL();
  } catch (const CheckpointError& e) {
    EXPECT_THAT(e.what(), HasSubstr("it has no tensor 'b'"));
  }
  try {
    SafetensorsFile missing(dir / "none");
    FAIL();
  } catch (const FileError& e) {
    EXPECT_THAT(e.what(), HasSubstr((dir / "none").string() + ": No such file"));
  }
  EXPECT_THROW(SafetensorsFile(dir.path()), Error);
}

TEST(SafetensorsRules, FileThatShrinksWhileOpenIsNoticed) {
  test::TempDir dir;
  write_file_atomic(dir / "m", file_bytes({{"a", at::zeros({100000})}}));
  SafetensorsFile file(dir / "m");
  truncate_file(dir / "m", 1000);
  EXPECT_THROW(file.read("a"), FileError);
}

}  // namespace
}  // namespace ulmfit::interop
