// Decoding of ordinary JPEG files with the system's libjpeg-turbo.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace bantam::image {

struct Size {
  int width;
  int height;
};

/// Whether this build has a JPEG decoder.
bool has_jpeg();

/// Decodes a baseline or progressive JPEG file to RGB. It is shrunk by 2, 4 or 8 while its shortest
/// side keeps `shortest_side` pixels; 0 means never. Where the image needs more than `room` bytes
/// nothing is written; the size that it will have is returned all the same.
///
/// Nothing is returned for what is not ordinary: other colours than RGB and grey, an orientation,
/// anything that is damaged or that the decoder warns of.
std::optional<Size> decode_jpeg(const uint8_t* bytes, size_t length, int shortest_side, uint8_t* to, size_t room);

}  // namespace bantam::image
