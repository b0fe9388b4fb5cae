// bantam::pack_panels and bantam::conv_panels, and what other layers for inference take from panel_layers.h.
// oneDNN's products of the same shapes cost a batch of one image several times their own duration: each call
// looks its kernel up anew, and brings a convolution's weight into the order of the map at hand.
#include "panel_layers.h"

#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "processor.h"
#include "shape.h"

namespace bantam::panels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

/// Multiply-adds below which a second thread takes longer to wake up than to help.
constexpr int64_t kAlone = 1 << 19;
/// Rows whose inputs stay in a core's second cache beside a panel.
constexpr int64_t kBlockRows = 96;
/// Inputs of a segment of a linear layer; a convolution's are its taps.
constexpr int64_t kSegment = 1024;
/// Parts of a product for each thread: they may differ in duration.
constexpr int64_t kPartsPerThread = 3;

using Kernel = void (*)(const Product&, const Part&);

Kernel kernel() {
#ifdef BANTAM_AVX512
  if (vector_level() >= Level::avx512) return multiply_avx512;
  if (vector_level() >= Level::avx2) return multiply_avx2;
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
    if (vector_level() >= Level::avx2) return {multiply_int8_avx2, kAvx2Shape};
#endif
    return {nullptr, {0, 0}};
  }();
  return found;
}

int64_t quotient(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

/// Calls part(Part) for all of a product, on several threads if it is large enough.
template <typename Work>
void for_parts(int64_t rows, int64_t outputs, int64_t depth, int64_t width, const Work& work) {
  const int64_t threads = at::in_parallel_region() ? 1 : at::get_num_threads();
  if (threads == 1 || rows * outputs * depth < kAlone) {
    for (int64_t row = 0; row < rows; row += kBlockRows) {
      work(Part{0, outputs, row, std::min(rows, row + kBlockRows)});
    }
    return;
  }
  constexpr int64_t kUnit = 12;  // whole tiles
  const int64_t panels = quotient(outputs, width), wanted = kPartsPerThread * threads;
  const int64_t units = quotient(rows, kUnit);
  // Panels are divided first, for the rows are read from memory once and the weights are not.
  int64_t blocks = quotient(rows, kBlockRows);
  if (blocks * panels < wanted) blocks = std::min(units, quotient(wanted, panels));
  const int64_t block = quotient(units, blocks) * kUnit;
  const int64_t columns = blocks >= wanted ? panels : 1;
  const int64_t across = quotient(panels, columns);
  struct Context {
    const Work& work;
    int64_t rows, outputs, block, across, step;
  } context{work, rows, outputs, block, across, columns * width};
  run_tasks(quotient(rows, block) * across, [](void* given, int64_t task) {
    const auto& c = *static_cast<const Context*>(given);
    const int64_t row = task / c.across * c.block, output = task % c.across * c.step;
    c.work(Part{output, std::min(c.outputs, output + c.step), row, std::min(c.rows, row + c.block)});
  }, &context);
}

/// A product over the threads. fill(first, end, sources) says where the inputs of these rows are.
template <typename Number, typename Fill>
void multiply(const ProductOf<Number>& product, void (*run)(const ProductOf<Number>&, const Part&), const Fill& fill) {
  for_parts(product.rows, product.outputs, product.depth, shape().width, [&](const Part& part) {
    thread_local std::vector<const Number*> sources;
    sources.resize(static_cast<size_t>((part.end_row - part.first_row) * product.segments));
    fill(part.first_row, part.end_row, sources.data());
    ProductOf<Number> own = product;
    own.sources = sources.data();
    run(own, part);
  });
}

const float* floats(const OptionalTensor& tensor) { return tensor ? tensor->const_data_ptr<float>() : nullptr; }

OptionalTensor as_floats(const OptionalTensor& bias) {
  return bias ? OptionalTensor(bias->to(at::kFloat).contiguous()) : std::nullopt;
}

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

/// Where the inputs of some locations of the result are, tap by tap; those beyond the map are zeros.
template <typename Number>
void fill_sources(const Geometry& g, const Number* x, const Number* zeros, int64_t first, int64_t end,
                  const Number** sources) {
  for (int64_t location = first; location < end; ++location) {
    const int64_t column = location % g.out_width, line = location / g.out_width;
    const Number* image = x + line / g.out_height * g.height * g.width * g.channels;
    const int64_t top = line % g.out_height * g.stride[0] - g.padding[0];
    const int64_t left = column * g.stride[1] - g.padding[1];
    for (int64_t ky = 0; ky < g.kernel[0]; ++ky) {
      const int64_t row = top + ky * g.dilation[0];
      for (int64_t kx = 0; kx < g.kernel[1]; ++kx) {
        const int64_t at = left + kx * g.dilation[1];
        const bool inside = row >= 0 && row < g.height && at >= 0 && at < g.width;
        *sources++ = inside ? image + (row * g.width + at) * g.channels : zeros;
      }
    }
  }
}

/// Whether convolutions compute in bfloat16 by panels. AMX has faster products.
bool has_bfloat16() {
#ifdef BANTAM_AVX512
  return level() == Level::avx512_bf16;
#else
  return false;
#endif
}

/// Outputs of a convolution's packed weight.
int64_t conv_outputs(const Tensor& packed, int64_t depth, int64_t channels) {
  if (packed.scalar_type() == at::kFloat) return outputs_of(packed, depth);
  TORCH_CHECK(has_bfloat16() && is_packed(packed) && packed.is_contiguous() && packed.scalar_type() == at::kBFloat16 &&
                  channels > 0 && channels % 2 == 0 && packed.numel() > 0 && packed.numel() % depth == 0 &&
                  packed.numel() / depth % kAvx512Shape.lanes == 0,
              "rows of ", depth, " inputs do not fit the panels of a weight of ", packed.numel(), " elements");
  return packed.numel() / depth;
}

Tensor pack_panels(const Tensor& weight) {
  if (packs(weight)) return pack(weight);
  const bool narrow = has_bfloat16() && weight.device().is_cpu() && weight.scalar_type() == at::kBFloat16 &&
                      weight.dim() == 4 && weight.numel() > 0 && weight.size(0) % kAvx512Shape.lanes == 0 &&
                      weight.size(1) % 2 == 0;
  return narrow ? panels_of(as_matrix(weight), kAvx512Shape.width, 2) : weight.contiguous();
}

void check_geometry(at::IntArrayRef kernel, at::IntArrayRef stride, at::IntArrayRef padding,
                    at::IntArrayRef dilation) {
  constexpr int64_t kMost = 1 << 20;  // so that no size overflows
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
  const auto x = given.to(type).contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t taps = kernel[0] * kernel[1], depth = taps * x.size(1);
  const int64_t outputs = conv_outputs(packed, depth, x.size(1));
  const Geometry g{x.size(0), x.size(2), x.size(3), x.size(1),
                   out_size(x.size(2), kernel[0], stride[0], padding[0], dilation[0]),
                   out_size(x.size(3), kernel[1], stride[1], padding[1], dilation[1]),
                   kernel, stride, padding, dilation};
  TORCH_CHECK(g.out_height >= 1 && g.out_width >= 1, "a map of ", g.height, "×", g.width,
              " is smaller than the convolution's kernel");
  auto y = at::empty({g.images, outputs, g.out_height, g.out_width},
                     x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const auto bias = as_floats(given_bias);
  TORCH_CHECK(!bias || bias->numel() == outputs, "a bias has a number for each of ", outputs, " outputs");
  OptionalTensor residual;
  if (given_residual) {
    TORCH_CHECK(given_residual->sizes() == y.sizes(), "a convolution's residual has the result's shape");
    residual = given_residual->to(type).contiguous(at::MemoryFormat::ChannelsLast);
  }
  const auto convolve = [&]<typename Number>(void (*run)(const ProductOf<Number>&, const Part&)) {
    const std::vector<Number> zeros(static_cast<size_t>(g.channels));
    const std::vector<int64_t> depths(static_cast<size_t>(taps), g.channels);
    const auto numbers = [](const Tensor& tensor) { return static_cast<const Number*>(tensor.const_data_ptr()); };
    ProductOf<Number> product;
    product.rows = g.images * g.out_height * g.out_width;
    product.outputs = product.stride = outputs;
    product.depth = depth;
    product.segments = taps;
    product.depths = depths.data();
    product.weight = numbers(packed);
    product.bias = floats(bias);
    product.residual = residual ? numbers(*residual) : nullptr;
    product.y = static_cast<Number*>(y.mutable_data_ptr());
    product.relu = relu;
    multiply(product, run, [&, from = numbers(x)](int64_t first, int64_t end, const Number** sources) {
      fill_sources(g, from, zeros.data(), first, end, sources);
    });
  };
#ifdef BANTAM_AVX512
  if (type == at::kBFloat16) {
    convolve(multiply_bfloat16_avx512);
    return y;
  }
#endif
  convolve(panels::kernel());
  return y;
}

}  // namespace

Shape shape() {
#ifdef BANTAM_AVX512
  if (vector_level() >= Level::avx512) return kAvx512Shape;
  if (vector_level() >= Level::avx2) return kAvx2Shape;
#endif
  return {0, 0};
}

bool packs(const Tensor& weight) {
  const int64_t lanes = shape().lanes;
  return lanes > 0 && weight.device().is_cpu() && weight.scalar_type() == at::kFloat &&
         (weight.dim() == 2 || weight.dim() == 4) && weight.numel() > 0 && weight.size(0) % lanes == 0;
}

int64_t outputs_of(const Tensor& packed, int64_t depth) {
  const int64_t lanes = shape().lanes;
  TORCH_CHECK(lanes > 0 && is_packed(packed) && packed.is_cpu() && packed.is_contiguous() &&
                  packed.scalar_type() == at::kFloat && depth > 0 && packed.numel() > 0 &&
                  packed.numel() % depth == 0 && packed.numel() / depth % lanes == 0,
              "rows of ", depth, " inputs do not fit the panels of a weight of ", packed.numel(), " elements");
  return packed.numel() / depth;
}

Tensor pack(const Tensor& weight) { return panels_of(as_matrix(weight), shape().width, 1); }

void linear_into(const Tensor& x, const Tensor& packed, const OptionalTensor& given_bias,
                 const OptionalTensor& residual, Tensor& y) {
  const int64_t rows = x.size(0), depth = x.size(1), outputs = y.size(1), segments = quotient(depth, kSegment);
  const auto bias = as_floats(given_bias);
  std::vector<int64_t> depths(static_cast<size_t>(segments), kSegment);
  depths.back() = depth - (segments - 1) * kSegment;
  const float* from = x.const_data_ptr<float>();
  const Product product{rows, outputs, depth, segments, nullptr, depths.data(), packed.const_data_ptr<float>(),
                        floats(bias), floats(residual), y.mutable_data_ptr<float>(), outputs, false};
  multiply(product, kernel(), [&](int64_t first, int64_t end, const float** sources) {
    for (int64_t row = first; row < end; ++row) {
      for (int64_t i = 0; i < segments; ++i) *sources++ = from + row * depth + i * kSegment;
    }
  });
}

Tensor linear(const Tensor& given, const Tensor& packed, const OptionalTensor& bias, const OptionalTensor& residual) {
  TORCH_CHECK(given.dim() > 0, "a linear layer takes rows, not a number");
  const int64_t depth = given.size(-1);
  const auto sizes = with_width(given, outputs_of(packed, depth));
  const auto x = given.to(at::kFloat).contiguous();
  TORCH_CHECK(!bias || bias->numel() == sizes.back(), "a bias has a number for each of ", sizes.back(), " outputs");
  auto y = at::empty({x.numel() / depth, sizes.back()}, x.options());
  OptionalTensor added;
  if (residual) {
    TORCH_CHECK(residual->sizes() == at::IntArrayRef(sizes), "a residual has the result's shape");
    added = residual->to(at::kFloat).contiguous();
  }
  if (x.numel() > 0) linear_into(x.view({-1, depth}), packed, bias, added, y);
  return y.view(sizes);
}

void multiply_here(const Product& product) { kernel()(product, {0, product.outputs, 0, product.rows}); }

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

Tensor int8_product(const Tensor& x, const Tensor& packed, const Tensor& scale) {
  const int64_t rows = x.size(0), depth = x.size(1), outputs = int8_outputs(packed, depth);
  auto y = at::empty({rows, outputs}, at::kFloat);
  const auto* weight = packed.const_data_ptr<int8_t>();
  const Int8Product product{rows,
                            outputs,
                            depth,
                            x.const_data_ptr<uint8_t>(),
                            weight,
                            reinterpret_cast<const int32_t*>(weight + outputs * depth),
                            scale.const_data_ptr<float>(),
                            y.mutable_data_ptr<float>()};
  const auto& [run, form_shape] = int8_form();
  const auto kernel = run;
  // Four inputs are one step.
  for_parts(rows, outputs, depth / 4, form_shape.width, [&](const Part& part) { kernel(product, part); });
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
