#include "data/shard_reader.h"

#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "data/hdf5_handle.h"
#include "data/random_access_file.h"
#include "data/token_blocks.h"

namespace ulmfit::data {
namespace {

namespace fs = std::filesystem;

static_assert(std::is_same_v<hid_t, std::int64_t> && std::is_same_v<herr_t, int>, "Hdf5Handle relies on it");

// The innermost message of the last failed HDF5 call.
std::string hdf5_reason() {
  std::string reason = "no reason given";
  const auto keep = [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
    if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep, &reason);
  return reason;
}

// HDF5 says of a process with too many files, too, that it cannot open this one: nobody should copy a good shard again.
void require_a_free_descriptor(const fs::path& shard) {
  const int again = ::open(shard.c_str(), O_RDONLY | O_CLOEXEC);
  if (again >= 0) {
    ::close(again);
  } else if (errno == EMFILE || errno == ENFILE) {
    throw FileError(
        str("cannot open ", shard.string(), ": too many open files: each shard is one; raise the limit (ulimit -n)"));
  }
}

// Where the elements of a dataset lie in the file.
struct Extent {
  std::uint64_t offset = 0;
  std::int64_t count = 0;
};

// What a shard says of itself, checked.
struct ShardContent {
  ShardHeader header;
  std::vector<std::uint64_t> starts;
  std::vector<std::uint64_t> checksums;
  std::vector<std::int32_t> labels;
  std::string index_fingerprint;
  std::uint64_t token_offset = 0;
};

// Reads and checks everything but the tokens. HDF5 is asked for metadata only: no dataset is read through it.
class ShardValidator {
 public:
  explicit ShardValidator(const RandomAccessFile& file);
  ShardContent validate() const;

 private:
  [[noreturn]] void fail(const std::string& defect) const;
  void check(bool good, const std::string& defect) const {
    if (!good) fail(defect);
  }
  Hdf5Handle own(hid_t id, Hdf5Handle::Close closer, const std::string& what) const;
  Hdf5Handle open_file() const;
  Hdf5Handle attribute(const char* name) const;
  std::int64_t integer(const char* name) const;
  std::string text(const char* name) const;
  std::set<std::string> dataset_names() const;
  Extent extent(const char* name, hid_t type, std::int64_t count) const;
  template <class T>
  std::vector<T> array(const char* name, hid_t type, std::int64_t count) const;
  ShardHeader header(const std::set<std::string>& datasets) const;
  void check_starts(const ShardContent& content) const;

  const RandomAccessFile& bytes_;
  Hdf5Handle file_;
};

void ShardValidator::fail(const std::string& defect) const {
  throw DataError(str(bytes_.path().string(), ": not a valid ", kShardFormatName, " file: ", defect,
                      "; copy it again, or prepare the corpus again"));
}

Hdf5Handle ShardValidator::own(hid_t id, Hdf5Handle::Close closer, const std::string& what) const {
  if (id < 0) fail(str(what, " (", hdf5_reason(), ")"));
  return {id, closer};
}

ShardValidator::ShardValidator(const RandomAccessFile& file) : bytes_(file), file_(open_file()) {}

Hdf5Handle ShardValidator::open_file() const {
  H5dont_atexit();                              // for the writer's sake: counts only before HDF5's first use
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // failures become exceptions, not lines on standard error
  // Only superblock version 2 carries checksums on all metadata, and it is the one that the writer makes.
  constexpr std::array<unsigned char, 9> kBegin = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n', 2};
  std::array<unsigned char, 9> begin{};
  check(bytes_.size() >= begin.size(), str("it has only ", bytes_.size(), " bytes"));
  bytes_.read(0, begin.data(), begin.size());
  check(begin == kBegin, "it does not begin as an HDF5 1.8 file does (signature, superblock version 2)");

  const Hdf5Handle access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "no HDF5 access list");
  H5Pset_file_locking(access.get(), false, true);  // shards are read-only, and many cluster file systems have no locks
  const hid_t file = H5Fopen(bytes_.path().c_str(), H5F_ACC_RDONLY, access.get());
  if (file < 0) require_a_free_descriptor(bytes_.path());
  return own(file, H5Fclose, "HDF5 cannot open it");
}

Hdf5Handle ShardValidator::attribute(const char* name) const {
  Hdf5Handle found = own(H5Aopen(file_.get(), name, H5P_DEFAULT), H5Aclose, str("no attribute ", name));
  const Hdf5Handle space = own(H5Aget_space(found.get()), H5Sclose, str("attribute ", name, " has no extent"));
  check(H5Sget_simple_extent_type(space.get()) == H5S_SCALAR, str("attribute ", name, " is not a single value"));
  return found;
}

std::int64_t ShardValidator::integer(const char* name) const {
  const Hdf5Handle found = attribute(name);
  const Hdf5Handle type = own(H5Aget_type(found.get()), H5Tclose, str("attribute ", name, " has no type"));
  check(H5Tequal(type.get(), H5T_STD_I64LE) > 0, str("attribute ", name, " is not a little-endian int64"));
  std::int64_t value = 0;
  check(H5Aread(found.get(), H5T_STD_I64LE, &value) >= 0, str("attribute ", name, " cannot be read"));
  return value;
}

std::string ShardValidator::text(const char* name) const {
  const Hdf5Handle found = attribute(name);
  const Hdf5Handle type = own(H5Aget_type(found.get()), H5Tclose, str("attribute ", name, " has no type"));
  check(H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0,
        str("attribute ", name, " is not a text of fixed length"));
  std::array<char, kMaxAttributeBytes + 1> value{};
  const std::size_t bytes = H5Tget_size(type.get());
  check(bytes <= kMaxAttributeBytes,
        str("attribute ", name, " has ", bytes, " bytes, at most ", kMaxAttributeBytes, " expected"));
  check(H5Aread(found.get(), type.get(), value.data()) >= 0, str("attribute ", name, " cannot be read"));
  return value.data();
}

// The names in the root group, once all of them are known names of hard links.
std::set<std::string> ShardValidator::dataset_names() const {
  using Links = std::map<std::string, H5L_type_t>;
  Links links;
  const auto collect = [](hid_t, const char* name, const H5L_info_t* info, void* out) -> herr_t {
    auto& found = *static_cast<Links*>(out);
    found.emplace(name, info->type);
    return found.size() > 8 ? 1 : 0;  // too many already: stop
  };
  check(H5Literate(file_.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &links) >= 0,
        "its root group cannot be listed");
  std::set<std::string> names;
  for (const auto& [name, type] : links) {
    const bool known = name == kTokens || name == kDocumentStarts || name == kBlockChecksums || name == kLabels;
    check(known, str("unknown object \"", name, "\" in its root group"));
    check(type == H5L_TYPE_HARD, str("\"", name, "\" is a soft or external link, a dataset is expected"));
    names.insert(name);
  }
  for (const char* name : {kTokens, kDocumentStarts, kBlockChecksums})
    check(names.contains(name), str("no dataset ", name));
  return names;
}

Extent ShardValidator::extent(const char* name, hid_t type, std::int64_t count) const {
  const Hdf5Handle dataset = own(H5Dopen2(file_.get(), name, H5P_DEFAULT), H5Dclose, str(name, " is not a dataset"));
  const Hdf5Handle creation = own(H5Dget_create_plist(dataset.get()), H5Pclose, str(name, " has no layout"));
  check(H5Pget_layout(creation.get()) == H5D_CONTIGUOUS, str(name, " is not contiguous (compact, chunked or virtual)"));
  check(H5Pget_nfilters(creation.get()) == 0, str(name, " has filters"));
  check(H5Pget_external_count(creation.get()) == 0, str(name, " lies in external files"));

  const Hdf5Handle stored = own(H5Dget_type(dataset.get()), H5Tclose, str(name, " has no type"));
  check(H5Tequal(stored.get(), type) > 0,
        str(name, " does not have the element type that the format and the vocabulary size ask"));
  const Hdf5Handle space = own(H5Dget_space(dataset.get()), H5Sclose, str(name, " has no extent"));
  hsize_t dims = 0;
  hsize_t most = 0;
  check(H5Sget_simple_extent_type(space.get()) == H5S_SIMPLE && H5Sget_simple_extent_ndims(space.get()) == 1 &&
            H5Sget_simple_extent_dims(space.get(), &dims, &most) == 1,
        str(name, " is not an array of rank 1"));
  check(dims == static_cast<hsize_t>(count) && most == dims, str(name, " has ", dims, " elements, ", count, " expected"));

  const haddr_t offset = H5Dget_offset(dataset.get());
  check(offset != HADDR_UNDEF, str(name, " has no place in the file"));
  const std::uint64_t bytes = bytes_.size();
  check(offset <= bytes && dims <= (bytes - offset) / H5Tget_size(type),
        str(name, " reaches past the end of the file (", dims, " elements at ", offset, ", ", bytes, " bytes)"));
  return {offset, count};
}

template <class T>
std::vector<T> ShardValidator::array(const char* name, hid_t type, std::int64_t count) const {
  const Extent place = extent(name, type, count);
  std::vector<T> values(static_cast<std::size_t>(place.count));
  bytes_.read(place.offset, values.data(), values.size() * sizeof(T));
  return values;
}

ShardHeader ShardValidator::header(const std::set<std::string>& datasets) const {
  check(text(kFormat) == kShardFormatName, str("its format is \"", text(kFormat), "\""));
  ShardHeader header;
  header.version = integer(kVersion);
  check(header.version == kShardVersion, str("version ", header.version, ", this program knows version ", kShardVersion));
  header.vocabulary_size = integer(kVocabularySize);
  check(header.vocabulary_size >= 1 && header.vocabulary_size <= (std::int64_t{1} << 31),
        str("vocabulary_size is ", header.vocabulary_size));
  header.token_count = integer(kTokenCount);
  header.document_count = integer(kDocumentCount);
  const auto most = static_cast<std::int64_t>(bytes_.size() / token_bytes(header.vocabulary_size));
  check(header.token_count >= 1 && header.token_count <= most, str("token_count is ", header.token_count));
  check(header.document_count >= 1 && header.document_count <= header.token_count,
        str("document_count is ", header.document_count, " for ", header.token_count, " tokens"));
  header.vocabulary_fingerprint = text(kVocabularyFingerprint);
  header.text_fingerprint = text(kTextFingerprint);
  header.labelled = datasets.contains(kLabels);
  check(integer(kChecksumBlock) == kBlockTokens, str(kChecksumBlock, " is not ", kBlockTokens));
  return header;
}

void ShardValidator::check_starts(const ShardContent& content) const {
  const auto& starts = content.starts;
  check(starts.front() == 0, str("the first document starts at ", starts.front(), ", not at 0"));
  for (std::size_t d = 1; d < starts.size(); ++d) {
    check(starts[d] > starts[d - 1], str("document ", d, " starts at ", starts[d], ", not after document ", d - 1));
  }
  check(starts.back() < static_cast<std::uint64_t>(content.header.token_count),
        str("the last document starts at ", starts.back(), " of ", content.header.token_count, " tokens"));
  for (const std::int32_t label : content.labels) check(label >= 0, str("label ", label, " is negative"));
}

ShardContent ShardValidator::validate() const {
  ShardContent content;
  content.header = header(dataset_names());
  const ShardHeader& h = content.header;
  const bool narrow = token_bytes(h.vocabulary_size) == 2;
  content.token_offset = extent(kTokens, narrow ? H5T_STD_U16LE : H5T_STD_U32LE, h.token_count).offset;
  content.starts = array<std::uint64_t>(kDocumentStarts, H5T_STD_U64LE, h.document_count);
  content.checksums =
      array<std::uint64_t>(kBlockChecksums, H5T_STD_U64LE, (h.token_count + kBlockTokens - 1) / kBlockTokens);
  if (h.labelled) content.labels = array<std::int32_t>(kLabels, H5T_STD_I32LE, h.document_count);
  content.index_fingerprint = text(kIndexFingerprint);
  const std::string found = index_fingerprint(content.starts, content.checksums, content.labels);
  check(found == content.index_fingerprint, str(kIndexFingerprint, " is ", content.index_fingerprint,
                                                ", but its datasets give ", found, ": the file is damaged"));
  check_starts(content);
  return content;
}

}  // namespace

// ---- ShardSet ----

struct ShardSet::Impl {
  fs::path folder;
  std::string split;
  ShardHeader header;
  std::vector<TokenBlocks> shards;
  std::vector<std::int64_t> shard_ends;  // first token after each shard
  std::vector<std::int64_t> starts;      // of documents, and the end of the last
  std::vector<std::int32_t> labels;
  Hasher identity;

  void add(const fs::path& path);
  void check_agreement(const fs::path& path, const ShardHeader& other) const;
};

void ShardSet::Impl::check_agreement(const fs::path& path, const ShardHeader& other) const {
  const auto expect = [&path](const char* what, const auto& found, const auto& expected) {
    if (found != expected) {
      throw DataError(str(path.string(), ": its ", what, " is ", found, ", the first shard's is ", expected,
                          ": these shards are not of one corpus; prepare it again"));
    }
  };
  expect("vocabulary fingerprint", other.vocabulary_fingerprint, header.vocabulary_fingerprint);
  expect("vocabulary size", other.vocabulary_size, header.vocabulary_size);
  expect("text rules' fingerprint", other.text_fingerprint, header.text_fingerprint);
  expect("having labels (0 or 1)", other.labelled, header.labelled);
}

void ShardSet::Impl::add(const fs::path& path) {
  RandomAccessFile file(path);
  ShardContent content = ShardValidator(file).validate();
  const std::int64_t first = shards.empty() ? 0 : shard_ends.back();
  if (shards.empty()) {
    header = content.header;
  } else {
    check_agreement(path, content.header);
    header.token_count += content.header.token_count;
    header.document_count += content.header.document_count;
    starts.pop_back();
  }
  for (const std::uint64_t start : content.starts) starts.push_back(first + static_cast<std::int64_t>(start));
  starts.push_back(header.token_count);
  labels.insert(labels.end(), content.labels.begin(), content.labels.end());
  identity.update(str(content.header.token_count, ' ', content.header.document_count, ' ',
                      content.header.vocabulary_fingerprint, ' ', content.header.text_fingerprint, ' ',
                      content.index_fingerprint, '\n'));
  shards.emplace_back(std::move(file), content.token_offset, content.header.token_count, content.header.vocabulary_size,
                      std::move(content.checksums));
  shard_ends.push_back(header.token_count);
}

namespace {

// Numbers of the split's shards in the folder, ascending. An unreadable folder has none.
std::set<std::int64_t> shard_numbers(const fs::path& folder, const std::string& split) {
  std::set<std::int64_t> numbers;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (const auto number = shard_file_number(split, at->path().filename().string())) numbers.insert(*number);
  }
  return numbers;
}

}  // namespace

ShardSet::ShardSet(const fs::path& folder, const std::string& split) : impl_(std::make_unique<Impl>()) {
  impl_->folder = folder;
  impl_->split = split;
  const std::set<std::int64_t> numbers = shard_numbers(folder, split);
  if (numbers.empty()) {
    throw DataError(str("no shards ", shard_file_name(split, 0), " ... in ", folder.string(),
                        ": name a folder made by prepare-corpus or prepare-labelled that has the split ", split));
  }
  std::int64_t expected = 0;
  for (const std::int64_t number : numbers) {
    if (number != expected) {
      throw DataError(str("cannot open the shards of ", split, " in ", folder.string(), ": ",
                          shard_file_name(split, expected), " is missing, though ",
                          shard_file_name(split, *numbers.rbegin()), " is there"));
    }
    impl_->add(folder / shard_file_name(split, number));
    ++expected;
  }
}

ShardSet::~ShardSet() = default;
ShardSet::ShardSet(ShardSet&&) noexcept = default;
ShardSet& ShardSet::operator=(ShardSet&&) noexcept = default;

bool ShardSet::exists(const fs::path& folder, const std::string& split) { return !shard_numbers(folder, split).empty(); }

std::int64_t ShardSet::token_count() const { return impl_->header.token_count; }
std::int64_t ShardSet::document_count() const { return impl_->header.document_count; }
const ShardHeader& ShardSet::header() const { return impl_->header; }
std::span<const std::int64_t> ShardSet::document_starts() const { return impl_->starts; }

std::int64_t ShardSet::document_start(std::int64_t document) const {
  return impl_->starts.at(static_cast<std::size_t>(document));
}

std::int32_t ShardSet::label(std::int64_t document) const {
  labels();  // there must be some
  return impl_->labels.at(static_cast<std::size_t>(document));
}

std::span<const std::int32_t> ShardSet::labels() const {
  if (!impl_->header.labelled)
    throw DataError(str("the shards of ", impl_->split, " in ", impl_->folder.string(), " have no labels"));
  return impl_->labels;
}

void ShardSet::read(std::int64_t first, std::span<std::int32_t> out) const {
  const auto length = static_cast<std::int64_t>(out.size());
  if (first < 0 || length > token_count() - first) {
    throw std::out_of_range(str("tokens ", first, " to ", first + length, " of ", token_count()));
  }
  const auto& ends = impl_->shard_ends;
  auto shard = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), first) - ends.begin());
  for (; !out.empty(); ++shard) {
    TokenBlocks& blocks = impl_->shards[shard];
    const std::int64_t begin = ends[shard] - blocks.count();
    const auto part = out.first(std::min(out.size(), static_cast<std::size_t>(ends[shard] - first)));
    blocks.read(first - begin, part);
    first = ends[shard];
    out = out.subspan(part.size());
  }
}

void ShardSet::verify() const {
  for (TokenBlocks& blocks : impl_->shards) blocks.verify();
}

std::string ShardSet::fingerprint() const { return impl_->identity.hex(); }

}  // namespace ulmfit::data
