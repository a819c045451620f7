#include "tests/support/hostile_hdf5.h"

#include <hdf5.h>

#include <stdexcept>

#include "base/file.h"
#include "base/hash.h"
#include "data/shard_format.h"

namespace ulmfit::test {
namespace {

hid_t ok(hid_t id) {
  if (id < 0) throw std::runtime_error("the hand-made shard cannot be written");
  return id;
}

class Builder {
 public:
  Builder(const HandMadeShard& shard, const fs::path& path) : shard_(shard), path_(path) {
    const hid_t access = ok(H5Pcreate(H5P_FILE_ACCESS));
    // The lower bound decides the superblock's version; virtual datasets need the upper one.
    const bool old = shard.defect == Defect::kOldSuperblock;
    ok(H5Pset_libver_bounds(access, old ? H5F_LIBVER_EARLIEST : H5F_LIBVER_V18, H5F_LIBVER_LATEST));
    file_ = ok(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
    H5Pclose(access);
  }
  ~Builder() { H5Fclose(file_); }
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  void integer(const char* name, std::int64_t value) {
    const Defect defect = defect_at(name);
    if (defect == Defect::kAttributeMissing) return;
    const std::int64_t values[2] = {value, value};
    const hsize_t two = 2;
    const hid_t space = defect == Defect::kAttributeArray ? H5Screate_simple(1, &two, nullptr) : H5Screate(H5S_SCALAR);
    const hid_t type = defect == Defect::kAttributeNarrow ? H5T_STD_I32LE : H5T_STD_I64LE;
    attribute(name, type, H5T_NATIVE_INT64, space, values);
  }

  void text(const char* name, std::string value) {
    const Defect defect = defect_at(name);
    if (defect == Defect::kAttributeMissing) return;
    if (defect == Defect::kAttributeLongText) value.assign(10000, 'x');
    const hid_t type = ok(H5Tcopy(H5T_C_S1));
    const char* pointer = value.c_str();
    const bool variable = defect == Defect::kAttributeVariableText;
    ok(H5Tset_size(type, variable ? H5T_VARIABLE : value.size()));
    attribute(name, type, type, H5Screate(H5S_SCALAR), variable ? static_cast<const void*>(&pointer) : pointer);
    H5Tclose(type);
  }

  template <class T>
  void array(const char* name, hid_t type, const std::vector<T>& values) {
    const Defect defect = defect_at(name);
    if (defect == Defect::kMissing) return;
    if (link_instead(name, defect)) return;
    hsize_t dims[2] = {values.size(), 1};
    const hsize_t most[1] = {H5S_UNLIMITED};
    const int rank = defect == Defect::kRankTwo ? 2 : 1;
    const hid_t space = ok(H5Screate_simple(rank, dims, defect == Defect::kExtensible ? most : nullptr));
    const hid_t creation = layout(defect, dims[0], sizeof(T));
    const hid_t stored = stored_type(defect, type);
    const hid_t dataset = ok(H5Dcreate2(file_, name, stored, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    if (defect != Defect::kUnallocated && defect != Defect::kVirtual) {
      ok(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()));
    }
    H5Dclose(dataset);
    H5Pclose(creation);
    H5Sclose(space);
  }

 private:
  Defect defect_at(const std::string& name) const { return name == shard_.where ? shard_.defect : Defect::kNone; }

  void attribute(const char* name, hid_t stored, hid_t memory, hid_t space, const void* value) {
    const hid_t id = ok(H5Acreate2(file_, name, stored, ok(space), H5P_DEFAULT, H5P_DEFAULT));
    ok(H5Awrite(id, memory, value));
    H5Aclose(id);
    H5Sclose(space);
  }

  bool link_instead(const char* name, Defect defect) const {
    if (defect == Defect::kSoftLink) {
      ok(H5Lcreate_soft("/document_starts", file_, name, H5P_DEFAULT, H5P_DEFAULT));
    } else if (defect == Defect::kExternalLink) {
      ok(H5Lcreate_external("other.h5", "/tokens", file_, name, H5P_DEFAULT, H5P_DEFAULT));
    } else if (defect == Defect::kGroup) {
      H5Gclose(ok(H5Gcreate2(file_, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)));
    } else {
      return false;
    }
    return true;
  }

  hid_t layout(Defect defect, hsize_t count, std::size_t width) const {
    const hid_t creation = ok(H5Pcreate(H5P_DATASET_CREATE));
    if (defect == Defect::kExtensible || defect == Defect::kCompressed) ok(H5Pset_chunk(creation, 1, &count));
    if (defect == Defect::kCompressed) ok(H5Pset_deflate(creation, 6));
    if (defect == Defect::kCompact) ok(H5Pset_layout(creation, H5D_COMPACT));
    if (defect == Defect::kExternalStorage)
      ok(H5Pset_external(creation, (path_.string() + ".raw").c_str(), 0, count * width));
    if (defect == Defect::kUnallocated) ok(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_LATE));
    if (defect == Defect::kVirtual) {
      const hid_t space = ok(H5Screate_simple(1, &count, nullptr));
      ok(H5Pset_virtual(creation, space, "other.h5", "/tokens", space));
      H5Sclose(space);
    }
    return creation;
  }

  static hid_t stored_type(Defect defect, hid_t type) {
    if (defect == Defect::kBigEndian) return H5T_STD_U16BE;
    if (defect == Defect::kOtherWidth) return H5T_STD_U8LE;
    if (defect == Defect::kFloat) return H5T_IEEE_F64LE;
    return type;
  }

  const HandMadeShard& shard_;
  const fs::path path_;
  hid_t file_ = -1;
};

}  // namespace

void HandMadeShard::write(const fs::path& path) const {
  H5dont_atexit();  // as the shard writer: counts only before HDF5's first use
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const std::vector<std::uint64_t> sums = checksums.value_or(std::vector{hash64(tokens.data(), tokens.size() * 2)});
  Builder file(*this, path);
  file.text(data::kFormat, format);
  file.integer(data::kVersion, version);
  file.integer(data::kTokenCount, token_count.value_or(static_cast<std::int64_t>(tokens.size())));
  file.integer(data::kDocumentCount, document_count.value_or(static_cast<std::int64_t>(starts.size())));
  file.integer(data::kVocabularySize, vocabulary_size);
  file.text(data::kVocabularyFingerprint, vocabulary_fingerprint);
  file.text(data::kTextFingerprint, text_fingerprint);
  file.integer(data::kChecksumBlock, checksum_block_tokens);
  const auto given = labels.value_or(std::vector<std::int32_t>{});
  file.text(data::kIndexFingerprint, index_fingerprint.value_or(data::index_fingerprint(starts, sums, given)));
  file.array(data::kTokens, H5T_STD_U16LE, tokens);
  file.array(data::kDocumentStarts, H5T_STD_U64LE, starts);
  file.array(data::kBlockChecksums, H5T_STD_U64LE, sums);
  if (labels) file.array(data::kLabels, H5T_STD_I32LE, *labels);
  if (defect == Defect::kExtraDataset) file.array("extra", H5T_STD_U64LE, starts);
}

}  // namespace ulmfit::test
