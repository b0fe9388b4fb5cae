// bantam::layer_norm: layer normalisation over the last dimension, its backward pass in one sweep over
// memory. The second result is x itself for the residual connection, whose gradient the sweep adds.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "simd.h"
#include "team.h"

namespace bantam::layer_norm {
namespace {

constexpr int64_t kRows = 64;  // rows whose sums for weight and bias are added up in one go

BANTAM_INLINE float read(const float* x, int64_t i) { return x[i]; }
BANTAM_INLINE float read(const uint16_t* x, int64_t i) { return from_bfloat16(x[i]); }
BANTAM_INLINE void write(float* y, int64_t i, float value) { y[i] = value; }
BANTAM_INLINE void write(uint16_t* y, int64_t i, float value) { y[i] = to_bfloat16(value); }

/// Sums in 16 lanes, so that the compiler may use vector instructions without changing the order.
constexpr int64_t kLanes = 16;

template <typename Term>
BANTAM_INLINE float sum_of(int64_t width, Term&& term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (int64_t lane = 0; i + lane < width; ++lane) lanes[lane] += term(i + lane);
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

template <typename T>
BANTAM_INLINE void forward_rows(const T* x, const float* weight, const float* bias, T* y, float* mean, float* scale,
                                int64_t rows, int64_t width, float eps) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const float center = sum_of(width, [&](int64_t i) { return read(x, i); }) / width;
    const float variance = sum_of(width, [&](int64_t i) {
                             const float d = read(x, i) - center;
                             return d * d;
                           }) / width;
    const float factor = 1.0f / std::sqrt(variance + eps);
    mean[row] = center;
    scale[row] = factor;
    for (int64_t i = 0; i < width; ++i) write(y, i, (read(x, i) - center) * factor * weight[i] + bias[i]);
  }
}

/// dx = scale·(g − mean(g) − x̂·mean(g·x̂)) + residual with g = dy·weight and x̂ the normalised x.
template <bool kResidual, typename T>
BANTAM_INLINE void backward_rows(const T* dy, const T* x, const float* weight, const float* mean, const float* scale,
                                 const T* residual, T* dx, float* dweight, float* dbias, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row, x += width, dy += width, dx += width) {
    const float center = mean[row], factor = scale[row];
    const float g_mean = sum_of(width, [&](int64_t i) { return read(dy, i) * weight[i]; }) / width;
    const float gx_mean = sum_of(width, [&](int64_t i) {
                            return read(dy, i) * weight[i] * (read(x, i) - center);
                          }) * factor / width;
    for (int64_t i = 0; i < width; ++i) {
      const float g = read(dy, i), normed = (read(x, i) - center) * factor;
      dweight[i] += g * normed;
      dbias[i] += g;
      float value = factor * (g * weight[i] - g_mean - normed * gx_mean);
      if constexpr (kResidual) value += read(residual, row * width + i);
      write(dx, i, value);
    }
  }
}

template <typename T>
void forward_pass(const T* x, const float* weight, const float* bias, T* y, float* mean, float* scale, int64_t rows,
                  int64_t width, float eps) {
  vectorized([=]() BANTAM_INLINED { forward_rows(x, weight, bias, y, mean, scale, rows, width, eps); });
}

template <typename T>
void backward_pass(const T* dy, const T* x, const float* weight, const float* mean, const float* scale,
                   const T* residual, T* dx, float* dweight, float* dbias, int64_t rows, int64_t width) {
  if (residual != nullptr) {
    return vectorized([=]() BANTAM_INLINED {
      backward_rows<true>(dy, x, weight, mean, scale, residual, dx, dweight, dbias, rows, width);
    });
  }
  vectorized([=]() BANTAM_INLINED {
    backward_rows<false>(dy, x, weight, mean, scale, residual, dx, dweight, dbias, rows, width);
  });
}

/// [rows, width]: what the kernels see of a contiguous tensor.
struct Shape {
  int64_t rows, width;
  explicit Shape(const at::Tensor& x) : rows(x.numel() / x.size(-1)), width(x.size(-1)) {}
  int64_t blocks() const { return (rows + kRows - 1) / kRows; }
};

const uint16_t* bits(const at::Tensor& x) { return static_cast<const uint16_t*>(x.const_data_ptr()); }

/// Runs work(first row, rows, block) for each block of rows.
template <typename Work>
void for_blocks(const Shape& shape, const Work& work) {
  struct Context {
    const Shape& shape;
    const Work& work;
  } context{shape, work};
  run_tasks(shape.blocks(), [](void* given, int64_t block) {
    const auto& [shape, work] = *static_cast<const Context*>(given);
    const int64_t row = block * kRows;
    work(row, std::min(kRows, shape.rows - row), block);
  }, &context);
}

/// A vector in float32 without gaps, itself where it is.
at::Tensor wide(const at::Tensor& x) { return (x.scalar_type() == at::kFloat ? x : x.to(at::kFloat)).contiguous(); }

struct Normed {
  at::Tensor y;
  at::Tensor statistics;  // [2, rows]: means and 1/√(variance + eps)
};

Normed normalize(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  const Shape shape(x);
  const auto w = wide(weight), b = wide(bias);
  const at::Tensor y = at::detail::empty_cpu(x.sizes(), x.scalar_type());
  const at::Tensor statistics = at::detail::empty_cpu({2, shape.rows}, at::kFloat);
  float* mean = statistics.mutable_data_ptr<float>();
  float* scale = mean + shape.rows;
  for_blocks(shape, [&](int64_t row, int64_t rows, int64_t) {
    const int64_t at = row * shape.width;
    const auto* ws = w.const_data_ptr<float>();
    const auto* bs = b.const_data_ptr<float>();
    if (x.scalar_type() == at::kFloat) {
      forward_pass(x.const_data_ptr<float>() + at, ws, bs, y.mutable_data_ptr<float>() + at, mean + row, scale + row,
                   rows, shape.width, eps);
    } else {
      forward_pass(bits(x) + at, ws, bs, static_cast<uint16_t*>(y.mutable_data_ptr()) + at, mean + row, scale + row,
                   rows, shape.width, eps);
    }
  });
  return {y, statistics};
}

struct LayerNorm : torch::autograd::Function<LayerNorm> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                                                const at::Tensor& weight, const at::Tensor& bias, double eps) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto [y, statistics] = normalize(x, weight, bias, eps);
    context->saved_data["eps"] = eps;
    context->set_materialize_grads(false);
    context->save_for_backward({x, weight, bias, statistics});
    return {y, x};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &statistics = saved[3];
    if (!gradients[0].defined()) return {gradients[1], {}, {}, {}};
    if (at::GradMode::is_enabled()) return again(x, weight, bias, context->saved_data["eps"].toDouble(), gradients);
    const Shape shape(x);
    const auto w = wide(weight);
    const auto dy = gradients[0].to(x.scalar_type()).contiguous();
    const auto residual = gradients[1].defined() ? gradients[1].to(x.scalar_type()).contiguous() : at::Tensor();
    auto dx = at::empty_like(x);
    auto sums = at::zeros({shape.blocks(), 2, shape.width}, x.options().dtype(at::kFloat));
    const float* mean = statistics.const_data_ptr<float>();
    const float* scale = mean + shape.rows;
    for_blocks(shape, [&](int64_t row, int64_t rows, int64_t block) {
      const int64_t at = row * shape.width;
      float* dweight = sums.mutable_data_ptr<float>() + block * 2 * shape.width;
      float* dbias = dweight + shape.width;
      if (x.scalar_type() == at::kFloat) {
        backward_pass(dy.const_data_ptr<float>() + at, x.const_data_ptr<float>() + at, w.const_data_ptr<float>(),
                       mean + row, scale + row, residual.defined() ? residual.const_data_ptr<float>() + at : nullptr,
                       dx.mutable_data_ptr<float>() + at, dweight, dbias, rows, shape.width);
      } else {
        backward_pass(bits(dy) + at, bits(x) + at, w.const_data_ptr<float>(), mean + row, scale + row,
                          residual.defined() ? bits(residual) + at : nullptr,
                          static_cast<uint16_t*>(dx.mutable_data_ptr()) + at, dweight, dbias, rows, shape.width);
      }
    });
    sums = sums.sum(0);
    return {dx, sums[0].to(weight.scalar_type()), sums[1].to(bias.scalar_type()), {}};
  }

  /// The same by operators that can be differentiated once more.
  static torch::autograd::variable_list again(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                              double eps, const torch::autograd::variable_list& gradients) {
    torch::autograd::variable_list wanted, result;
    for (const auto& input : {x, weight, bias}) {
      if (input.requires_grad()) wanted.push_back(input);
    }
    const auto y = at::layer_norm(x, weight.sizes(), weight, bias, eps);
    auto found = torch::autograd::grad({y}, wanted, {gradients[0]}, true, true, true);
    auto next = found.begin();
    for (const auto& input : {x, weight, bias}) result.push_back(input.requires_grad() ? *next++ : at::Tensor());
    if (gradients[1].defined() && result[0].defined()) result[0] = result[0] + gradients[1];
    result.emplace_back();
    return result;
  }
};

bool is_fast(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

std::tuple<at::Tensor, at::Tensor> layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                              double eps) {
  const bool fits = x.dim() >= 1 && x.numel() > 0 && weight.dim() == 1 && weight.size(0) == x.size(-1) &&
                    bias.sizes() == weight.sizes();
  if (!fits || !is_fast(x) || !is_fast(weight) || !is_fast(bias)) {
    return {at::layer_norm(x, weight.sizes(), weight, bias, eps), x};
  }
  // Few rows take less time than autograd to remember them.
  if (!at::GradMode::is_enabled()) return {normalize(x.contiguous(), weight, bias, eps).y, x};
  auto results = LayerNorm::apply(x.contiguous(), weight, bias, eps);
  return {results[0], results[1]};
}

}  // namespace
}  // namespace bantam::layer_norm

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("layer_norm(Tensor x, Tensor weight, Tensor bias, float eps) -> (Tensor, Tensor)",
              bantam::layer_norm::layer_norm);
}
