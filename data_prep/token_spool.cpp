#include "data_prep/token_spool.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/machine.h"

namespace ulmfit::data_prep {
namespace {

// A batch is cut by bytes, never by time or threads, so that ids come out alike.
constexpr std::size_t kBatchBytes = 1 << 20;

}  // namespace

TokenSpool::TokenSpool(std::filesystem::path file, const text::TextPipeline& pipeline, int threads, data::Share share)
    : path_(std::move(file)),
      pipeline_(pipeline),
      threads_(static_cast<std::size_t>(std::max(1, threads > 0 ? threads : available_cores()))),
      share_(share),
      file_(path_) {}

void TokenSpool::add(std::string document) {
  waiting_bytes_ += document.size();
  text_bytes_ += document.size();
  ++documents_;
  waiting_.push_back(std::move(document));
  if (waiting_bytes_ >= kBatchBytes) start_batch();
}

void TokenSpool::finish() {
  if (!waiting_.empty()) start_batch();
  while (!running_.empty()) take_batch();
  file_.close();
}

void TokenSpool::start_batch() {
  const auto batch = static_cast<std::int64_t>(batch_documents_.size());
  batch_documents_.push_back(static_cast<std::int64_t>(waiting_.size()));
  waiting_bytes_ = 0;
  if (!share_.has(batch)) return waiting_.clear();
  if (running_.size() >= threads_) take_batch();
  running_.push_back(std::async(std::launch::async, [&pipeline = pipeline_, documents = std::exchange(waiting_, {})] {
    return tokenize(pipeline, documents);
  }));
}

TokenSpool::Batch TokenSpool::tokenize(const text::TextPipeline& pipeline, const std::vector<std::string>& documents) {
  Batch batch;
  std::unordered_map<std::string, std::uint32_t> ids;
  for (const std::string& document : documents) {
    std::vector<std::string> tokens = pipeline.tokenize(document);
    batch.records.push_back(static_cast<std::uint32_t>(tokens.size()));
    for (std::string& token : tokens) {
      const auto [entry, is_new] = ids.try_emplace(std::move(token), static_cast<std::uint32_t>(batch.words.size()));
      if (is_new) batch.words.push_back(entry->first);
      batch.records.push_back(entry->second);
    }
  }
  return batch;
}

void TokenSpool::take_batch() {
  Batch batch = running_.front().get();
  running_.pop_front();
  std::vector<std::uint32_t> global(batch.words.size());
  for (std::size_t i = 0; i < global.size(); ++i) {
    const auto [entry, is_new] = ids_.try_emplace(std::move(batch.words[i]), static_cast<std::uint32_t>(words_.size()));
    if (is_new) words_.push_back(entry->first);
    global[i] = entry->second;
  }
  for (std::size_t at = 0; at < batch.records.size();) {
    const std::size_t end = at + 1 + batch.records[at];
    tokens_ += batch.records[at];
    for (++at; at < end; ++at) batch.records[at] = global[batch.records[at]];
  }
  file_.write(batch.records.data(), batch.records.size() * sizeof(std::uint32_t));
}

void TokenSpool::visit(const Visitor& visit) const {
  SpoolReader reader(path_);
  std::vector<std::uint32_t> ids;
  std::int64_t document = 0;
  for (std::size_t b = 0; b < batch_documents_.size(); ++b) {
    const std::int64_t end = document + batch_documents_[b];
    if (!share_.has(static_cast<std::int64_t>(b))) document = end;
    for (; document < end; ++document) {
      ids.resize(reader.next());
      reader.read(ids);
      visit(document, ids);
    }
  }
}

void TokenSpool::translate(const std::vector<std::int32_t>& ids) {
  const std::filesystem::path translated = path_.string() + ".ids";
  OutputFile out(translated);
  std::vector<std::uint32_t> records;
  const auto flush = [&] {
    out.write(records.data(), records.size() * sizeof(std::uint32_t));
    records.clear();
  };
  visit([&](std::int64_t, std::span<const std::uint32_t> words) {
    records.push_back(static_cast<std::uint32_t>(words.size()));
    for (const std::uint32_t word : words) records.push_back(static_cast<std::uint32_t>(ids[word]));
    if (records.size() * sizeof(std::uint32_t) >= kBatchBytes) flush();
  });
  flush();
  out.close();
  rename_synced(translated, path_);
}

SpoolReader::SpoolReader(std::filesystem::path file) : path_(std::move(file)), in_(path_, std::ios::binary) {
  if (!in_) throw FileError(str("cannot open ", path_.string(), ": all ranks must see the output folder at this path"));
}

void SpoolReader::read_raw(std::uint32_t* to, std::size_t count) {
  if (!in_.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count * sizeof(std::uint32_t)))) {
    throw FileError(str("cannot read ", path_.string(), " back: it was changed or cut off while this program worked"));
  }
}

std::size_t SpoolReader::next() {
  std::uint32_t length = 0;
  read_raw(&length, 1);
  return length_ = length;
}

void SpoolReader::read(std::span<std::uint32_t> ids) { read_raw(ids.data(), length_); }

void SpoolReader::skip() { in_.ignore(static_cast<std::streamsize>(length_ * sizeof(std::uint32_t))); }

}  // namespace ulmfit::data_prep
