#include "data/shard_writer.h"

#include <hdf5.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/hdf5_handle.h"

namespace ulmfit::data {
namespace {

static_assert(std::is_same_v<hid_t, std::int64_t> && std::is_same_v<herr_t, int>, "Hdf5Handle relies on it");

using Block = std::vector<std::byte>;  // kBlockTokens ids as stored (the last block of a shard may be shorter)

// The file being written, for messages; every HDF5 call passes through one of the two checks.
struct Target {
  std::string path;

  void check(bool done, const char* what) const {
    if (!done) throw FileError(str("cannot write ", path, ": ", what, " failed (is the disk full?)"));
  }
  Hdf5Handle open(hid_t id, Hdf5Handle::Close closer, const char* what) const {
    check(id >= 0, what);
    return {id, closer};
  }
};

// Bounds and flags that make the bytes a function of the content: format of HDF5 1.8, no times, attributes in the header.
Hdf5Handle create_file(const Target& target) {
  const Hdf5Handle creation = target.open(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "H5Pcreate");
  const Hdf5Handle access = target.open(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "H5Pcreate");
  target.check(H5Pset_obj_track_times(creation.get(), false) >= 0, "H5Pset_obj_track_times");
  target.check(H5Pset_attr_phase_change(creation.get(), 32, 0) >= 0, "H5Pset_attr_phase_change");
  target.check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0, "H5Pset_libver_bounds");
  // Locks are missing on many cluster file systems, and nobody else knows the temporary name.
  target.check(H5Pset_file_locking(access.get(), false, true) >= 0, "H5Pset_file_locking");
  return target.open(H5Fcreate(target.path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose, "H5Fcreate");
}

void write_attribute(const Target& target, hid_t file, const char* name, hid_t type, const void* value) {
  const Hdf5Handle space = target.open(H5Screate(H5S_SCALAR), H5Sclose, "H5Screate");
  Hdf5Handle attribute =
      target.open(H5Acreate2(file, name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "H5Acreate");
  target.check(H5Awrite(attribute.get(), type, value) >= 0, "H5Awrite");
  target.check(attribute.close(), "H5Aclose");
}

void write_integer(const Target& target, hid_t file, const char* name, std::int64_t value) {
  write_attribute(target, file, name, H5T_STD_I64LE, &value);
}

void write_text(const Target& target, hid_t file, const char* name, std::string_view value) {
  const Hdf5Handle type = target.open(H5Tcopy(H5T_C_S1), H5Tclose, "H5Tcopy");
  target.check(H5Tset_size(type.get(), std::max<std::size_t>(value.size(), 1)) >= 0, "H5Tset_size");
  target.check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD) >= 0, "H5Tset_strpad");
  write_attribute(target, file, name, type.get(), std::string(value).c_str());
}

// A contiguous dataset of `count` elements whose parts (raw bytes, in order) fill it.
template <class Parts>
void write_dataset(const Target& target, hid_t file, const char* name, hid_t type, std::size_t count, const Parts& parts) {
  const hsize_t extent = count;
  const Hdf5Handle space = target.open(H5Screate_simple(1, &extent, nullptr), H5Sclose, "H5Screate_simple");
  const Hdf5Handle creation = target.open(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "H5Pcreate");
  target.check(H5Pset_layout(creation.get(), H5D_CONTIGUOUS) >= 0, "H5Pset_layout");
  target.check(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY) >= 0, "H5Pset_alloc_time");
  target.check(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER) >= 0, "H5Pset_fill_time");
  target.check(H5Pset_obj_track_times(creation.get(), false) >= 0, "H5Pset_obj_track_times");
  Hdf5Handle dataset = target.open(H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                                   H5Dclose, "H5Dcreate");
  hsize_t first = 0;
  for (const auto& part : parts) {
    const auto bytes = std::as_bytes(std::span(part));
    const hsize_t length = bytes.size() / H5Tget_size(type);
    const Hdf5Handle memory = target.open(H5Screate_simple(1, &length, nullptr), H5Sclose, "H5Screate_simple");
    target.check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &first, nullptr, &length, nullptr) >= 0,
                 "H5Sselect_hyperslab");
    target.check(H5Dwrite(dataset.get(), type, memory.get(), space.get(), H5P_DEFAULT, bytes.data()) >= 0, "H5Dwrite");
    first += length;
  }
  target.check(dataset.close(), "H5Dclose");
}

// Removes the temporary file unless the rename has taken it away.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) {}
  ~Temporary() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

struct ShardWriter::Impl {
  fs::path folder;
  std::string split;
  ShardHeader header;  // counts: of the documents in all shards
  std::int64_t shard_tokens = 0;
  Share share;
  std::int64_t shard = 0;  // number of the open one
  std::vector<std::string> names;

  // The open shard.
  std::vector<Block> blocks;
  std::vector<std::uint64_t> starts;
  std::vector<std::int32_t> labels;
  std::uint64_t tokens = 0;

  template <class Id>
  void append(std::span<const std::int32_t> ids);
  void count(std::size_t document_tokens);  // closes the shard that is full
  void close_shard();
  void write_file(const fs::path& path) const;
};

template <class Id>
void ShardWriter::Impl::append(std::span<const std::int32_t> ids) {
  constexpr std::size_t kBlockBytes = kBlockTokens * sizeof(Id);
  while (!ids.empty()) {
    if (blocks.empty() || blocks.back().size() == kBlockBytes) blocks.emplace_back();
    Block& block = blocks.back();
    const std::size_t at = block.size();
    const std::size_t count = std::min(ids.size(), (kBlockBytes - at) / sizeof(Id));
    block.resize(at + count * sizeof(Id));
    for (std::size_t i = 0; i < count; ++i) {
      const Id id = static_cast<Id>(ids[i]);
      std::memcpy(block.data() + at + i * sizeof(Id), &id, sizeof(Id));
    }
    ids = ids.subspan(count);
  }
}

void ShardWriter::Impl::write_file(const fs::path& path) const {
  std::vector<std::uint64_t> checksums;
  for (const Block& block : blocks) checksums.push_back(hash64(block.data(), block.size()));

  const Target target{path.string()};
  Hdf5Handle file = create_file(target);
  write_text(target, file.get(), kFormat, kShardFormatName);
  write_integer(target, file.get(), kVersion, kShardVersion);
  write_integer(target, file.get(), kTokenCount, static_cast<std::int64_t>(tokens));
  write_integer(target, file.get(), kDocumentCount, static_cast<std::int64_t>(starts.size()));
  write_integer(target, file.get(), kVocabularySize, header.vocabulary_size);
  write_text(target, file.get(), kVocabularyFingerprint, header.vocabulary_fingerprint);
  write_text(target, file.get(), kTextFingerprint, header.text_fingerprint);
  write_integer(target, file.get(), kChecksumBlock, kBlockTokens);
  write_text(target, file.get(), kIndexFingerprint, index_fingerprint(starts, checksums, labels));

  const hid_t id_type = token_bytes(header.vocabulary_size) == 2 ? H5T_STD_U16LE : H5T_STD_U32LE;
  write_dataset(target, file.get(), kTokens, id_type, tokens, blocks);
  write_dataset(target, file.get(), kDocumentStarts, H5T_STD_U64LE, starts.size(), std::span(&starts, 1));
  write_dataset(target, file.get(), kBlockChecksums, H5T_STD_U64LE, checksums.size(), std::span(&checksums, 1));
  if (header.labelled) write_dataset(target, file.get(), kLabels, H5T_STD_I32LE, labels.size(), std::span(&labels, 1));
  target.check(file.close(), "H5Fclose");
}

void ShardWriter::Impl::close_shard() {
  if (share.has(shard)) {
    const std::string name = shard_file_name(split, shard);
    const Temporary temporary(folder / (name + ".tmp"));
    write_file(temporary.path());
    OutputFile(temporary.path(), OutputFile::Mode::kAppend).sync();
    rename_synced(temporary.path(), folder / name);
    names.push_back(name);
  }
  ++shard;
  blocks.clear();
  starts.clear();
  labels.clear();
  tokens = 0;
}

void ShardWriter::Impl::count(std::size_t document_tokens) {
  tokens += document_tokens;
  header.token_count += static_cast<std::int64_t>(document_tokens);
  header.document_count += 1;
  if (tokens >= static_cast<std::uint64_t>(shard_tokens)) close_shard();
}

ShardWriter::ShardWriter(fs::path folder, std::string split, ShardHeader header, std::int64_t shard_tokens, Share share)
    : impl_(std::make_unique<Impl>()) {
  if (header.vocabulary_size < 1 || header.vocabulary_size > (std::int64_t{1} << 31)) {
    throw DataError(
        str("cannot write shards for a vocabulary of ", header.vocabulary_size, " words: 1 to 2^31 are possible"));
  }
  if (std::max(header.vocabulary_fingerprint.size(), header.text_fingerprint.size()) > kMaxAttributeBytes) {
    throw DataError(str("cannot write shards: a fingerprint has more than ", kMaxAttributeBytes, " bytes"));
  }
  if (!fs::is_directory(folder)) throw FileError(str("cannot write shards into ", folder.string(), ": no such folder"));
  header.token_count = 0;
  header.document_count = 0;
  impl_->folder = std::move(folder);
  impl_->split = std::move(split);
  impl_->header = std::move(header);
  impl_->shard_tokens = shard_tokens;
  impl_->share = share;
  H5dont_atexit();  // we close all; its own clean-up at exit crashes over a file whose closing failed (HDF5 1.10, full
                    // disk)
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // failures become exceptions, not lines on standard error
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::add(std::span<const std::int32_t> tokens, std::int32_t label) {
  const auto number = [this] { return str("cannot write document ", impl_->header.document_count, " of ", impl_->split); };
  if (!writes_next()) throw std::logic_error(number() + ": its shard is another writer's");
  if (tokens.empty()) throw DataError(str(number(), ": it has no tokens (a document begins with xxbos at least)"));
  for (const std::int32_t id : tokens) {
    if (id < 0 || id >= impl_->header.vocabulary_size) {
      throw DataError(str(number(), ": token id ", id, " is not below the vocabulary's ", impl_->header.vocabulary_size));
    }
  }
  if (impl_->header.labelled && label < 0) throw DataError(str(number(), ": the set is labelled, its label is ", label));
  if (!impl_->header.labelled && label != -1) throw DataError(str(number(), ": label ", label, " in a set without labels"));

  impl_->starts.push_back(impl_->tokens);
  if (impl_->header.labelled) impl_->labels.push_back(label);
  if (token_bytes(impl_->header.vocabulary_size) == 2) {
    impl_->append<std::uint16_t>(tokens);
  } else {
    impl_->append<std::uint32_t>(tokens);
  }
  impl_->count(tokens.size());
}

bool ShardWriter::writes_next() const { return impl_->share.has(impl_->shard); }

void ShardWriter::pass_over(std::size_t tokens) { impl_->count(tokens); }

std::vector<std::string> ShardWriter::finish() {
  if (impl_->tokens > 0) impl_->close_shard();
  return impl_->names;
}

std::int64_t ShardWriter::token_count() const { return impl_->header.token_count; }
std::int64_t ShardWriter::document_count() const { return impl_->header.document_count; }

}  // namespace ulmfit::data
