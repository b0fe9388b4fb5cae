// bantam::pack_panels and bantam::conv_panels, and what other layers for inference take from panel_layers.h.
// oneDNN's products of the same shapes cost a batch of one image several times their own duration: each call
// looks its kernel up anew, and brings a convolution's weight into the order of the map at hand.
#include "panel_layers.h"

#include <ATen/EmptyTensor.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "float_activation.h"
#include "processor.h"
#include "shape.h"
#include "team.h"

namespace bantam::panels {
namespace {

using at::Tensor;
using gemm::Activation;
using OptionalTensor = std::optional<Tensor>;

/// Multiply-adds of a nanosecond, about, on one thread; in int8 four inputs count once.
constexpr int64_t kPerNanosecond = 80;
/// Rows whose inputs stay in a core's second cache beside a panel.
constexpr int64_t kBlockRows = 96;
/// Inputs of a segment of a linear layer; a convolution's are its taps.
constexpr int64_t kSegment = 1024;
/// Parts of a product for each thread: they may differ in duration.
constexpr int64_t kPartsPerThread = 3;

template <typename Number>
using Kernel = void (*)(const ProductOf<Number>&, const Part&);

/// The product in a type, on CPUs that have one.
template <typename Number>
Kernel<Number> kernel();

template <>
Kernel<float> kernel() {
#ifdef BANTAM_AVX512
  if (vector_level() >= Level::avx512) return multiply_avx512;
  if (vector_level() >= Level::avx2) return multiply_avx2;
#endif
  return nullptr;
}

template <>
Kernel<uint16_t> kernel() {
#ifdef BANTAM_AVX512
  // AMX has faster products.
  if (level() == Level::avx512_bf16) return multiply_bfloat16_avx512;
#endif
  return nullptr;
}

/// The product of int8 panels on this CPU, if there is one.
struct Int8Form {
  void (*multiply)(const Int8Product&, const Part&);
  Shape shape;
};

const Int8Form& int8_form() {
  static const Int8Form found = []() -> Int8Form {
#ifdef BANTAM_AVX512
    if (vector_level() >= Level::avx512 && processor_has({"avx512_vnni"})) return {multiply_int8_avx512, kAvx512Shape};
    if (vector_level() >= Level::avx2 && has_avx_vnni()) return {multiply_int8_avx2_vnni, kAvx2Shape};
    if (vector_level() >= Level::avx2) return {multiply_int8_avx2, kAvx2Int8Shape};
#endif
    return {nullptr, {0, 0, 0}};
  }();
  return found;
}

int64_t quotient(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

/// Calls work(Part) for all of a product, on several threads if it is large enough.
template <typename Work>
void for_parts(int64_t rows, int64_t outputs, int64_t depth, Shape shape, const Work& work) {
  if (!is_worth_dividing(rows * outputs * depth / kPerNanosecond)) {
    for (int64_t row = 0; row < rows; row += kBlockRows) {
      work(Part{0, outputs, row, std::min(rows, row + kBlockRows)});
    }
    return;
  }
  const int64_t threads = threads_here(), panels = quotient(outputs, shape.width), tiles = quotient(rows, shape.rows);
  // Few rows take as long as their weights take from memory, which each thread is to read once.
  const int64_t wanted = rows < kBlockRows / 2 ? threads : kPartsPerThread * threads;
  // Panels are divided first, for the rows are read from memory once and the weights are not.
  int64_t blocks = quotient(rows, kBlockRows);
  if (blocks * panels < wanted) blocks = std::min(tiles, quotient(wanted, panels));
  const int64_t columns = blocks >= wanted ? panels : 1;
  const int64_t across = quotient(panels, columns);
  struct Context {
    const Work& work;
    int64_t rows, outputs, tiles, tile, blocks, across, step;

    /// The first row of a block. Blocks have whole tiles, and as many as others or one more.
    int64_t start(int64_t block) const { return std::min(rows, tiles * block / blocks * tile); }
  } context{work, rows, outputs, tiles, shape.rows, blocks, across, columns * shape.width};
  run_tasks(blocks * across, [](void* given, int64_t task) {
    const auto& c = *static_cast<const Context*>(given);
    const int64_t block = task / c.across, output = task % c.across * c.step;
    c.work(Part{output, std::min(c.outputs, output + c.step), c.start(block), c.start(block + 1)});
  }, &context);
}

/// A product over the threads. fill(first, end, sources) says where the inputs of these rows are. In float32
/// the results go through an activation while they are in the caches.
template <typename Number, typename Fill>
void multiply(const ProductOf<Number>& product, const Fill& fill, Activation activation = Activation::none) {
  const auto run = kernel<Number>();
  for_parts(product.rows, product.outputs, product.depth, shape(), [&](const Part& part) {
    thread_local std::vector<const Number*> sources;
    sources.resize(static_cast<size_t>((part.end_row - part.first_row) * product.segments));
    fill(part.first_row, part.end_row, sources.data());
    ProductOf<Number> own = product;
    own.sources = sources.data();
    run(own, part);
    if constexpr (std::is_same_v<Number, float>) {
      if (activation == Activation::none) return;
      activate_floats(activation, own.y + part.first_row * own.stride + part.first_output,
                      part.end_row - part.first_row, part.end_output - part.first_output, own.stride);
    }
  });
}

const float* floats(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr<float>() : nullptr; }

/// The matrix [outputs, inputs] of a weight, with the inputs of a convolution tap by tap.
Tensor as_matrix(const Tensor& weight) {
  return weight.dim() == 4 ? weight.permute({0, 2, 3, 1}).flatten(1) : weight;
}

/// Panels [inputs / per, width, per] of a matrix, one below the other, with `per` inputs side by side.
Tensor panels_of(const Tensor& matrix, int64_t width, int64_t per) {
  const int64_t outputs = matrix.size(0), depth = matrix.size(1), whole = outputs / width * width;
  const auto order = [&](const Tensor& rows, int64_t count) {
    return rows.reshape({-1, count, depth / per, per}).transpose(1, 2).flatten();
  };
  std::vector<Tensor> parts;
  if (whole > 0) parts.push_back(order(matrix.narrow(0, 0, whole), width));
  if (whole < outputs) parts.push_back(order(matrix.narrow(0, whole, outputs - whole), outputs - whole));
  return at::cat(parts);
}

/// Geometry of a convolution over channels-last maps.
struct Geometry {
  int64_t images, height, width, channels, out_height, out_width;
  at::IntArrayRef kernel, stride, padding, dilation;
};

int64_t out_size(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
}

/// Where the inputs of one location of the result are, tap by tap; those beyond the map are zeros.
template <typename Number>
void fill_location(const Geometry& g, const Number* image, const Number* zeros, int64_t top, int64_t left,
                   const Number** sources) {
  for (int64_t ky = 0; ky < g.kernel[0]; ++ky) {
    const int64_t row = top + ky * g.dilation[0];
    for (int64_t kx = 0; kx < g.kernel[1]; ++kx) {
      const int64_t at = left + kx * g.dilation[1];
      const bool inside = row >= 0 && row < g.height && at >= 0 && at < g.width;
      *sources++ = inside ? image + (row * g.width + at) * g.channels : zeros;
    }
  }
}

/// The same for some locations. Within a line, and away from the map's sides, all move on by one step.
template <typename Number>
void fill_sources(const Geometry& g, const Number* x, const Number* zeros, int64_t first, int64_t end,
                  const Number** sources) {
  const int64_t taps = g.kernel[0] * g.kernel[1], reach = (g.kernel[1] - 1) * g.dilation[1];
  const int64_t step = g.stride[1] * g.channels;
  for (int64_t location = first; location < end;) {
    const int64_t line = location / g.out_width, next = std::min(end, (line + 1) * g.out_width);
    const Number* const image = x + line / g.out_height * g.height * g.width * g.channels;
    const int64_t top = line % g.out_height * g.stride[0] - g.padding[0];
    bool was_inner = false;
    for (int64_t column = location % g.out_width; location < next; ++location, ++column, sources += taps) {
      const int64_t left = column * g.stride[1] - g.padding[1];
      const bool is_inner = left >= 0 && left + reach < g.width;
      if (!is_inner || !was_inner) {
        fill_location(g, image, zeros, top, left, sources);
      } else {
        const Number* const* const before = sources - taps;
        for (int64_t tap = 0; tap < taps; ++tap) sources[tap] = before[tap] == zeros ? zeros : before[tap] + step;
      }
      was_inner = is_inner;
    }
  }
}

/// Calls work(Number{}) with the type that holds a weight's numbers.
template <typename Work>
auto by_type(const Tensor& weight, const Work& work) {
  return weight.scalar_type() == at::kBFloat16 ? work(uint16_t{}) : work(float{});
}

template <typename Number>
const Number* numbers(const Tensor& tensor) {
  return static_cast<const Number*>(tensor.const_data_ptr());
}

template <typename Number>
const Number* numbers(const OptionalTensor& tensor) {
  return tensor ? numbers<Number>(*tensor) : nullptr;
}

/// A tensor in a type and in memory without gaps, itself where it is.
Tensor ready(const Tensor& x, at::ScalarType type, at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  TORCH_CHECK(x.is_cpu(), "weights in panels are for the CPU, not for ", x.device());
  return (x.scalar_type() == type ? x : x.to(type)).contiguous(format);
}

OptionalTensor ready(const OptionalTensor& x, at::ScalarType type,
                     at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  return x ? OptionalTensor(ready(*x, type, format)) : std::nullopt;
}

Tensor pack_panels(const Tensor& weight) { return packs(weight) ? pack(weight) : weight.contiguous(); }

void check_geometry(at::IntArrayRef kernel, at::IntArrayRef stride, at::IntArrayRef padding,
                    at::IntArrayRef dilation) {
  constexpr int64_t kMost = 1 << 20;  // so that no size overflows
  for (const auto& sizes : {kernel, stride, padding, dilation}) {
    TORCH_CHECK(sizes.size() == 2, "a convolution's kernel, stride, padding and dilation are two numbers each, not ",
                sizes.size());
  }
  for (const int64_t size : {kernel[0], kernel[1], stride[0], stride[1], dilation[0], dilation[1]}) {
    TORCH_CHECK(size >= 1 && size <= kMost, "a convolution's kernel, stride and dilation are at least 1, not ", size);
  }
  for (const int64_t size : padding) TORCH_CHECK(size >= 0 && size <= kMost, "a padding is at least 0, not ", size);
}

Tensor conv_panels(const Tensor& given, const Tensor& packed, const OptionalTensor& given_bias,
                   const OptionalTensor& given_residual, at::IntArrayRef kernel, at::IntArrayRef stride,
                   at::IntArrayRef padding, at::IntArrayRef dilation, bool relu) {
  const at::NoGradGuard no_grad;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  check_geometry(kernel, stride, padding, dilation);
  TORCH_CHECK(given.dim() == 4, "a convolution takes a map of four dimensions, not ", given.dim());
  const auto type = packed.scalar_type();
  const int64_t taps = kernel[0] * kernel[1], depth = taps * given.size(1);
  const int64_t outputs = outputs_of(packed, depth, given.size(1));
  const auto x = ready(given, type, at::MemoryFormat::ChannelsLast);
  const Geometry g{x.size(0), x.size(2), x.size(3), x.size(1),
                   out_size(x.size(2), kernel[0], stride[0], padding[0], dilation[0]),
                   out_size(x.size(3), kernel[1], stride[1], padding[1], dilation[1]),
                   kernel, stride, padding, dilation};
  TORCH_CHECK(g.out_height >= 1 && g.out_width >= 1, "a map of ", g.height, "×", g.width,
              " is smaller than the convolution's kernel");
  const auto bias = ready(given_bias, at::kFloat);
  TORCH_CHECK(!bias || bias->numel() == outputs, "a bias has a number for each of ", outputs, " outputs");
  const std::array<int64_t, 4> sizes{g.images, outputs, g.out_height, g.out_width};
  TORCH_CHECK(!given_residual || given_residual->sizes() == at::IntArrayRef(sizes),
              "a convolution's residual has the result's shape");
  const auto residual = ready(given_residual, type, at::MemoryFormat::ChannelsLast);
  const Tensor y = at::detail::empty_cpu(sizes, type, false, at::MemoryFormat::ChannelsLast);
  by_type(packed, [&]<typename Number>(Number) {
    const std::vector<Number> zeros(static_cast<size_t>(g.channels));
    const std::vector<int64_t> depths(static_cast<size_t>(taps), g.channels);
    ProductOf<Number> product;
    product.rows = g.images * g.out_height * g.out_width;
    product.outputs = product.stride = outputs;
    product.depth = depth;
    product.segments = taps;
    product.depths = depths.data();
    product.weight = numbers<Number>(packed);
    product.bias = floats(bias);
    product.residual = numbers<Number>(residual);
    product.y = static_cast<Number*>(y.mutable_data_ptr());
    product.relu = relu;
    multiply(product, [&, from = numbers<Number>(x)](int64_t first, int64_t end, const Number** sources) {
      fill_sources(g, from, zeros.data(), first, end, sources);
    });
  });
  return y;
}

}  // namespace

Shape shape() {
#ifdef BANTAM_AVX512
  if (vector_level() >= Level::avx512) return kAvx512Shape;
  if (vector_level() >= Level::avx2) return kAvx2Shape;
#endif
  return {0, 0, 0};
}

bool packs(const Tensor& weight) {
  const bool narrow = weight.scalar_type() == at::kBFloat16;
  const bool is_matrix = weight.dim() == 2 || weight.dim() == 4;
  if (!weight.device().is_cpu() || !is_matrix || weight.numel() == 0) return false;
  if (narrow) {
    return kernel<uint16_t>() != nullptr && weight.size(0) % kAvx512Shape.lanes == 0 && weight.size(1) % 2 == 0;
  }
  return weight.scalar_type() == at::kFloat && kernel<float>() != nullptr && weight.size(0) % shape().lanes == 0;
}

int64_t outputs_of(const Tensor& packed, int64_t depth, int64_t segment) {
  const bool narrow = packed.scalar_type() == at::kBFloat16;
  const bool is_there = narrow ? kernel<uint16_t>() != nullptr && segment % 2 == 0
                               : packed.scalar_type() == at::kFloat && kernel<float>() != nullptr;
  TORCH_CHECK(is_there && is_packed(packed) && packed.is_cpu() && packed.is_contiguous() && depth > 0 &&
                  segment > 0 && packed.numel() > 0 && packed.numel() % depth == 0 &&
                  packed.numel() / depth % (narrow ? kAvx512Shape.lanes : shape().lanes) == 0,
              "rows of ", depth, " inputs do not fit the panels of a weight of ", packed.numel(), " elements");
  return packed.numel() / depth;
}

Tensor pack(const Tensor& weight) {
  const bool narrow = weight.scalar_type() == at::kBFloat16;
  return panels_of(as_matrix(weight), narrow ? kAvx512Shape.width : shape().width, narrow ? 2 : 1);
}

void linear_into(const Tensor& x, const Tensor& packed, const OptionalTensor& given_bias,
                 const OptionalTensor& residual, Tensor& y, Activation activation) {
  const int64_t rows = x.size(0), depth = x.size(1), outputs = y.size(1), segments = quotient(depth, kSegment);
  const auto bias = ready(given_bias, at::kFloat);
  std::vector<int64_t> depths(static_cast<size_t>(segments), kSegment);
  depths.back() = depth - (segments - 1) * kSegment;
  by_type(packed, [&]<typename Number>(Number) {
    const Number* from = numbers<Number>(x);
    const ProductOf<Number> product{rows, outputs, depth, segments, nullptr, depths.data(), numbers<Number>(packed),
                                    floats(bias), numbers<Number>(residual),
                                    static_cast<Number*>(y.mutable_data_ptr()), outputs, false};
    multiply(product, [&](int64_t first, int64_t end, const Number** sources) {
      for (int64_t row = first; row < end; ++row) {
        for (int64_t i = 0; i < segments; ++i) *sources++ = from + row * depth + i * kSegment;
      }
    }, activation);
  });
}

Tensor linear(const Tensor& given, const Tensor& packed, const OptionalTensor& bias, const OptionalTensor& residual) {
  TORCH_CHECK(given.dim() > 0, "a linear layer takes rows, not a number");
  const int64_t depth = given.size(-1);
  const auto type = packed.scalar_type();
  const auto sizes = with_width(given, outputs_of(packed, depth, depth));
  const auto x = ready(given, type);
  TORCH_CHECK(!bias || bias->numel() == sizes.back(), "a bias has a number for each of ", sizes.back(), " outputs");
  Tensor y = at::detail::empty_cpu({x.numel() / depth, sizes.back()}, type);
  TORCH_CHECK(!residual || residual->sizes() == at::IntArrayRef(sizes), "a residual has the result's shape");
  if (x.numel() > 0) linear_into(x.view({-1, depth}), packed, bias, ready(residual, type), y);
  return y.view(sizes);
}

void multiply_here(const Product& product) { kernel<float>()(product, {0, product.outputs, 0, product.rows}); }

void multiply_here(const Bfloat16Product& product) {
  kernel<uint16_t>()(product, {0, product.outputs, 0, product.rows});
}

bool has_int8_products() { return int8_form().shape.lanes > 0; }

bool packs_int8(const Tensor& weight) {
  const int64_t lanes = int8_form().shape.lanes;
  return lanes > 0 && weight.numel() > 0 && weight.size(0) % lanes == 0 && weight.size(1) % 4 == 0;
}

Tensor pack_int8(const Tensor& weight) {
  const auto corrections = weight.sum(1, false, at::kInt).mul(128);
  return at::cat({panels_of(weight, int8_form().shape.width, 4), corrections.view(at::kChar)});
}

int64_t int8_outputs(const Tensor& packed, int64_t inputs) {
  const int64_t lanes = int8_form().shape.lanes, outputs = packed.numel() / (inputs + 4);
  TORCH_CHECK(lanes > 0 && is_packed(packed) && packed.scalar_type() == at::kChar && packed.is_contiguous() &&
                  inputs > 0 && inputs % 4 == 0 && outputs > 0 && outputs % lanes == 0 &&
                  outputs * (inputs + 4) == packed.numel(),
              "rows of ", inputs, " inputs do not fit a packed int8 weight of ", packed.numel(), " bytes");
  return outputs;
}

Tensor int8_product(const Tensor& x, const Tensor& packed, const float* scale, Finishing finish) {
  const int64_t rows = x.size(0), depth = x.size(1), outputs = int8_outputs(packed, depth);
  const Tensor y = at::detail::empty_cpu({rows, outputs}, at::kFloat);
  float* const sums = y.mutable_data_ptr<float>();
  const auto* weight = packed.const_data_ptr<int8_t>();
  const Int8Product product{rows,
                            outputs,
                            depth,
                            x.const_data_ptr<uint8_t>(),
                            weight,
                            reinterpret_cast<const int32_t*>(weight + outputs * depth),
                            scale,
                            sums};
  const auto& [multiply, form_shape] = int8_form();
  const auto kernel = multiply;
  // Four inputs are one step.
  for_parts(rows, outputs, depth / 4, form_shape, [&](const Part& part) {
    kernel(product, part);
    finish(part, sums + part.first_row * outputs + part.first_output, outputs);
  });
  return y;
}

}  // namespace bantam::panels

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("pack_panels(Tensor weight) -> Tensor", bantam::panels::pack_panels);
  library.def(
      "conv_panels(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, int[2] kernel, int[2] stride, "
      "int[2] padding, int[2] dilation, bool relu) -> Tensor",
      bantam::panels::conv_panels);
}
