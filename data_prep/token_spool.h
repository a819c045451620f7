// Documents tokenized once, on several threads, into a temporary file of local ids (a word's place among the first
// occurrences of all words), so that a corpus can be counted, split and written by reading small integers again. In memory:
// the distinct words and the documents at work. The result does not depend on the number of threads.
//
// Several ranks that are given the same documents share the work by batches of them: each has a spool of its own share.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "data/share.h"
#include "text/text_pipeline.h"

namespace ulmfit::data_prep {

// Reads the file of a spool, document after document. Throws FileError when it is not whole.
class SpoolReader {
 public:
  explicit SpoolReader(std::filesystem::path file);
  std::size_t next();                       // the number of tokens of the next document, which is then read or skipped
  void read(std::span<std::uint32_t> ids);  // all of them
  void skip();

 private:
  void read_raw(std::uint32_t* to, std::size_t count);
  std::filesystem::path path_;
  std::ifstream in_;
  std::size_t length_ = 0;
};

class TokenSpool {
 public:
  // `threads` 0: as many as there are cores. The file is overwritten. The pipeline must outlive the spool.
  TokenSpool(std::filesystem::path file, const text::TextPipeline& pipeline, int threads, data::Share share = {});

  void add(std::string document);  // throws FileError when the disk is full
  void finish();                   // once, after the last document

  std::int64_t document_count() const { return documents_; }  // added so far
  std::uint64_t text_bytes() const { return text_bytes_; }
  std::int64_t token_count() const { return tokens_; }              // of this share
  const std::vector<std::string>& words() const { return words_; }  // of this share, by local id
  // How many documents each batch has; batch b is share b % N's.
  const std::vector<std::int64_t>& batch_documents() const { return batch_documents_; }

  // Calls visit(document, ids) for every document of this share in order; after finish().
  using Visitor = std::function<void(std::int64_t document, std::span<const std::uint32_t> ids)>;
  void visit(const Visitor& visit) const;

  // Replaces each local id in the file by ids[local id]; after finish(). Then SpoolReader gives these.
  void translate(const std::vector<std::int32_t>& ids);

 private:
  // Documents tokenized together: words of their own, and for each document its length and ids into them.
  struct Batch {
    std::vector<std::string> words;
    std::vector<std::uint32_t> records;
  };
  static Batch tokenize(const text::TextPipeline& pipeline, const std::vector<std::string>& documents);
  void start_batch();
  void take_batch();

  std::filesystem::path path_;
  const text::TextPipeline& pipeline_;
  std::size_t threads_;
  data::Share share_;
  OutputFile file_;
  std::vector<std::string> waiting_;  // documents of the next batch
  std::size_t waiting_bytes_ = 0;
  std::deque<std::future<Batch>> running_;
  std::vector<std::string> words_;
  std::unordered_map<std::string, std::uint32_t> ids_;
  std::vector<std::int64_t> batch_documents_;
  std::int64_t documents_ = 0;
  std::int64_t tokens_ = 0;
  std::uint64_t text_bytes_ = 0;
};

}  // namespace ulmfit::data_prep
