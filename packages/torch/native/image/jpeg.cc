#include "jpeg.h"

#ifdef BANTAM_JPEG
#include <cstdio>
// After <cstdio>, whose types it uses.
#include <jpeglib.h>

#include <csetjmp>
#include <cstring>
#endif

namespace bantam::image {

#ifdef BANTAM_JPEG

namespace {

/// libjpeg's error handler, extended by where to go on: it may not return.
struct Errors {
  jpeg_error_mgr manager;
  std::jmp_buf leave;
};

[[noreturn]] void leave(j_common_ptr info) {
  std::longjmp(reinterpret_cast<Errors*>(info->err)->leave, 1);
}

/// Scans of a progressive file that are read: real files have about ten. A small file may have thousands,
/// each of which is a pass over the whole image.
constexpr int kMostScans = 100;

/// Pixels of a progressive file, whose coefficients the decoder keeps, six bytes for each pixel.
constexpr uint64_t kMostProgressivePixels = uint64_t{1} << 27;

void check_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMostScans) leave(info);
}

/// Warnings (negative levels) end the decoding as errors do; traces are dropped.
void warn(j_common_ptr info, int level) {
  if (level < 0) leave(info);
}

uint16_t read16(const uint8_t* at, bool little) {
  return static_cast<uint16_t>(little ? at[0] | at[1] << 8 : at[0] << 8 | at[1]);
}

uint32_t read32(const uint8_t* at, bool little) {
  const uint32_t first = read16(at, little), second = read16(at + 2, little);
  return little ? first | second << 16 : first << 16 | second;
}

/// Whether an EXIF block (TIFF structure behind "Exif\0\0") has an orientation other than upright.
/// What cannot be read counts as turned: the caller's other decoder will tell.
bool is_turned(const uint8_t* data, size_t length) {
  if (length < 6 || std::memcmp(data, "Exif\0\0", 6) != 0) return false;
  data += 6;
  length -= 6;
  if (length < 8) return true;
  const bool little = data[0] == 'I';
  const uint32_t directory = read32(data + 4, little);
  if (directory > length - 2) return true;
  const uint16_t entries = read16(data + directory, little);
  for (uint32_t entry = 0; entry < entries; ++entry) {
    const size_t at = directory + size_t{2} + entry * size_t{12};
    if (at + 12 > length) return true;
    constexpr uint16_t kOrientation = 0x112;
    if (read16(data + at, little) == kOrientation) return read16(data + at + 8, little) != 1;
  }
  return false;
}

bool is_ordinary(const jpeg_decompress_struct& info) {
  if (info.data_precision != 8) return false;
  if (info.jpeg_color_space != JCS_YCbCr && info.jpeg_color_space != JCS_RGB &&
      info.jpeg_color_space != JCS_GRAYSCALE) {
    return false;
  }
  for (auto marker = info.marker_list; marker != nullptr; marker = marker->next) {
    if (is_turned(marker->data, marker->data_length)) return false;
  }
  return true;
}

/// Reads a file whose decompressor has been made. Errors leave through longjmp, so nothing here has
/// a destructor.
std::optional<Size> read(jpeg_decompress_struct& info, int shortest_side, uint8_t* to, size_t room) {
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&info, TRUE);
  if (!is_ordinary(info)) return std::nullopt;
  const auto pixels = uint64_t{info.image_width} * info.image_height;
  if (jpeg_has_multiple_scans(&info) && pixels > kMostProgressivePixels) return std::nullopt;
  info.out_color_space = JCS_RGB;
  info.scale_num = 1;
  info.scale_denom = 1;
  const auto shortest = static_cast<int>(info.image_width < info.image_height ? info.image_width : info.image_height);
  while (shortest_side > 0 && info.scale_denom < 8 &&
         shortest / static_cast<int>(info.scale_denom * 2) >= shortest_side) {
    info.scale_denom *= 2;
  }
  jpeg_calc_output_dimensions(&info);
  const Size size{static_cast<int>(info.output_width), static_cast<int>(info.output_height)};
  const size_t stride = size_t{info.output_width} * 3;
  if (stride * info.output_height > room) return size;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    JSAMPROW rows[8];
    JDIMENSION count = 0;
    for (; count < 8 && info.output_scanline + count < info.output_height; ++count) {
      rows[count] = to + (info.output_scanline + count) * stride;
    }
    jpeg_read_scanlines(&info, rows, count);
  }
  jpeg_finish_decompress(&info);
  return size;
}

}  // namespace

bool has_jpeg() { return true; }

std::optional<Size> decode_jpeg(const uint8_t* bytes, size_t length, int shortest_side, uint8_t* to, size_t room) {
  jpeg_decompress_struct info;
  Errors errors;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = leave;
  errors.manager.emit_message = warn;
  if (setjmp(errors.leave) != 0) {
    jpeg_destroy_decompress(&info);
    return std::nullopt;
  }
  jpeg_create_decompress(&info);
  jpeg_progress_mgr progress{};
  progress.progress_monitor = check_progress;
  info.progress = &progress;
  jpeg_mem_src(&info, bytes, static_cast<unsigned long>(length));
  const std::optional<Size> size = read(info, shortest_side, to, room);
  jpeg_destroy_decompress(&info);
  return size;
}

#else

bool has_jpeg() { return false; }

std::optional<Size> decode_jpeg(const uint8_t*, size_t, int, uint8_t*, size_t) { return std::nullopt; }

#endif

}  // namespace bantam::image
