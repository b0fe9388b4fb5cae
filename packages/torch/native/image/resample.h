// Resizing of RGB images in the fixed-point arithmetic of PIL's Image.resize, bit for bit.
#pragma once

#include <cstdint>

namespace bantam::image {

struct Image {
  const uint8_t* data;  // RGB, rows from the top
  int width;
  int height;
};

struct Box {
  int left;
  int top;
  int width;
  int height;
};

enum class Filter { bilinear, bicubic };

struct Resize {
  Box box;
  int width;
  int height;
  Filter filter;
  bool antialias;  // whether the filter is widened by the factor of shrinking
};

/// Bits behind the binary point of the weights: 8 bits of pixel, 2 of headroom, of 32.
constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

/// Forms of the loops, which all give the same bytes: in plain C++, with AVX2, with AVX-512.
enum class Form { plain, avx2, avx512 };

/// The last form that the level of level.h has; it has those before it as well.
Form best_form();

/// Sides of images and results that {@link resample} takes: the bytes of a row fit into an int.
constexpr int kMostSide = 1 << 24;

/// Resizes the part of an image within the box, which must lie inside it, to [height, width, 3].
void resample(const Image& from, const Resize& resize, uint8_t* to, Form form);

}  // namespace bantam::image
