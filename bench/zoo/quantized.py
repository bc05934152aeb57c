"""ResNet-50 and MobileNetV2 as QDQ, made by onnxruntime.quantization on seeded images: int8 weights per channel, uint8 activations."""
import os

import cells

NAMES = ("resnet50", "mobilenet_v2")
CALIBRATION_SEED, IMAGES, BATCH = 41, 4, 8


def models(full):
    for name in NAMES:
        source = full[name]
        model = cells.Model(name + "_qdq", "int8", [], source.inputs)
        if not os.path.exists(model.path):
            quantize(source, model.path)
        yield model


def quantize(source, target):
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(q.CalibrationDataReader):
        def __init__(self):
            self.feeds = iter([source.feed(CALIBRATION_SEED + i, BATCH) for i in range(IMAGES)])

        def get_next(self):
            return next(self.feeds, None)

    prepared = target + ".prepared"
    quant_pre_process(source.path, prepared, skip_symbolic_shape=True)
    q.quantize_static(prepared, target + ".part", Images(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                      activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8)
    os.remove(prepared)
    os.rename(target + ".part", target)
