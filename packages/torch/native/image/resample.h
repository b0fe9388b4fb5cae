// Resizing of RGB pictures in the fixed-point arithmetic of PIL's Image.resize, bit for bit.
#pragma once

#include <cstdint>

namespace bantam::image {

struct Picture {
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

/// Whether this processor and build have the vector form.
bool has_vector_form();

/// Resizes the part of a picture within the box, which must lie inside it, to [height, width, 3].
/// `vector` chooses the form of the loops; both give the same bytes.
void resample(const Picture& from, const Resize& resize, uint8_t* to, bool vector);

}  // namespace bantam::image
