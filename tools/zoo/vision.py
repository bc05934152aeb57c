"""torchvision's classifiers, full and at toy width. A toy keeps every kind of block and cuts widths, depths and the image."""
import sys

import torch
import torchvision
from torchvision.models import densenet, efficientnet, mobilenetv2, mobilenetv3, mnasnet, resnet, shufflenetv2, vgg
from torchvision.models import vision_transformer

from spec import BATCH, Entry, Input

CLASSES, TOY_CLASSES = 1000, 10


def image(size):
    return [Input("image", "f32", [BATCH, 3, size, size], "image", -2, 2)]


def classes(toy):
    return TOY_CLASSES if toy else CLASSES


def resnet50(toy):
    if not toy:
        return resnet.resnet50(), image(224)
    net = resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], num_classes=TOY_CLASSES, width_per_group=8)
    return narrow_resnet(net), image(32)


def narrow_resnet(net):
    """ResNet's planes are written into its constructor: the stages again, an eighth as wide."""
    net.inplanes = 8
    net.base_width = 64
    net.conv1 = torch.nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
    net.bn1 = torch.nn.BatchNorm2d(8)
    for stage, (planes, stride) in enumerate(((8, 1), (12, 2), (16, 2), (24, 2)), start=1):
        setattr(net, f"layer{stage}", net._make_layer(resnet.Bottleneck, planes, 2 if stage < 3 else 1, stride=stride))
    net.fc = torch.nn.Linear(24 * 4, TOY_CLASSES)
    return net


def mobilenet_v2(toy):
    if not toy:
        return mobilenetv2.mobilenet_v2(), image(224)
    settings = [[1, 8, 1, 1], [6, 12, 2, 2], [6, 16, 2, 2], [6, 24, 1, 1]]
    net = mobilenetv2.MobileNetV2(TOY_CLASSES, width_mult=1.0, inverted_residual_setting=settings, round_nearest=4)
    net.features[-1] = torchvision.ops.Conv2dNormActivation(24, 64, 1, activation_layer=torch.nn.ReLU6)
    net.classifier[1] = torch.nn.Linear(64, TOY_CLASSES)
    return net, image(32)


def mobilenet_v3(toy):
    if not toy:
        return mobilenetv3.mobilenet_v3_large(), image(224)
    block = lambda *given: mobilenetv3.InvertedResidualConfig(*given, width_mult=1.0)
    settings = [block(8, 3, 8, 8, False, "RE", 1, 1), block(8, 3, 32, 12, False, "RE", 2, 1), block(12, 5, 40, 12, True, "RE", 1, 1),
                block(12, 3, 48, 16, False, "HS", 2, 1), block(16, 5, 64, 16, True, "HS", 1, 1)]
    return mobilenetv3.MobileNetV3(settings, last_channel=64, num_classes=TOY_CLASSES), image(32)


def efficientnet_b0(toy):
    if not toy:
        return efficientnet.efficientnet_b0(), image(224)
    block = efficientnet.MBConvConfig
    settings = [block(1, 3, 1, 8, 8, 1), block(6, 3, 2, 8, 12, 2), block(6, 5, 2, 12, 16, 2)]
    return efficientnet.EfficientNet(settings, dropout=0.2, num_classes=TOY_CLASSES, last_channel=64), image(32)


def shufflenet_v2(toy):
    if not toy:
        return shufflenetv2.shufflenet_v2_x1_0(), image(224)
    return shufflenetv2.ShuffleNetV2([2, 3, 2], [8, 16, 32, 48, 64], num_classes=TOY_CLASSES), image(64)


def mnasnet_1_0(toy):
    if not toy:
        return mnasnet.mnasnet1_0(), image(224)
    net = mnasnet.MNASNet(0.1, num_classes=TOY_CLASSES)
    del net.layers[13:]  # the stages of 320 and of 1280 channels
    width = net.layers[12][-1].layers[-1].num_features
    net.layers.extend([torch.nn.Conv2d(width, 64, 1, bias=False), torch.nn.BatchNorm2d(64), torch.nn.ReLU(inplace=True)])
    net.classifier[1] = torch.nn.Linear(64, TOY_CLASSES)
    return net, image(64)


def googlenet_v1(toy):
    net = torchvision.models.GoogLeNet(classes(toy), aux_logits=False, init_weights=False)
    if not toy:
        return net, image(224)
    blocks = sys.modules[torchvision.models.GoogLeNet.__module__]  # torchvision.models.googlenet is the function
    inception = lambda width: blocks.Inception(width, 8, 8, 12, 4, 8, 8)
    net.conv1 = blocks.BasicConv2d(3, 8, kernel_size=7, stride=2, padding=3)
    net.conv2 = blocks.BasicConv2d(8, 8, kernel_size=1)
    net.conv3 = blocks.BasicConv2d(8, 24, kernel_size=3, padding=1)
    net.inception3a, net.inception3b = inception(24), inception(36)
    net.inception4a, net.inception4b, net.inception4c, net.inception4d, net.inception4e = (inception(36) for _ in range(5))
    net.inception5a, net.inception5b = inception(36), inception(36)
    net.fc = torch.nn.Linear(36, TOY_CLASSES)
    return net, image(64)


def densenet121(toy):
    if not toy:
        return densenet.densenet121(), image(224)
    return densenet.DenseNet(8, (3, 4, 3, 2), 16, bn_size=2, num_classes=TOY_CLASSES), image(64)


def vgg16(toy):
    if not toy:
        return he(vgg.vgg16(init_weights=False)), image(224)
    widths = [c if c == "M" else c // 16 for c in vgg.cfgs["D"]]
    net = vgg.VGG(vgg.make_layers(widths), TOY_CLASSES, init_weights=False)
    net.avgpool = torch.nn.AdaptiveAvgPool2d((1, 1))
    net.classifier = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(True), torch.nn.Dropout(),
                                         torch.nn.Linear(64, 64), torch.nn.ReLU(True), torch.nn.Dropout(),
                                         torch.nn.Linear(64, TOY_CLASSES))
    return he(net), image(32)


def he(net):
    """Without batch norms, weights must keep the variance themselves."""
    for m in net.modules():
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            torch.nn.init.normal_(m.bias, std=0.1)
    return net


def vit_b16(toy):
    make = vision_transformer.VisionTransformer
    if not toy:
        net, size = make(224, 16, 12, 12, 768, 3072, num_classes=CLASSES), 224
    else:
        net, size = make(32, 8, 2, 4, 48, 96, num_classes=TOY_CLASSES), 32
    torch.nn.init.normal_(net.heads.head.weight, std=0.02)
    return net, image(size)


ENTRIES = [
    Entry("resnet50", "conv", resnet50, ["logits"], "fc"),
    Entry("vgg16", "conv", vgg16, ["logits"], "classifier.6"),
    Entry("googlenet", "conv", googlenet_v1, ["logits"], "fc"),
    Entry("densenet121", "conv", densenet121, ["logits"], "classifier"),
    Entry("mobilenet_v2", "mobile", mobilenet_v2, ["logits"], "classifier.1"),
    Entry("mobilenet_v3", "mobile", mobilenet_v3, ["logits"], "classifier.3"),
    Entry("efficientnet_b0", "mobile", efficientnet_b0, ["logits"], "classifier.1"),
    Entry("shufflenet_v2", "mobile", shufflenet_v2, ["logits"], "fc"),
    Entry("mnasnet", "mobile", mnasnet_1_0, ["logits"], "classifier.1"),
    Entry("vit_b16", "attention", vit_b16, ["logits"], "heads.head"),
]
