// The explicit table. One line an op; implementations fastest first, the plain reference last.
#include "compute/ops/table.h"

#include "compute/ops/attention/attention.h"
#include "compute/ops/attention/fused.h"
#include "compute/ops/conv/conv.h"
#include "compute/ops/conv/winograd.h"
#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/linear/linear.h"
#include "compute/ops/matmul/few_rows.h"
#include "compute/ops/matmul/matmul.h"
#include "compute/ops/matmul/tiles.h"
#include "compute/ops/move/move.h"
#include "compute/ops/norm/norm.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/pool/pool.h"
#include "compute/ops/quant/quant.h"
#include "compute/ops/quant/quantised_matmul.h"
#include "compute/ops/quant/unscaled.h"
#include "compute/ops/reduce/reduce.h"
#include "compute/ops/reference.h"
#include "compute/ops/resize/resize.h"
#include "compute/ops/rnn/rnn.h"
#include "compute/ops/signal/signal.h"
#include "compute/ops/vision/vision.h"

namespace motet::ops {
namespace {

template <PlanFunction plan>
constexpr Implementation kComputing{"reference", plan_computing<plan>};
template <PlanFunction plan>
constexpr Implementation kMoving{"reference", plan_moving<plan>};
template <PlanFunction plan>
constexpr Implementation kSmallOnes{"small", plan_small<plan>};
template <PlanFunction plan>
constexpr Implementation kOwn{"own", plan};
template <PlanFunction plan>
constexpr Implementation kOnednn{"onednn", plan};
template <PlanFunction plan>
constexpr Implementation kOnednnWidths{"onednn", onednn::plan_for_widths<plan>};

constexpr std::string_view kOnnx = "", kMicrosoft = "com.microsoft", kMotet = "motet";

constexpr Implementation kUnary = kComputing<plan_unary>;
constexpr Implementation kOnednnUnary = kOnednn<onednn::plan_eltwise>;
constexpr Implementation kArithmetic = kComputing<plan_arithmetic>;
constexpr Implementation kOnednnBinary = kOnednn<onednn::plan_binary>;

constexpr Implementation kWinograd{"winograd", plan_winograd};
constexpr Implementation kTiles{"tiles", plan_tiled_product};
constexpr Implementation kOnednnGrid{"onednn grid", onednn::plan_product_grid};
constexpr Implementation kFewRowsProduct{"panels", plan_few_rows};

constexpr Row kUnaryRows[] = {
    {kOnnx, "Abs", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "Acos", {kUnary}},
    {kOnnx, "Acosh", {kUnary}},
    {kOnnx, "Asin", {kUnary}},
    {kOnnx, "Asinh", {kUnary}},
    {kOnnx, "Atan", {kUnary}},
    {kOnnx, "Atanh", {kUnary}},
    {kOnnx, "BitwiseNot", {kUnary}},
    {kOnnx, "Ceil", {kUnary}},
    {kOnnx, "Celu", {kUnary}},
    {kOnnx, "Clip", {kSmallOnes<plan_clip>, kOnednnUnary, kComputing<plan_clip>}},
    {kOnnx, "Cos", {kUnary}},
    {kOnnx, "Cosh", {kUnary}},
    {kOnnx, "Elu", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "Erf", {kUnary}},
    {kOnnx, "Exp", {kUnary}},
    {kOnnx, "Floor", {kUnary}},
    {kOnnx, "Gelu", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "HardSigmoid", {kUnary}},
    {kOnnx, "HardSwish", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "IsInf", {kComputing<plan_test>}},
    {kOnnx, "IsNaN", {kComputing<plan_test>}},
    {kOnnx, "LeakyRelu", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "Log", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "Mish", {kUnary}},
    {kOnnx, "Neg", {kUnary}},
    {kOnnx, "Not", {kUnary}},
    {kOnnx, "Reciprocal", {kUnary}},
    {kOnnx, "Relu", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "Round", {kUnary}},
    {kOnnx, "Selu", {kUnary}},
    {kOnnx, "Shrink", {kUnary}},
    {kOnnx, "Sigmoid", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "Sign", {kUnary}},
    {kOnnx, "Sin", {kUnary}},
    {kOnnx, "Sinh", {kUnary}},
    {kOnnx, "Softplus", {kUnary}},
    {kOnnx, "Softsign", {kUnary}},
    {kOnnx, "Sqrt", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "Swish", {kUnary}},
    {kOnnx, "Tan", {kUnary}},
    {kOnnx, "Tanh", {kSmallOnes<plan_unary>, kOnednnUnary, kUnary}},
    {kOnnx, "ThresholdedRelu", {kUnary}},
    {kMicrosoft, "Gelu", {kUnary}},
    {kMicrosoft, "QuickGelu", {kUnary}},
};

constexpr Row kBinaryRows[] = {
    {kOnnx, "Add", {kSmallOnes<plan_arithmetic>, kOnednnBinary, kArithmetic}},
    {kOnnx, "And", {kArithmetic}},
    {kOnnx, "BitShift", {kArithmetic}},
    {kOnnx, "BitwiseAnd", {kArithmetic}},
    {kOnnx, "BitwiseOr", {kArithmetic}},
    {kOnnx, "BitwiseXor", {kArithmetic}},
    {kOnnx, "Div", {kSmallOnes<plan_arithmetic>, kOnednnBinary, kArithmetic}},
    {kOnnx, "Equal", {kComputing<plan_comparison>}},
    {kOnnx, "Greater", {kComputing<plan_comparison>}},
    {kOnnx, "GreaterOrEqual", {kComputing<plan_comparison>}},
    {kOnnx, "Less", {kComputing<plan_comparison>}},
    {kOnnx, "LessOrEqual", {kComputing<plan_comparison>}},
    {kOnnx, "Max", {kSmallOnes<plan_variadic>, kOnednnBinary, kComputing<plan_variadic>}},
    {kOnnx, "Mean", {kComputing<plan_variadic>}},
    {kOnnx, "Min", {kSmallOnes<plan_variadic>, kOnednnBinary, kComputing<plan_variadic>}},
    {kOnnx, "Mod", {kArithmetic}},
    {kOnnx, "Mul", {kSmallOnes<plan_arithmetic>, {"channels", plan_scale_channels}, kOnednnBinary, kArithmetic}},
    {kOnnx, "Or", {kArithmetic}},
    {kOnnx, "Pow", {kComputing<plan_pow>}},
    {kOnnx, "PRelu", {kArithmetic}},
    {kOnnx, "Sub", {kSmallOnes<plan_arithmetic>, kOnednnBinary, kArithmetic}},
    {kOnnx, "Sum", {kComputing<plan_variadic>}},
    {kOnnx, "Where", {kMoving<plan_where>}},
    {kOnnx, "Xor", {kArithmetic}},
};

constexpr Row kLinearRows[] = {
    {kOnnx, "AveragePool", {kOnednn<onednn::plan_pooling>, kComputing<plan_average_pool>}},
    {kOnnx,
     "Conv",
     {{"depthwise", plan_depthwise}, kWinograd, kOnednnWidths<onednn::plan_convolution>, kComputing<plan_conv>}},
    {kOnnx, "ConvTranspose", {kOnednnWidths<onednn::plan_deconvolution>, kComputing<plan_conv_transpose>}},
    {kOnnx, "Gemm", {kFewRowsProduct, kTiles, kOnednnGrid, kOnednnWidths<onednn::plan_matmul>, kComputing<plan_gemm>}},
    {kOnnx, "GlobalAveragePool", {kOnednn<onednn::plan_pooling>, kComputing<plan_global_pool>}},
    {kOnnx, "GlobalLpPool", {kComputing<plan_global_pool>}},
    {kOnnx, "GlobalMaxPool", {kOnednn<onednn::plan_pooling>, kComputing<plan_global_pool>}},
    {kOnnx, "LpPool", {kComputing<plan_lp_pool>}},
    {kOnnx,
     "MatMul",
     {kFewRowsProduct, kTiles, kOnednnGrid, kOnednnWidths<onednn::plan_matmul>, kComputing<plan_matmul>}},
    {kOnnx, "MaxPool", {kOnednn<onednn::plan_pooling>, kComputing<plan_max_pool>}},
};

constexpr Row kNormRows[] = {
    {kOnnx, "BatchNormalization", {kOnednn<onednn::plan_batch_normalization>, kComputing<plan_batch_norm>}},
    {kOnnx, "GroupNormalization", {{"own", plan_group_norm_of_pixels}, kComputing<plan_group_norm>}},
    {kOnnx, "Hardmax", {kComputing<plan_softmax>}},
    {kOnnx, "InstanceNormalization", {kComputing<plan_instance_norm>}},
    {kOnnx, "LRN", {kOnednn<onednn::plan_lrn>, kComputing<plan_lrn>}},
    {kOnnx, "LayerNormalization", {kOnednn<onednn::plan_layer_normalization>, kComputing<plan_layer_norm>}},
    {kOnnx, "LogSoftmax", {kSmallOnes<plan_softmax>, kOnednn<onednn::plan_softmax>, kComputing<plan_softmax>}},
    {kOnnx, "LpNormalization", {kComputing<plan_lp_norm>}},
    {kOnnx, "RMSNormalization", {kComputing<plan_rms_norm>}},
    {kOnnx, "SimplifiedLayerNormalization", {kComputing<plan_rms_norm>}},
    {kOnnx, "Softmax", {kSmallOnes<plan_softmax>, kOnednn<onednn::plan_softmax>, kComputing<plan_softmax>}},
};

constexpr Implementation kReduce = kComputing<plan_reduce>;
constexpr Implementation kOnednnReduce = kOnednn<onednn::plan_reduction>;

constexpr Row kReduceRows[] = {
    {kOnnx, "ArgMax", {kComputing<plan_arg_extreme>}},
    {kOnnx, "ArgMin", {kComputing<plan_arg_extreme>}},
    {kOnnx, "CumProd", {kComputing<plan_cumulative>}},
    {kOnnx, "CumSum", {kComputing<plan_cumulative>}},
    {kOnnx, "ReduceL1", {kReduce}},
    {kOnnx, "ReduceL2", {kReduce}},
    {kOnnx, "ReduceLogSum", {kReduce}},
    {kOnnx, "ReduceLogSumExp", {kReduce}},
    // oneDNN's starts from the least finite number, and gives that for a row of minus infinities.
    {kOnnx, "ReduceMax", {kReduce}},
    {kOnnx, "ReduceMean", {kOnednnReduce, kReduce}},
    {kOnnx, "ReduceMin", {kReduce}},
    {kOnnx, "ReduceProd", {kReduce}},
    {kOnnx, "ReduceSum", {kOnednnReduce, kReduce}},
    {kOnnx, "ReduceSumSquare", {kReduce}},
    {kOnnx, "TopK", {kComputing<plan_topk>}},
};

constexpr Row kSequenceRows[] = {
    {kMotet, "Attention", {{"own", plan_fused_attention}}},
    {kOnnx, "GRU", {{"own", plan_computing<plan_gru>}}},
    {kOnnx, "LSTM", {{"packed", plan_computing<plan_packed_lstm>}, {"own", plan_computing<plan_lstm>}}},
    {kOnnx, "RNN", {{"own", plan_computing<plan_rnn>}}},
    {kOnnx, "Resize", {kOnednn<onednn::plan_resampling>, kComputing<plan_resize>}},
    {kOnnx, "Upsample", {kOnednn<onednn::plan_resampling>, kComputing<plan_resize>}},
};

constexpr Row kQuantRows[] = {
    {kOnnx, "ConvInteger", {kMoving<plan_integer_conv>}},
    {kOnnx, "DequantizeLinear", {kOwn<plan_dequantize_tensor>, kComputing<plan_dequantize>}},
    {kOnnx, "DynamicQuantizeLinear", {kMoving<plan_dynamic_quantize>}},
    {kOnnx, "MatMulInteger", {kMoving<plan_integer_product>}},
    {kOnnx, "QLinearConv", {kOnednnWidths<onednn::plan_quantized_convolution>, {"reference", plan_qlinear_conv}}},
    {kOnnx, "QLinearMatMul", {kOnednnWidths<onednn::plan_quantized_product>, {"reference", plan_qlinear_product}}},
    {kOnnx, "QuantizeLinear", {kOwn<plan_quantize_tensor>, kComputing<plan_quantize>}},
    {kMicrosoft, "DequantizeLinear", {kOwn<plan_dequantize_tensor>, kComputing<plan_dequantize>}},
    {kMicrosoft, "QGemm", {kOnednnWidths<onednn::plan_quantized_product>, {"reference", plan_qlinear_product}}},
    {kMicrosoft, "QLinearAdd", {kOwn<plan_qlinear_binary>}},
    {kMicrosoft, "QLinearGlobalAveragePool", {kOwn<plan_qlinear_global_pool>}},
    {kMicrosoft, "QLinearMul", {kOwn<plan_qlinear_binary>}},
    {kMicrosoft, "QuantizeLinear", {kOwn<plan_quantize_tensor>, kComputing<plan_quantize>}},
    {kMotet, "QuantisedMatMul", {{"dynamic", plan_dynamic_product}, {"weight-only", plan_weight_only_product}}},
};

constexpr Row kMoveRows[] = {
    {kOnnx, "BitCast", {kMoving<plan_bit_cast>}},
    {kOnnx, "Cast", {kComputing<plan_cast>}},
    {kOnnx, "CastLike", {kComputing<plan_cast>}},
    {kOnnx, "Compress", {kMoving<plan_data_dependent>}},
    // Runs of memcpy: measured 12 times as fast as oneDNN's.
    {kOnnx, "Concat", {kMoving<plan_concat>}},
    {kOnnx, "Constant", {kMoving<plan_constant>}},
    {kOnnx, "ConstantOfShape", {kMoving<plan_constant_of_shape>}},
    {kOnnx, "DepthToSpace", {kMoving<plan_depth_to_space>}},
    {kOnnx, "Dropout", {kMoving<plan_copy>}},
    {kOnnx, "Expand", {kMoving<plan_expand>}},
    {kOnnx, "EyeLike", {kComputing<plan_eye_like>}},
    {kOnnx, "Flatten", {kMoving<plan_copy>}},
    {kOnnx, "Gather", {kMoving<plan_gather>}},
    {kOnnx, "GatherElements", {kMoving<plan_gather_elements>}},
    {kOnnx, "GatherND", {kMoving<plan_gather_nd>}},
    {kOnnx, "Identity", {kMoving<plan_copy>}},
    {kOnnx, "NonMaxSuppression", {kMoving<plan_data_dependent>}},
    {kOnnx, "NonZero", {kMoving<plan_data_dependent>}},
    {kOnnx, "OneHot", {kComputing<plan_one_hot>}},
    {kOnnx, "Pad", {kMoving<plan_pad>}},
    {kOnnx, "Range", {kComputing<plan_range>}},
    {kOnnx, "Reshape", {kMoving<plan_copy>}},
    {kOnnx, "ReverseSequence", {kMoving<plan_reverse_sequence>}},
    {kOnnx, "Scatter", {kMoving<plan_scatter_elements>}},
    {kOnnx, "ScatterElements", {kMoving<plan_scatter_elements>}},
    {kOnnx, "ScatterND", {kMoving<plan_scatter_nd>}},
    {kOnnx, "Shape", {kMoving<plan_shape>}},
    {kOnnx, "Size", {kMoving<plan_shape>}},
    {kOnnx, "Slice", {kMoving<plan_slice>}},
    {kOnnx, "SpaceToDepth", {kMoving<plan_space_to_depth>}},
    {kOnnx, "Split", {kMoving<plan_split>}},
    {kOnnx, "Squeeze", {kMoving<plan_copy>}},
    {kOnnx, "TensorScatter", {kMoving<plan_tensor_scatter>}},
    {kOnnx, "Tile", {kMoving<plan_tile>}},
    {kOnnx, "Transpose", {kOnednn<onednn::plan_transpose>, kMoving<plan_transpose>}},
    {kOnnx, "Trilu", {kMoving<plan_trilu>}},
    {kOnnx, "Unique", {kMoving<plan_data_dependent>}},
    {kOnnx, "Unsqueeze", {kMoving<plan_copy>}},
    {kMotet, "ChannelShuffle", {kMoving<plan_channel_shuffle>}},
};

constexpr Row kAlgebraRows[] = {
    {kOnnx, "Attention", {kComputing<plan_attention>}},
    {kOnnx, "Det", {kComputing<plan_det>}},
    {kOnnx, "Einsum", {kComputing<plan_einsum>}},
    {kOnnx, "RotaryEmbedding", {kComputing<plan_rotary>}},
};

constexpr Row kSignalRows[] = {
    {kOnnx, "BlackmanWindow", {kComputing<plan_signal_window>}},
    {kOnnx, "DFT", {kComputing<plan_dft>}},
    {kOnnx, "HammingWindow", {kComputing<plan_signal_window>}},
    {kOnnx, "HannWindow", {kComputing<plan_signal_window>}},
    {kOnnx, "MelWeightMatrix", {kComputing<plan_mel_weight_matrix>}},
    {kOnnx, "STFT", {kComputing<plan_stft>}},
};

constexpr Row kVisionRows[] = {
    {kOnnx, "AffineGrid", {kComputing<plan_affine_grid>}},  {kOnnx, "CenterCropPad", {kMoving<plan_center_crop_pad>}},
    {kOnnx, "Col2Im", {kComputing<plan_col2im>}},           {kOnnx, "GridSample", {kComputing<plan_grid_sample>}},
    {kOnnx, "MaxRoiPool", {kComputing<plan_max_roi_pool>}}, {kOnnx, "MaxUnpool", {kMoving<plan_max_unpool>}},
    {kOnnx, "RoiAlign", {kComputing<plan_roi_align>}},
};

constexpr std::span<const Row> kAll[] = {kUnaryRows, kBinaryRows, kLinearRows,  kNormRows,   kReduceRows, kSequenceRows,
                                         kQuantRows, kMoveRows,   kAlgebraRows, kSignalRows, kVisionRows};

}  // namespace

std::span<const std::span<const Row>> all_rows() { return kAll; }

}  // namespace motet::ops
