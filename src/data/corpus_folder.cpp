#include "data/corpus_folder.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/manifest.h"
#include "data/file_lists.h"

namespace ulmfit::data {
namespace {

using nlohmann::json;

constexpr const char* kFormatName = "ulmfit-corpus";
constexpr int kCorpusVersion = 1;
constexpr const char* kCorpusFile = "corpus.json";
constexpr const char* kLabelsFile = "labels.txt";
constexpr const char* kLabelSetsFile = "label_sets.txt";
constexpr const char* kInputsFile = "inputs.json";
constexpr const char* kAdvice = "; prepare it with prepare-corpus or prepare-labelled";

// What is wrong with the info by itself, or nothing.
std::string info_defect(const CorpusInfo& info) {
  if (info.kind != "lm" && info.kind != "labelled" && info.kind != "multilabel") {
    return str("kind is \"", info.kind, "\", not \"lm\", \"labelled\" or \"multilabel\"");
  }
  if (info.splits.empty()) return "it has no splits";
  for (const auto& [name, split] : info.splits) {
    if (name.empty() || name.find('/') != std::string::npos) return str("a split is named \"", name, '"');
    if (split.tokens < 1 || split.documents < 1 || split.documents > split.tokens) {
      return str("split ", name, " has ", split.documents, " documents of ", split.tokens, " tokens");
    }
  }
  if (info.kind == "lm" && !info.labels.empty()) return "kind is \"lm\", but it has class names";
  if (info.has_labels() && info.labels.size() < 2) return str("it has ", info.labels.size(), " classes, two are needed");
  if (info.multilabel() == info.label_sets.empty()) {
    return str("kind is \"", info.kind, "\", and it has ", info.label_sets.size(), " label sets");
  }
  std::set<std::string> seen;
  for (const std::string& label : info.labels) {
    if (label.empty() || label.find('\n') != std::string::npos) return "a class name is empty or has a line end";
    if (!seen.insert(label).second) return str("class name \"", label, "\" appears twice");
  }
  return label_sets_defect(info.label_sets, info.labels.size());
}

// The parsed corpus.json of this program's format and version. Throws json::exception and Error, for opening().
json read_corpus_json(const fs::path& folder) {
  json corpus = parse_json(read_file(folder / kCorpusFile));
  if (corpus.at("format") != kFormatName) throw DataError(str("its format is not ", kFormatName));
  if (corpus.at("version") != kCorpusVersion) {
    throw DataError(str("version ", corpus.at("version").dump(), ", this program knows version ", kCorpusVersion));
  }
  return corpus;
}

// Runs the action; what it throws becomes one DataError that names the folder and what to do.
template <class Action>
auto opening(const fs::path& folder, Action action) {
  const auto message = [&folder](const auto&... what) {
    return str("cannot open the corpus ", folder.string(), ": ", what..., kAdvice);
  };
  try {
    return action();
  } catch (const json::exception& e) {
    throw DataError(message(kCorpusFile, " is not a valid corpus description: ", e.what()));
  } catch (const Error& e) {
    throw DataError(message(e.what()));
  }
}

CorpusInfo parse_info(const fs::path& folder, const json& corpus) {
  CorpusInfo info;
  info.kind = corpus.at("kind").get<std::string>();
  info.vocabulary_fingerprint = corpus.at("vocabulary_fingerprint").get<std::string>();
  info.text_fingerprint = corpus.at("text_fingerprint").get<std::string>();
  for (const auto& [name, split] : corpus.at("splits").get_ref<const json::object_t&>()) {
    info.splits[name] = {split.at("tokens").get<std::int64_t>(), split.at("documents").get<std::int64_t>(),
                         split.at("fingerprint").get<std::string>()};
  }
  const json& labels = corpus.at("labels");
  if (labels.is_null()) return info;
  if (labels != kLabelsFile) throw DataError(str("\"labels\" is not ", kLabelsFile));
  info.labels = read_lines(folder / kLabelsFile);
  if (!corpus.contains("label_sets")) return info;
  if (corpus.at("label_sets") != kLabelSetsFile) throw DataError(str("\"label_sets\" is not ", kLabelSetsFile));
  info.label_sets = parse_label_sets(read_lines(folder / kLabelSetsFile));
  return info;
}

}  // namespace

SplitInfo split_info(const ShardSet& shards) {
  return {shards.token_count(), shards.document_count(), shards.fingerprint()};
}

void write_corpus_info(const fs::path& folder, const CorpusInfo& info, const json& provenance) {
  if (const std::string defect = info_defect(info); !defect.empty()) {
    throw DataError(str("cannot write the description of corpus ", folder.string(), ": ", defect));
  }
  json splits = json::object();
  for (const auto& [name, split] : info.splits) {
    splits[name] = {{"tokens", split.tokens}, {"documents", split.documents}, {"fingerprint", split.fingerprint}};
  }
  json lists;
  const json summarized = summarize_file_lists(provenance, &lists);
  if (!lists.empty()) write_file_atomic(folder / kInputsFile, lists.dump(1) + "\n");
  json corpus = {{"format", kFormatName},
                 {"version", kCorpusVersion},
                 {"kind", info.kind},
                 {"vocabulary_fingerprint", info.vocabulary_fingerprint},
                 {"text_fingerprint", info.text_fingerprint},
                 {"splits", splits},
                 {"labels", nullptr},
                 {"provenance", summarized}};
  if (!info.labels.empty()) {
    std::string lines;
    for (const std::string& label : info.labels) lines += label + "\n";
    write_file_atomic(folder / kLabelsFile, lines);
    corpus["labels"] = kLabelsFile;
  }
  if (info.multilabel()) {
    write_file_atomic(folder / kLabelSetsFile, label_sets_text(info.label_sets));
    corpus["label_sets"] = kLabelSetsFile;
  }
  write_file_atomic(folder / kCorpusFile, corpus.dump(2) + "\n");
}

CorpusInfo open_corpus(const fs::path& folder) {
  if (!fs::exists(folder / kManifestName) && fs::exists(folder / "labelled" / kManifestName)) {
    throw DataError(str(folder.string(), " holds two corpora: give ", (folder / "labelled").string(),
                        " (for classifiers) or ", (folder / "lm").string()));
  }
  return opening(folder, [&folder] {
    check_manifest<DataError>(folder, false);
    for (const char* name : {"vocab.txt", "text.json"}) {
      if (!fs::is_regular_file(folder / name)) throw DataError(str("file ", name, " is missing"));
    }
    CorpusInfo info = parse_info(folder, read_corpus_json(folder));
    if (const std::string defect = info_defect(info); !defect.empty()) throw DataError(str(kCorpusFile, ": ", defect));
    if (const std::string found = file_fingerprint(folder / "vocab.txt"); found != info.vocabulary_fingerprint) {
      throw DataError(str("vocab.txt has fingerprint ", found, ", corpus.json says ", info.vocabulary_fingerprint));
    }
    return info;
  });
}

json corpus_provenance(const fs::path& folder) {
  return opening(folder, [&folder] { return summarize_file_lists(read_corpus_json(folder).at("provenance")); });
}

json corpus_file_lists(const fs::path& folder) {
  return opening(folder, [&folder] {
    json lists;
    summarize_file_lists(read_corpus_json(folder).at("provenance"),
                         &lists);  // of older folders, which have no file for them
    if (fs::exists(folder / kInputsFile)) lists.update(parse_json(read_file(folder / kInputsFile)));
    return lists;
  });
}

std::vector<std::string> doubts_of(const fs::path& folder) {
  return corpus_provenance(folder).value("doubts", std::vector<std::string>());
}

std::filesystem::path places_file(const std::filesystem::path& folder, const std::string& split) {
  return folder / (split + ".places.txt");
}

ShardSet open_split(const fs::path& folder, const CorpusInfo& info, const std::string& split) {
  const auto known = info.splits.find(split);
  if (known == info.splits.end()) {
    std::string names;
    for (const auto& [name, unused] : info.splits) names += (names.empty() ? "" : ", ") + name;
    throw DataError(str("corpus ", folder.string(), " has no split \"", split, "\": it has ", names));
  }
  ShardSet shards(folder, split);
  const auto expect = [&](const char* what, const auto& found, const auto& expected) {
    if (found != expected) {
      throw DataError(str("the shards of ", split, " in ", folder.string(), " have ", what, " ", found,
                          ", corpus.json says ", expected, kAdvice));
    }
  };
  expect("vocabulary fingerprint", shards.header().vocabulary_fingerprint, info.vocabulary_fingerprint);
  expect("text fingerprint", shards.header().text_fingerprint, info.text_fingerprint);
  expect("token count", shards.token_count(), known->second.tokens);
  expect("document count", shards.document_count(), known->second.documents);
  expect("fingerprint", shards.fingerprint(), known->second.fingerprint);
  expect("having labels (0 or 1)", shards.header().labelled, info.has_labels());
  const std::size_t labels = info.multilabel() ? info.label_sets.size() : info.labels.size();
  for (std::int64_t d = 0; shards.header().labelled && d < shards.document_count(); ++d) {
    if (static_cast<std::size_t>(shards.label(d)) < labels) continue;
    throw DataError(str("document ", d, " of ", split, " in ", folder.string(), " has label ", shards.label(d),
                        ", but there are ", labels, info.multilabel() ? " label sets" : " classes", kAdvice));
  }
  return shards;
}

}  // namespace ulmfit::data
