#include "config/option_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "base/error.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace ulmfit::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

enum class Device { kCpu, kCuda };
constexpr Named<Device> kDevices[] = {{Device::kCpu, "cpu"}, {Device::kCuda, "cuda"}};
constexpr Named<bool> kDirections[] = {{false, "forward"}, {true, "backward"}};

struct Options {
  std::int64_t bptt = 70;
  double lr = 0.004;
  bool reproducible = false;
  std::string output;
  std::optional<Device> device;
  bool backward = false;
  std::vector<std::string> input;
  std::int64_t threads = 1;
  Length every{Length::Unit::kSteps, 1000};

  OptionSet declare() {
    OptionSet set("pretrain");
    set.add("output", output, "run folder");
    set.add("input", input, "text files");
    set.add("reproducible", reproducible, "the same bits on any number of ranks");
    set.add("device", device, kDevices, "where to compute", OnResume::kMayChange);
    set.add("direction", backward, kDirections, "which way to read", OnResume::kMayChange);
    set.add("train.bptt", bptt, "tokens of a window", {.min = 1, .max = 10000});
    set.add("optim.lr", lr, "highest learning rate", {.min = 0});
    set.add("train.threads", threads, "threads a rank", {.min = 1}, OnResume::kMayChange);
    set.add("checkpoint.every", every, "between checkpoints", Length::Unit::kSteps, {.min = 0});
    set.add_alias("lr", "optim.lr");
    return set;
  }
};

std::string failure(std::vector<std::string> arguments) {
  Options options;
  auto set = options.declare();
  try {
    set.parse(arguments);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

TEST(OptionSet, ReadsEveryFormOfAnArgument) {
  Options o;
  auto set = o.declare();
  set.parse({"--train.bptt=35", "--lr", "1e-2", "--reproducible", "--input", "a", "b", "--output=x y"});
  EXPECT_EQ(o.bptt, 35);
  EXPECT_EQ(o.lr, 0.01);
  EXPECT_TRUE(o.reproducible);
  EXPECT_THAT(o.input, ElementsAre("a", "b"));
  EXPECT_EQ(o.output, "x y");
  EXPECT_TRUE(set.given("optim.lr"));
  EXPECT_FALSE(set.given("device"));
}

TEST(OptionSet, ReadsWhatStandsBesideEachOther) {
  Options o;
  auto set = o.declare();
  set.parse({"--output=", "--reproducible", "--input", "-a", "b", "--lr", "0.5", "--input=c", "--direction", "backward"});
  EXPECT_TRUE(set.given("output"));
  EXPECT_EQ(o.output, "");
  EXPECT_TRUE(o.reproducible);
  EXPECT_THAT(o.input, ElementsAre("-a", "b", "c"));
  EXPECT_EQ(o.lr, 0.5);
  EXPECT_TRUE(o.backward);
  EXPECT_THAT(failure({"--outp=x"}), HasSubstr("has no option --outp; did you mean --output?"));
  EXPECT_THAT(failure({"--bptt=x"}), HasSubstr("did you mean --train.bptt?"));
  EXPECT_THAT(failure({"--quite-another=x"}), HasSubstr("has no option --quite-another (ulmfit"));
  EXPECT_THAT(failure({"--lr", "--reproducible"}), HasSubstr("--lr needs a value: --lr=VALUE"));
  EXPECT_THAT(failure({"--lr", "--nosuch"}), HasSubstr("--lr needs a value"));
  EXPECT_THAT(failure({"--input"}), HasSubstr("--input needs a value"));
  EXPECT_THAT(failure({"--lr", "1", "2"}), HasSubstr("unexpected argument '2'"));
  EXPECT_THAT(failure({"--", "x"}), HasSubstr("unexpected argument '--'"));
  EXPECT_THAT(failure({"--input", "a", "--=x"}), HasSubstr("unexpected argument '--=x'"));
  EXPECT_THAT(failure({"--reproducible", "perhaps"}), HasSubstr("expected true or false"));
}

TEST(OptionSet, LengthsTakeUnitsAndAreWrittenInTheOptionsOwn) {
  Options o;
  auto set = o.declare();
  set.parse({"--checkpoint.every=10kt"});
  EXPECT_EQ(o.every, (Length{Length::Unit::kTokens, 10000}));
  EXPECT_THAT(set.to_config(), HasSubstr("every = 10000t\n"));
  Options steps;
  auto with_steps = steps.declare();
  with_steps.parse({"--checkpoint.every=200s"});
  EXPECT_THAT(with_steps.to_config(), HasSubstr("every = 200\n"));
  EXPECT_THAT(failure({"--checkpoint.every=5x"}), HasSubstr("--checkpoint.every=5x: '5x' is not a length"));
  EXPECT_THAT(failure({"--checkpoint.every=0e"}), HasSubstr("expected more than 0"));
  EXPECT_THAT(failure({"--checkpoint.every=-3"}), HasSubstr("not a length"));
}

TEST(OptionSet, ValuesAreUtf8) {
  EXPECT_THAT(failure({"--output=o\xE9"}), HasSubstr("not UTF-8"));
  EXPECT_EQ(failure({"--output=o\xC3\xA9"}), "no error");
}

TEST(OptionSet, CommandLineWinsOverFile) {
  test::TempDir dir;
  write_file_atomic(dir / "c.cfg", "output = here\n[train]\nbptt = 20  # words\n[optim]\nlr = 0.5\n");
  Options o;
  auto set = o.declare();
  set.parse({"--config", (dir / "c.cfg").string(), "--lr=0.25"});
  EXPECT_EQ(o.bptt, 20);
  EXPECT_EQ(o.lr, 0.25);
  EXPECT_EQ(o.output, "here");
}

TEST(OptionSet, ResolvedConfigReadsBackTheSame) {
  test::TempDir dir;
  Options o;
  auto set = o.declare();
  set.parse({"--lr=0.1", "--input", "a", "b c", "--reproducible"});
  write_file_atomic(dir / "c.cfg", set.to_config());
  Options again;
  auto set_again = again.declare();
  set_again.parse({"--config=" + (dir / "c.cfg").string()});
  EXPECT_EQ(set_again.to_config(), set.to_config());
  EXPECT_THAT(again.input, ElementsAre("a", "b c"));
}

// Every kind of option, with values that a reader of lines might misread.
TEST(OptionSet, WhateverIsWrittenIsReadBack) {
  const test::TempDir dir;
  std::mt19937 random(1);
  const auto pick = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  constexpr std::string_view kCharacters = "ab/ \t\n\r#\"\\=[]'\x01;$%";
  const auto text = [&](std::size_t least) {
    std::string made;
    for (std::size_t n = least + pick(7); made.size() < n;) {
      const std::size_t i = pick(kCharacters.size() + 1);
      made += i < kCharacters.size() ? kCharacters.substr(i, 1) : "\xC3\xA9";
    }
    return made;
  };
  for (int round = 0; round < 2000; ++round) {
    Options o;
    auto set = o.declare();
    o.output = text(0);
    for (std::size_t n = pick(4); o.input.size() < n;) o.input.push_back(text(0));
    o.reproducible = pick(2) == 1;
    if (pick(3) > 0) o.device = pick(2) == 1 ? Device::kCpu : Device::kCuda;
    o.backward = pick(2) == 1;
    o.bptt = static_cast<std::int64_t>(1 + pick(10000));
    o.lr = std::uniform_real_distribution<double>(0, 1)(random);
    o.every = {pick(2) == 1 ? Length::Unit::kTokens : Length::Unit::kSteps, static_cast<double>(1 + pick(99999))};
    const std::string saved = set.to_config();
    write_file_atomic(dir / "c.cfg", saved);
    Options again;
    auto set_again = again.declare();
    set_again.parse({"--config=" + (dir / "c.cfg").string()});
    ASSERT_EQ(again.output, o.output) << saved;
    ASSERT_EQ(again.input, o.input) << saved;
    ASSERT_EQ(again.reproducible, o.reproducible);
    ASSERT_EQ(again.device, o.device);
    ASSERT_EQ(again.backward, o.backward);
    ASSERT_EQ(again.bptt, o.bptt);
    ASSERT_EQ(again.lr, o.lr);
    ASSERT_EQ(again.every, o.every);
    ASSERT_TRUE(set_again.differences(saved).empty()) << saved;
  }
}

TEST(OptionSet, AnActionIsNoSetting) {
  const test::TempDir dir;
  bool restart = false;
  std::string output = "out";
  const auto declared = [&] {
    OptionSet set("pretrain");
    set.add("restart", restart, "begin anew", OnResume::kAction);
    set.add("output", output, "run folder");
    return set;
  };
  OptionSet set = declared();
  set.parse({"--restart"});
  EXPECT_TRUE(restart);
  EXPECT_EQ(set.to_config(), "output = out\n");
  EXPECT_TRUE(set.differences("restart = true\noutput = out\n").empty()) << "older programs saved it";
  const auto from_file = [&](const std::string& content) -> std::string {
    write_file_atomic(dir / "c.cfg", content);
    restart = false;
    try {
      declared().parse({"--config=" + (dir / "c.cfg").string()});
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "taken";
  };
  EXPECT_EQ(from_file("restart = false\noutput = out\n"), "taken");
  EXPECT_THAT(from_file("restart = true\noutput = out\n"), HasSubstr("restart = true asks for an action"));
  EXPECT_FALSE(restart);
}

TEST(OptionSet, MayHaveAnOptionOfItsOwnNamedConfig) {
  std::string file;
  OptionSet set("run");
  set.add("config", file, "the pipeline file");
  EXPECT_FALSE(set.parse({"--config", "no-such-file.cfg"}).help);
  EXPECT_EQ(file, "no-such-file.cfg");
  EXPECT_THAT(set.help("", false), HasSubstr("Usage: ulmfit run [options]"));
}

TEST(OptionSet, RefusesWithTheReason) {
  EXPECT_THAT(failure({"--train.btpt=3"}), HasSubstr("did you mean --train.bptt?"));
  EXPECT_THAT(failure({"--train.bptt=0"}), HasSubstr("--train.bptt=0: expected at least 1 and at most 10000"));
  EXPECT_THAT(failure({"--train.bptt=-5"}), HasSubstr("expected at least 1"));
  EXPECT_THAT(failure({"--train.bptt=99999999999999999999"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(failure({"--train.bptt=7.5"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(failure({"--lr=nan"}), HasSubstr("expected a number"));
  EXPECT_THAT(failure({"--lr=1e400"}), HasSubstr("expected a number"));
  EXPECT_THAT(failure({"--lr=-1"}), HasSubstr("expected at least 0"));
  EXPECT_THAT(failure({"--lr=1", "--lr=2"}), HasSubstr("given twice"));
  EXPECT_THAT(failure({"--lr"}), HasSubstr("needs a value"));
  EXPECT_THAT(failure({"stray"}), HasSubstr("unexpected argument 'stray'"));
  EXPECT_THAT(failure({"--device=cudda"}), HasSubstr("did you mean cuda?"));
  EXPECT_THAT(failure({"--direction=back"}), HasSubstr("expected forward|backward (did you mean backward?)"));
  EXPECT_THAT(failure({"--reproducible=maybe"}), HasSubstr("expected true or false"));
  EXPECT_THAT(failure({"--config=/no/such.cfg"}), HasSubstr("cannot open config file /no/such.cfg"));
}

TEST(OptionSet, UnknownKeyInAFileIsRefused) {
  test::TempDir dir;
  write_file_atomic(dir / "c.cfg", "[train]\nbtt = 20\n");
  EXPECT_THAT(failure({"--config=" + (dir / "c.cfg").string()}), HasSubstr("did you mean --train.bptt?"));
}

TEST(OptionSet, DifferencesNameWhatMustMatchAndNothingElse) {
  Options before;
  const std::string saved = before.declare().to_config();
  Options now;
  auto set = now.declare();
  set.parse({"--train.bptt=35", "--train.threads=2", "--device=cpu"});
  const auto found = set.differences(saved);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].key, "train.bptt");
  EXPECT_EQ(found[0].before, "70");
  EXPECT_EQ(found[0].now, "35");
  EXPECT_EQ(found[0].resume, OnResume::kMustMatch);
}

// As if bptt had been the only option of the program that made the file.
std::string only_bptt() { return "[train]\nbptt = 70\n"; }

TEST(OptionSet, AnOptionThatIsNewerThanTheFileHasTheValueThatTheRunReallyHad) {
  Options now;
  auto set = now.declare();
  std::vector<std::string> keys;
  for (const auto& d : set.differences(only_bptt())) {
    keys.push_back(d.key);
    EXPECT_THAT(d.before, HasSubstr("the run is older than the option"));
  }
  EXPECT_THAT(keys, ElementsAre("output", "reproducible", "optim.lr", "checkpoint.every"))
      << "what must match and is not a list";
  set.add_value_of_older_runs("output", "");
  set.add_value_of_older_runs("reproducible", "false");
  set.add_value_of_older_runs("optim.lr", "0.5");
  set.add_value_of_older_runs("checkpoint.every", "1000");
  const auto found = set.differences(only_bptt());
  ASSERT_EQ(found.size(), 1U) << "today's default is not what the run had";
  EXPECT_EQ(found[0].key, "optim.lr");
  EXPECT_EQ(found[0].before, "0.5");
  EXPECT_EQ(found[0].now, "0.004");
  EXPECT_TRUE(found[0].by_default);
  set.parse({"--lr=0.5"});
  EXPECT_TRUE(set.differences(only_bptt()).empty());
}

TEST(OptionSet, AChangedDefaultIsADifference) {
  Options before;
  const std::string saved = before.declare().to_config();
  Options now;
  now.lr = 0.01;  // the default of a later version
  auto set = now.declare();
  const auto found = set.differences(saved);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].before, "0.004");
  EXPECT_TRUE(found[0].by_default);
  set.parse({"--lr=0.004"});
  EXPECT_TRUE(set.differences(saved).empty());
}

TEST(OptionSet, AnOptionOfANewerProgramIsADifference) {
  Options options;
  auto set = options.declare();
  const auto found = set.differences(set.to_config() + "\n[optim]\nwarmth = 3\n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].key, "optim.warmth");
  EXPECT_EQ(found[0].before, "3");
  EXPECT_THAT(found[0].now, HasSubstr("this program has no such option"));
}

TEST(OptionSet, HelpShowsUnitDefaultAndAlias) {
  Options o;
  const auto text = o.declare().help("Trains.", true);
  EXPECT_THAT(text, HasSubstr("--optim.lr=<number>, --lr\n"));
  EXPECT_THAT(text, HasSubstr("highest learning rate [0.004]"));
  EXPECT_THAT(text, HasSubstr("--device=auto|cpu|cuda"));
  EXPECT_THAT(text, HasSubstr("--direction=forward|backward"));
  EXPECT_THAT(text, HasSubstr("where to compute [auto]"));
}

TEST(OptionSet, AListOfWholeNumbers) {
  const auto read = [](std::vector<std::string> arguments, std::vector<std::int64_t> before = {50}) {
    OptionSet set("run");
    set.add("widths", before, "of layers", {.min = 0, .max = 100});
    set.parse(std::move(arguments));
    return std::pair(before, set.to_config());
  };
  EXPECT_EQ(read({}), std::pair(std::vector<std::int64_t>{50}, std::string("widths = 50\n")));
  EXPECT_EQ(read({"--widths", "3", "0", "--widths=7"}),
            std::pair((std::vector<std::int64_t>{3, 0, 7}), std::string("widths = 3\nwidths = 0\nwidths = 7\n")));
  EXPECT_EQ(read({}, {}).second, "");
  for (const char* bad : {"--widths=101", "--widths=-1", "--widths=x", "--widths=1.5", "--widths="}) {
    EXPECT_THROW(read({bad}), ConfigError) << bad;
  }
}

TEST(OptionSet, HelpTellsOfTheCommonOptionsAndOfAllBySection) {
  Options o;
  OptionSet set = o.declare();
  set.require("output");
  set.add_common({"optim.lr"});
  EXPECT_EQ(
      set.help("Trains.", false),
      "Usage: ulmfit pretrain [--config FILE] [options]\n\nTrains.\n\nOptions:\n  --output=<text>\n      run folder\n\n"
      "[optim]\n  --optim.lr=<number>, --lr\n      highest learning rate [0.004]\n\n"
      "7 more: ulmfit pretrain --help all\n");
  const std::string all = set.help("Trains.", true);
  EXPECT_LT(all.find("--direction"), all.find("[train]\n  --train.bptt"));
  EXPECT_LT(all.find("--train.threads"), all.find("[optim]\n  --optim.lr"));
  EXPECT_THAT(all, testing::Not(HasSubstr("more: ")));
}

TEST(OptionSet, HelpIsAskedForAloneOrOfAll) {
  const auto parsed = [](std::vector<std::string> arguments) {
    Options o;
    const auto found = o.declare().parse(std::move(arguments));
    return std::pair(found.help, found.help_all);
  };
  EXPECT_EQ(parsed({"--help"}), std::pair(true, false));
  EXPECT_EQ(parsed({"-h"}), std::pair(true, false));
  EXPECT_EQ(parsed({"--lr=1", "--help", "all"}), std::pair(true, true));
  EXPECT_EQ(parsed({"--help=all"}), std::pair(true, true));
  EXPECT_EQ(parsed({}), std::pair(false, false));
}

TEST(OptionSet, RequiredOptionIsAskedFor) {
  Options o;
  auto set = o.declare();
  set.require("output");
  EXPECT_THROW(set.parse({}), ConfigError);
}

TEST(Pipeline, KeepsSectionsAndKeysInOrder) {
  test::TempDir dir;
  write_file_atomic(dir / "p.cfg", "[prepare-corpus]\ninput = a\ninput = b\n[pretrain]\nmodel.hidden = 8\n");
  const auto sections = read_pipeline(dir / "p.cfg");
  ASSERT_EQ(sections.size(), 2U);
  EXPECT_EQ(sections[0].name, "prepare-corpus");
  EXPECT_EQ(sections[0].values[1], (std::pair<std::string, std::string>{"input", "b"}));
  EXPECT_EQ(sections[1].values[0], (std::pair<std::string, std::string>{"model.hidden", "8"}));
}

}  // namespace
}  // namespace ulmfit::config
