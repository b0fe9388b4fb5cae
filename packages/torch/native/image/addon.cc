// The addon behind `@bantam/torch/image`: pictures, without libtorch. It keeps no state beyond
// scratch memory of each thread, so that worker threads may load it.
//
// Plain Node-API, as a worker may be ended in the middle of a call: from then on every call into
// Node fails, and node-addon-api's exceptions would end the process. A function that fails returns
// nothing at once; src/image.ts has checked its arguments.
#include <node_api.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "../level.h"
#include "jpeg.h"
#include "resample.h"

namespace {

using namespace bantam::image;

template <size_t count>
bool get_arguments(napi_env env, napi_callback_info info, std::array<napi_value, count>& arguments) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, arguments.data(), nullptr, nullptr) == napi_ok && given == count;
}

template <typename T>
bool get_array(napi_env env, napi_value value, napi_typedarray_type wanted, std::span<T>& array) {
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok || type != wanted) {
    return false;
  }
  array = {static_cast<T*>(data), length};
  return true;
}

bool get_bytes(napi_env env, napi_value value, std::span<uint8_t>& bytes) {
  return get_array(env, value, napi_uint8_array, bytes);
}

/// decodeJpeg(bytes, shortestSide, target) → width · 2¹⁶ + height, or 0 for what is not ordinary
napi_value decode_jpeg_file(napi_env env, napi_callback_info info) {
  std::array<napi_value, 3> arguments;
  std::span<uint8_t> bytes, target;
  int32_t shortest_side;
  if (!get_arguments(env, info, arguments) || !get_bytes(env, arguments[0], bytes) ||
      napi_get_value_int32(env, arguments[1], &shortest_side) != napi_ok || !get_bytes(env, arguments[2], target)) {
    return nullptr;
  }
  const auto size = decode_jpeg(bytes.data(), bytes.size(), shortest_side, target.data(), target.size());
  const uint32_t packed = size ? static_cast<uint32_t>(size->width) << 16 | static_cast<uint32_t>(size->height) : 0;
  napi_value result = nullptr;
  napi_create_uint32(env, packed, &result);
  return result;
}

/// resample(data, geometry, target): geometry is an Int32Array of the picture's width and height,
/// the box's left, top, width and height, the result's width and height, 1 or 0 each for
/// bicubic and antialias, and the form of the loops, a number of Form
napi_value resample_picture(napi_env env, napi_callback_info info) {
  std::array<napi_value, 3> arguments;
  std::span<uint8_t> data, target;
  std::span<int32_t> geometry;
  if (!get_arguments(env, info, arguments) || !get_bytes(env, arguments[0], data) ||
      !get_array(env, arguments[1], napi_int32_array, geometry) || geometry.size() != 11 ||
      !get_bytes(env, arguments[2], target)) {
    return nullptr;
  }
  const Picture picture{data.data(), geometry[0], geometry[1]};
  const Resize resize{{geometry[2], geometry[3], geometry[4], geometry[5]},
                      geometry[6],
                      geometry[7],
                      geometry[8] != 0 ? Filter::bicubic : Filter::bilinear,
                      geometry[9] != 0};
  const Form form = std::clamp(static_cast<Form>(geometry[10]), Form::plain, best_form());
  resample(picture, resize, target.data(), form);
  return nullptr;
}

bool add_function(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value value;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

bool add_flag(napi_env env, napi_value exports, const char* name, bool flag) {
  napi_value value;
  return napi_get_boolean(env, flag, &value) == napi_ok && napi_set_named_property(env, exports, name, value) == napi_ok;
}

bool add_text(napi_env env, napi_value exports, const char* name, const std::string& text) {
  napi_value value;
  return napi_create_string_utf8(env, text.data(), text.size(), &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

bool add_number(napi_env env, napi_value exports, const char* name, uint32_t number) {
  napi_value value;
  return napi_create_uint32(env, number, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

}  // namespace

NAPI_MODULE_INIT() {
  const bool added = add_function(env, exports, "decodeJpeg", decode_jpeg_file) &&
                     add_function(env, exports, "resample", resample_picture) &&
                     add_flag(env, exports, "hasJpeg", has_jpeg()) &&
                     add_text(env, exports, "instructionLimitError", bantam::limit_error()) &&
                     add_number(env, exports, "bestForm", static_cast<uint32_t>(best_form()));
  return added ? exports : nullptr;
}
