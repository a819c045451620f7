#include "data_prep/token_spool.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "base/error.h"
#include "base/machine.h"

namespace ulmfit::data_prep {
namespace {

// A batch is cut by bytes, never by time or threads, so that ids come out alike.
constexpr std::size_t kBatchBytes = 1 << 20;

}  // namespace

TokenSpool::TokenSpool(std::filesystem::path file, const text::TextPipeline& pipeline, int threads)
    : path_(std::move(file)),
      pipeline_(pipeline),
      threads_(static_cast<std::size_t>(std::max(1, threads > 0 ? threads : available_cores()))),
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
  if (running_.size() >= threads_) take_batch();
  running_.push_back(std::async(std::launch::async, [&pipeline = pipeline_, documents = std::exchange(waiting_, {})] {
    return tokenize(pipeline, documents);
  }));
  waiting_bytes_ = 0;
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
  std::ifstream in(path_, std::ios::binary);
  std::vector<std::uint32_t> ids;
  const auto read = [&](std::uint32_t* to, std::size_t count) {
    if (!in.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count * sizeof(std::uint32_t)))) {
      throw FileError(str("cannot read ", path_.string(), " back: it was changed or cut off while this program worked"));
    }
  };
  for (std::int64_t document = 0; document < documents_; ++document) {
    std::uint32_t length = 0;
    read(&length, 1);
    ids.resize(length);
    read(ids.data(), length);
    visit(document, ids);
  }
}

}  // namespace ulmfit::data_prep
