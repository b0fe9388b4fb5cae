// The addon behind `@bantam/torch/image`: images, without libtorch. It keeps no state beyond scratch
// memory of each thread, so that worker threads may load it.
#include <algorithm>
#include <cstdint>
#include <string>

#include "../level.h"
#include "guard.h"
#include "jpeg.h"
#include "resample.h"

namespace bantam {
namespace {

using namespace image;

napi_value value_at(const Call& call, size_t at) {
  if (at >= call.arguments.size()) throw WrongType("argument " + std::to_string(at + 1) + " is missing");
  return call.arguments[at];
}

template <typename T>
std::span<T> array_at(const Call& call, size_t at, napi_typedarray_type wanted, const char* name) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(call.env, value_at(call, at), &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != wanted) {
    throw WrongType("argument " + std::to_string(at + 1) + " must be a " + name);
  }
  return {static_cast<T*>(data), length};
}

std::span<uint8_t> bytes_at(const Call& call, size_t at) {
  return array_at<uint8_t>(call, at, napi_uint8_array, "Uint8Array");
}

int64_t integer_at(const Call& call, size_t at, int64_t least, int64_t most) {
  double number = 0;
  if (napi_get_value_double(call.env, value_at(call, at), &number) != napi_ok) {
    throw WrongType("argument " + std::to_string(at + 1) + " must be a number");
  }
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) ||
      static_cast<double>(static_cast<int64_t>(number)) != number) {
    throw OutOfRange("argument " + std::to_string(at + 1) + " must be a whole number from " + std::to_string(least) +
                     " to " + std::to_string(most) + ", not " + std::to_string(number));
  }
  return static_cast<int64_t>(number);
}

/// decodeJpeg(bytes, shortestSide, target) → width · 2¹⁶ + height, or 0 for what is not ordinary
napi_value decode_jpeg_file(Call& call) {
  const auto bytes = bytes_at(call, 0);
  const auto shortest_side = static_cast<int>(integer_at(call, 1, 0, INT32_MAX));
  const auto target = bytes_at(call, 2);
  const auto size = decode_jpeg(bytes.data(), bytes.size(), shortest_side, target.data(), target.size());
  const uint32_t packed = size ? static_cast<uint32_t>(size->width) << 16 | static_cast<uint32_t>(size->height) : 0;
  napi_value result = nullptr;
  napi_create_uint32(call.env, packed, &result);
  return result;
}

void check_side(const char* name, int side) {
  if (side < 1 || side > kMostSide) {
    throw OutOfRange(std::string(name) + " must be from 1 to " + std::to_string(kMostSide) + " pixels, not " +
                     std::to_string(side));
  }
}

void check_room(const char* name, size_t bytes, int width, int height) {
  const size_t needed = static_cast<size_t>(width) * static_cast<size_t>(height) * 3;
  if (bytes < needed) {
    throw OutOfRange(std::string(name) + " has " + std::to_string(bytes) + " bytes where " + std::to_string(needed) +
                     " are needed");
  }
}

/// The start and the length of a box along one side of an image.
void check_inside(const char* name, int start, int length, int side) {
  if (start < 0 || length < 1 || int64_t{start} + length > side) {
    throw OutOfRange(std::string("the box's ") + name + " from " + std::to_string(start) + " over " +
                     std::to_string(length) + " pixels is not inside the image's " + std::to_string(side));
  }
}

/// resample(data, geometry, target): geometry is an Int32Array of the image's width and height,
/// the box's left, top, width and height, the result's width and height, 1 or 0 each for
/// bicubic and antialias, and the form of the loops, a number of Form
napi_value resample_image(Call& call) {
  const auto data = bytes_at(call, 0);
  const auto geometry = array_at<int32_t>(call, 1, napi_int32_array, "Int32Array");
  const auto target = bytes_at(call, 2);
  if (geometry.size() != 11) throw OutOfRange("the geometry must have 11 numbers");
  const Image from{data.data(), geometry[0], geometry[1]};
  const Box box{geometry[2], geometry[3], geometry[4], geometry[5]};
  const Resize resize{box, geometry[6], geometry[7], geometry[8] != 0 ? Filter::bicubic : Filter::bilinear,
                      geometry[9] != 0};
  check_side("the image's width", from.width);
  check_side("the image's height", from.height);
  check_side("the result's width", resize.width);
  check_side("the result's height", resize.height);
  check_inside("columns", box.left, box.width, from.width);
  check_inside("rows", box.top, box.height, from.height);
  check_room("the image", data.size(), from.width, from.height);
  check_room("the result", target.size(), resize.width, resize.height);
  const Form form = std::clamp(static_cast<Form>(geometry[10]), Form::plain, best_form());
  resample(from, resize, target.data(), form);
  return nullptr;
}

void set_property(napi_env env, napi_value exports, const char* name, napi_value value) {
  if (napi_set_named_property(env, exports, name, value) != napi_ok) throw std::runtime_error(name);
}

void init(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {{"decodeJpeg", decode_jpeg_file}, {"resample", resample_image}};
  if (!add_entries(env, exports, entries)) throw std::runtime_error("its functions could not be made");
  const std::string limit = limit_error();
  napi_value jpeg = nullptr, form = nullptr, sentence = nullptr;
  napi_get_boolean(env, has_jpeg(), &jpeg);
  napi_create_uint32(env, static_cast<uint32_t>(best_form()), &form);
  napi_create_string_utf8(env, limit.data(), limit.size(), &sentence);
  set_property(env, exports, "hasJpeg", jpeg);
  set_property(env, exports, "instructionLimitError", sentence);
  set_property(env, exports, "bestForm", form);
}

}  // namespace

void throw_in_javascript(napi_env env, const std::string& name, const std::exception& error) {
  throw_message(env, name + ": " + error.what());
}

}  // namespace bantam

NAPI_MODULE_INIT() { return bantam::guarded_init(env, exports, bantam::init); }
