// CRC-32C (Castagnoli, RFC 3720 appendix B.4), as TFRecord files use it.
#pragma once

#include <cstdint>
#include <string_view>

namespace ulmfit::interop {

std::uint32_t crc32c(std::string_view bytes);

// Rotated and shifted, so that a checksum over data that holds checksums stays meaningful (TensorFlow's record format).
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace ulmfit::interop
