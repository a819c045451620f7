// Owner of one HDF5 identifier, written without hdf5.h so that only the writer and the reader include that: an hid_t of
// HDF5 1.10 and later is a std::int64_t, an herr_t an int (asserted where hdf5.h is known).
#pragma once

#include <cstdint>
#include <utility>

namespace ulmfit::data {

class Hdf5Handle {
 public:
  using Close = int (*)(std::int64_t);

  Hdf5Handle(std::int64_t id, Close closer) : id_(id), closer_(closer) {}
  ~Hdf5Handle() { close(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), closer_(other.closer_) {}
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;

  std::int64_t get() const { return id_; }

  // Closes now; false if HDF5 could not write what it still held.
  bool close() {
    const std::int64_t id = std::exchange(id_, -1);
    return id < 0 || closer_(id) >= 0;
  }

 private:
  std::int64_t id_;
  Close closer_;
};

}  // namespace ulmfit::data
