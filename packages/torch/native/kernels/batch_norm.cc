// bantam::batch_norm: batch normalisation with what follows it in a residual network, the sum
// with a shortcut and max(·, 0), for maps whose channels lie side by side (channels last). A map is
// read twice and written once forward, where the composed operators pass over it six to nine times.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/generated/Functions.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <tuple>
#include <vector>

#include "batch_norm.h"

namespace bantam::batch_norm {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// Elements that are worth a thread.
constexpr int64_t kGrain = 1 << 15;

/// Calls work(E{}) with the element type that holds x.
template <typename Work>
void by_type(const Tensor& x, Work&& work) {
  if (x.scalar_type() == at::kFloat) return work(float{});
  work(uint16_t{});
}

template <typename E>
const E* data(const Tensor& x) {
  return x.defined() ? static_cast<const E*>(x.const_data_ptr()) : nullptr;
}

template <typename E>
E* mutable_data(const Tensor& x) {
  return x.defined() ? static_cast<E*>(x.mutable_data_ptr()) : nullptr;
}

/// The same number of threads divides the rows in the same way, so that sums come out the same again.
template <typename Work>
int64_t in_parts(int64_t rows, int64_t channels, Work&& work) {
  const int64_t most = std::max<int64_t>(1, rows * channels / kGrain);
  const int64_t parts = std::min<int64_t>({at::get_num_threads(), most, rows});
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = rows * part / parts;
      work(part, first, rows * (part + 1) / parts - first);
    }
  });
  return parts;
}

/// Two totals of each channel from each part of the rows.
struct Totals {
  explicit Totals(int64_t channels)
      : channels(channels), values(2 * channels * at::get_num_threads()), scratch(values.size()) {}

  double* first(int64_t part) { return values.data() + 2 * channels * part; }
  double* second(int64_t part) { return first(part) + channels; }
  float* scratch_of(int64_t part) { return scratch.data() + 2 * channels * part; }

  int64_t channels;
  std::vector<double> values;
  std::vector<float> scratch;
};

/// Mean and Σ(x − mean)² over all rows, as the totals of part 0.
Totals batch_moments(const Tensor& x, int64_t rows, int64_t channels) {
  Totals totals(channels);
  std::vector<int64_t> counts(at::get_num_threads());
  const int64_t parts = in_parts(rows, channels, [&](int64_t part, int64_t first, int64_t count) {
    counts[part] = count;
    by_type(x, [&]<typename E>(E) {
      moments_pass(data<E>(x) + first * channels, count, channels, totals.first(part), totals.second(part),
                   totals.scratch_of(part));
    });
  });
  double* mean = totals.first(0);
  double* squares = totals.second(0);
  int64_t seen = counts[0];
  for (int64_t part = 1; part < parts; ++part) {
    const double share = static_cast<double>(counts[part]) / static_cast<double>(seen + counts[part]);
    for (int64_t c = 0; c < channels; ++c) {
      const double distance = totals.first(part)[c] - mean[c];
      mean[c] += share * distance;
      squares[c] += totals.second(part)[c] + share * static_cast<double>(seen) * distance * distance;
    }
    seen += counts[part];
  }
  return totals;
}

/// Rows of channels in a map [N, C, H, W].
int64_t rows_of(const Tensor& x) { return x.size(0) * x.size(2) * x.size(3); }

/// scale and shift of every channel, one after the other.
std::vector<float> affine(const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& inverse) {
  const int64_t channels = weight.numel();
  std::vector<float> values(2 * channels);
  for (int64_t c = 0; c < channels; ++c) {
    values[c] = data<float>(weight)[c] * data<float>(inverse)[c];
    values[channels + c] = data<float>(bias)[c] - data<float>(mean)[c] * values[c];
  }
  return values;
}

/// The kernels read and write memory as if it were so.
void check(const Tensor& x, std::initializer_list<Tensor> maps, std::initializer_list<Tensor> per_channel) {
  const auto last = at::MemoryFormat::ChannelsLast;
  TORCH_CHECK(x.dim() == 4 && x.is_contiguous(last) &&
                  (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
              "a batch norm takes maps [N, C, H, W] in float32 or bfloat16, channels last");
  for (const auto& map : maps) {
    TORCH_CHECK(!map.defined() || (map.is_cpu() && map.sizes() == x.sizes() && map.is_contiguous(last) &&
                                   map.scalar_type() == x.scalar_type()),
                "a batch norm's residual, result and gradient are of the shape, type and layout of its input");
  }
  for (const auto& values : per_channel) {
    TORCH_CHECK(values.is_cpu() && values.dim() == 1 && values.size(0) == x.size(1) && values.is_contiguous() &&
                    values.scalar_type() == at::kFloat,
                "a batch norm of ", x.size(1), " channels takes as many float32 weights, biases, means and variances");
  }
}

Tensor normalized(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                  const Tensor& inverse, const OptionalTensor& residual, bool relu) {
  const int64_t channels = x.size(1);
  const auto values = affine(weight, bias, mean, inverse);
  const Channels per_channel{channels, data<float>(mean), values.data(), values.data() + channels};
  auto y = at::empty_like(x, at::MemoryFormat::ChannelsLast);
  in_parts(rows_of(x), channels, [&](int64_t, int64_t first, int64_t count) {
    by_type(x, [&]<typename E>(E) {
      const int64_t start = first * channels;
      normalize_pass(data<E>(x) + start, residual ? data<E>(*residual) + start : nullptr,
                     mutable_data<E>(y) + start, count, per_channel, relu);
    });
  });
  return y;
}

/// → y, and the mean and 1/√(variance + eps) that it was made with.
std::tuple<Tensor, Tensor, Tensor> forward_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                               const Tensor& running_mean, const Tensor& running_var,
                                               const OptionalTensor& residual, bool relu, bool training,
                                               double momentum, double eps) {
  check(x, {residual.value_or(Tensor())}, {weight, bias, running_mean, running_var});
  const int64_t rows = rows_of(x);
  const int64_t channels = x.size(1);
  auto mean = training ? at::empty_like(running_mean) : running_mean.clone();
  auto inverse = at::empty_like(running_var);
  float* inverses = mutable_data<float>(inverse);
  if (training) {
    auto totals = batch_moments(x, rows, channels);
    const double* means = totals.first(0);
    const double* squares = totals.second(0);
    const double count = static_cast<double>(rows);
    float* averages = mutable_data<float>(running_mean);
    float* variances = mutable_data<float>(running_var);
    for (int64_t c = 0; c < channels; ++c) {
      mutable_data<float>(mean)[c] = static_cast<float>(means[c]);
      inverses[c] = static_cast<float>(1 / std::sqrt(squares[c] / count + eps));
      averages[c] = static_cast<float>((1 - momentum) * averages[c] + momentum * means[c]);
      variances[c] = static_cast<float>((1 - momentum) * variances[c] + momentum * squares[c] / (count - 1));
    }
  } else {
    const float* variances = data<float>(running_var);
    for (int64_t c = 0; c < channels; ++c) inverses[c] = static_cast<float>(1 / std::sqrt(variances[c] + eps));
  }
  return {normalized(x, weight, bias, mean, inverse, residual, relu), mean, inverse};
}

/// → ∂/∂x, ∂/∂weight, ∂/∂bias, ∂/∂residual; the last is the gradient itself if nothing precedes it.
/// y is what came out, where max(·, 0) followed a residual; else undefined.
std::tuple<Tensor, Tensor, Tensor, Tensor> backward_cpu(const Tensor& gradient, const Tensor& x, const Tensor& weight,
                                                        const Tensor& bias, const Tensor& mean,
                                                        const Tensor& inverse, const OptionalTensor& y, bool relu,
                                                        bool training) {
  const auto dy = gradient.to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
  check(x, {dy, y.value_or(Tensor())}, {weight, bias, mean, inverse});
  const int64_t rows = rows_of(x);
  const int64_t channels = x.size(1);
  const auto gate = !relu ? Gate::open : y ? Gate::by_result : Gate::by_input;
  const auto values = affine(weight, bias, mean, inverse);
  const Channels per_channel{channels, data<float>(mean), values.data(), values.data() + channels};
  const auto g = gate == Gate::by_result ? at::empty_like(dy, at::MemoryFormat::ChannelsLast) : dy;
  const auto result = y.value_or(Tensor());

  Totals totals(channels);
  const int64_t parts = in_parts(rows, channels, [&](int64_t part, int64_t first, int64_t count) {
    by_type(x, [&]<typename E>(E) {
      const int64_t start = first * channels;
      sums_pass(data<E>(dy) + start, data<E>(x) + start, result.defined() ? data<E>(result) + start : nullptr,
                gate == Gate::by_result ? mutable_data<E>(g) + start : nullptr, count, per_channel, gate,
                totals.first(part), totals.second(part), totals.scratch_of(part));
    });
  });

  auto dweight = at::empty_like(weight);
  auto dbias = at::empty_like(bias);
  std::vector<float> slopes(2 * channels);
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0, product = 0;
    for (int64_t part = 0; part < parts; ++part) {
      sum += totals.first(part)[c];
      product += totals.second(part)[c];
    }
    const double inverse_std = data<float>(inverse)[c];
    mutable_data<float>(dbias)[c] = static_cast<float>(sum);
    mutable_data<float>(dweight)[c] = static_cast<float>(product * inverse_std);
    if (!training) continue;  // the statistics do not depend on x
    const double scale = values[c] / static_cast<double>(rows);
    slopes[c] = static_cast<float>(scale * product * inverse_std * inverse_std);
    slopes[channels + c] = static_cast<float>(scale * sum);
  }

  auto dx = at::empty_like(x, at::MemoryFormat::ChannelsLast);
  const auto rest = gate == Gate::by_input ? gate : Gate::open;
  in_parts(rows, channels, [&](int64_t, int64_t first, int64_t count) {
    by_type(x, [&]<typename E>(E) {
      const int64_t start = first * channels;
      input_pass(data<E>(g) + start, data<E>(x) + start, mutable_data<E>(dx) + start, count, per_channel, rest,
                 training ? slopes.data() : nullptr, training ? slopes.data() + channels : nullptr);
    });
  });
  return {dx, dweight, dbias, g};
}

std::tuple<Tensor, Tensor, Tensor> forward_meta(const Tensor& x, const Tensor&, const Tensor&,
                                                const Tensor& running_mean, const Tensor& running_var,
                                                const OptionalTensor&, bool, bool, double, double) {
  return {at::empty_like(x), at::empty_like(running_mean), at::empty_like(running_var)};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> backward_meta(const Tensor& gradient, const Tensor& x,
                                                         const Tensor& weight, const Tensor& bias, const Tensor&,
                                                         const Tensor&, const OptionalTensor& y, bool, bool) {
  return {at::empty_like(x), at::empty_like(weight), at::empty_like(bias), y ? at::empty_like(x) : gradient};
}

struct BatchNorm : torch::autograd::Function<BatchNorm> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                        const OptionalTensor& residual, bool relu, bool training, double momentum, double eps) {
    static auto op = c10::Dispatcher::singleton()
                         .findSchemaOrThrow("bantam::batch_norm_forward", "")
                         .typed<decltype(forward_cpu)>();
    at::AutoDispatchBelowADInplaceOrView below;
    auto [y, mean, inverse] =
        op.call(x, weight, bias, running_mean, running_var, residual, relu, training, momentum, eps);
    context->saved_data["relu"] = relu;
    context->saved_data["training"] = training;
    context->saved_data["residual"] = residual.has_value();
    context->save_for_backward({x, weight, bias, mean, inverse, residual && relu ? y : Tensor()});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    static auto op = c10::Dispatcher::singleton()
                         .findSchemaOrThrow("bantam::batch_norm_backward", "")
                         .typed<decltype(backward_cpu)>();
    const auto saved = context->get_saved_variables();
    const auto y = saved[5].defined() ? OptionalTensor(saved[5]) : std::nullopt;
    auto [dx, dweight, dbias, dresidual] =
        op.call(gradients[0], saved[0], saved[1], saved[2], saved[3], saved[4], y,
                context->saved_data["relu"].toBool(), context->saved_data["training"].toBool());
    if (!context->saved_data["residual"].toBool()) dresidual = Tensor();
    return {dx, dweight, dbias, Tensor(), Tensor(), dresidual, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

/// Makes the result of a batch norm once more.
struct MadeAgain : torch::autograd::SavedVariableHooks {
  explicit MadeAgain(c10::intrusive_ptr<torch::autograd::Node> norm) : norm_(std::move(norm)) {}

  void call_pack_hook(const Tensor&) override {}

  Tensor call_unpack_hook() override {
    const at::NoGradGuard no_grad;
    auto& context = static_cast<torch::autograd::CppNode<BatchNorm>&>(*norm_).ctx_;
    const auto saved = context.get_saved_variables();
    if (saved[0].is_meta()) return at::empty_like(saved[0]);
    return normalized(saved[0], saved[1], saved[2], saved[3], saved[4], {}, context.saved_data["relu"].toBool());
  }

 private:
  const c10::intrusive_ptr<torch::autograd::Node> norm_;
};

/// What the gradient of a convolution or an average pooling keeps of its input.
torch::autograd::SavedVariable* input_of(torch::autograd::Node& user) {
  using namespace torch::autograd::generated;
  const auto name = user.name();
  if (name == "ConvolutionBackward0") return &static_cast<ConvolutionBackward0&>(user).input_;
  if (name == "AvgPool2DBackward0") return &static_cast<AvgPool2DBackward0&>(user).self_;
  return nullptr;
}

/// Has the gradient of `made` make `normed`, which `made` is a convolution or an average pooling of, again
/// instead of keeping it. False where autograd would not: `normed` is no result of batch_norm, or one with a
/// residual, which would be needed too.
bool drop_normed(const Tensor& made, const Tensor& normed) {
  const auto user = made.grad_fn(), norm = normed.grad_fn();
  auto* const node = dynamic_cast<torch::autograd::CppNode<BatchNorm>*>(norm.get());
  if (!user || node == nullptr || node->ctx_.saved_data["residual"].toBool()) return false;
  auto* const input = input_of(*user);
  if (input == nullptr || input->has_hooks()) return false;
  const auto kept = input->get_raw_data();
  if (!kept || !kept->is_same(normed)) return false;
  input->register_hooks(std::make_unique<MadeAgain>(norm));
  return true;
}

bool is_fast(const Tensor& x, const Tensor& weight, const Tensor& running_mean, const OptionalTensor& residual) {
  const auto type = x.scalar_type();
  const auto last = at::MemoryFormat::ChannelsLast;
  return (x.is_cpu() || x.is_meta()) && x.dim() == 4 && x.numel() > 0 && x.is_contiguous(last) &&
         (type == at::kFloat || type == at::kBFloat16) && weight.scalar_type() == at::kFloat &&
         running_mean.scalar_type() == at::kFloat &&
         (!residual || (residual->sizes() == x.sizes() && residual->scalar_type() == type &&
                        residual->is_contiguous(last)));
}

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const OptionalTensor& residual, bool relu, bool training,
                  double momentum, double eps) {
  if (is_fast(x, weight, running_mean, residual)) {
    return BatchNorm::apply(x, weight, bias, running_mean, running_var, residual, relu, training, momentum, eps);
  }
  auto y = at::batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps, true);
  if (residual) y = y + *residual;
  return relu ? at::relu(y) : y;
}

}  // namespace
}  // namespace bantam::batch_norm

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def(
      "batch_norm(Tensor x, Tensor weight, Tensor bias, Tensor running_mean, Tensor running_var, "
      "Tensor? residual, bool relu, bool training, float momentum, float eps) -> Tensor",
      bantam::batch_norm::batch_norm);
  library.def(
      "batch_norm_forward(Tensor x, Tensor weight, Tensor bias, Tensor running_mean, Tensor running_var, "
      "Tensor? residual, bool relu, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)");
  library.def(
      "batch_norm_backward(Tensor gradient, Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor inverse, "
      "Tensor? y, bool relu, bool training) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def("drop_normed(Tensor made, Tensor normed) -> bool", bantam::batch_norm::drop_normed);
}

TORCH_LIBRARY_IMPL(bantam, CPU, library) {
  library.impl("batch_norm_forward", bantam::batch_norm::forward_cpu);
  library.impl("batch_norm_backward", bantam::batch_norm::backward_cpu);
}

TORCH_LIBRARY_IMPL(bantam, Meta, library) {
  library.impl("batch_norm_forward", bantam::batch_norm::forward_meta);
  library.impl("batch_norm_backward", bantam::batch_norm::backward_meta);
}
