// A Boost.Iostreams filter for zstd data. Boost's own takes data that is cut off for whole; this one refuses it.
#pragma once

#include <zstd.h>

#include <boost/iostreams/concepts.hpp>
#include <boost/iostreams/read.hpp>
#include <memory>
#include <stdexcept>
#include <vector>

namespace ulmfit::data_prep {

class ZstdDecompressor : public boost::iostreams::multichar_input_filter {
 public:
  ZstdDecompressor() : state_(std::make_shared<State>()) {  // shared: Boost copies filters
    ZSTD_DCtx_setParameter(state_->stream.get(), ZSTD_d_windowLogMax, kWindowLogMax);
  }

  // Throws std::runtime_error for damaged data, and data that ends within a frame.
  template <class Source>
  std::streamsize read(Source& source, char* to, std::streamsize size) {
    State& s = *state_;
    ZSTD_outBuffer out{to, static_cast<std::size_t>(size), 0};
    while (out.pos < out.size) {
      if (s.in.pos == s.in.size && !s.at_end) {
        const std::streamsize got =
            boost::iostreams::read(source, s.buffer.data(), static_cast<std::streamsize>(s.buffer.size()));
        s.at_end = got < 0;
        s.in = {s.buffer.data(), got < 0 ? 0 : static_cast<std::size_t>(got), 0};
      }
      const bool drained = s.at_end && s.in.pos == s.in.size;
      if (drained && s.wanted == 0) break;
      const std::size_t before = out.pos;
      s.wanted = ZSTD_decompressStream(s.stream.get(), &out, &s.in);
      if (ZSTD_isError(s.wanted) != 0) throw std::runtime_error(ZSTD_getErrorName(s.wanted));
      if (drained && s.wanted != 0 && out.pos == before) throw std::runtime_error("the data ends within a frame");
    }
    return out.pos == 0 ? -1 : static_cast<std::streamsize>(out.pos);
  }

 private:
  static constexpr int kWindowLogMax = 31;  // what zstd --long=31 writes; the decoder's default is 27
  struct State {
    std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream{ZSTD_createDStream(), ZSTD_freeDStream};
    std::vector<char> buffer = std::vector<char>(ZSTD_DStreamInSize());
    ZSTD_inBuffer in{nullptr, 0, 0};
    std::size_t wanted = 0;  // bytes the decoder still wants for the frame it is in; 0: between frames
    bool at_end = false;     // of the source
  };
  std::shared_ptr<State> state_;
};

}  // namespace ulmfit::data_prep
