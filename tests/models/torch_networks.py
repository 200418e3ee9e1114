"""torchvision's and timm's networks restated in PyTorch, with their names of weights, for golden logits.

`python tests/models/torch_networks.py`, in an environment with torch, writes `golden/torch_logits.json`: names and
shapes of each state dict, and the logits for weights and images that `seeded_tensor` draws. The tests read it without
torch.
"""

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "torch_logits.json"
NUM_CLASSES = 5


def seeded_tensor(name, shape):
    """The same numbers for a name and shape everywhere; of a size that keeps activations near 1."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rpartition(".")[2]
    if kind == "running_var":
        return random.uniform(0.5, 1.5, shape).astype("float32")
    if kind == "weight" and len(shape) == 1:
        return random.uniform(0.2, 0.6, shape).astype("float32")
    scale = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 and kind == "weight" else 0.1
    return random.standard_normal(shape, dtype="float32") * np.float32(1.0 if name == "image" else scale)


def restatements():
    """-> {name: (torch module, image size)}"""
    import torch
    from torch import nn
    from torch.nn import functional

    def named(**modules):
        return nn.ModuleDict(modules)

    class Bottleneck(nn.Module):  # torchvision.models.resnet.Bottleneck and BasicBlock
        def __init__(self, channels, planes, stride, width, groups, basic):
            super().__init__()
            out = planes if basic else 4 * planes
            if basic:
                self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
                self.bn1 = nn.BatchNorm2d(planes)
                self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
                self.bn2 = nn.BatchNorm2d(planes)
            else:
                self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
                self.bn1 = nn.BatchNorm2d(width)
                self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
                self.bn2 = nn.BatchNorm2d(width)
                self.conv3 = nn.Conv2d(width, out, 1, bias=False)
                self.bn3 = nn.BatchNorm2d(out)
            self.basic = basic
            if stride != 1 or channels != out:
                self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x):
            y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
            if not self.basic:
                y = self.bn3(self.conv3(y.relu()))
            return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()

    class ResNet(nn.Module):
        def __init__(self, units, basic=False, groups=1, width_per_group=64):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
            channels = 64
            for stage, count in enumerate(units):
                planes = 64 * 2**stage
                layer = []
                for unit in range(count):
                    stride = 2 if stage and not unit else 1
                    layer.append(
                        Bottleneck(channels, planes, stride, planes * width_per_group // 64 * groups, groups, basic)
                    )
                    channels = planes if basic else 4 * planes
                setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
            self.fc = nn.Linear(channels, NUM_CLASSES)

        def forward(self, x):
            x = functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    class PreActBottleneck(nn.Module):  # timm.models.resnetv2.PreActBottleneck
        def __init__(self, channels, planes, stride):
            super().__init__()
            self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, planes, 1, bias=False)
            self.norm2, self.conv2 = nn.BatchNorm2d(planes), nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
            self.norm3, self.conv3 = nn.BatchNorm2d(planes), nn.Conv2d(planes, 4 * planes, 1, bias=False)
            if stride != 1 or channels != 4 * planes:
                self.downsample = named(conv=nn.Conv2d(channels, 4 * planes, 1, stride, bias=False))

        def forward(self, x):
            y = self.norm1(x).relu()
            shortcut = self.downsample["conv"](y) if hasattr(self, "downsample") else x
            return self.conv3(self.norm3(self.conv2(self.norm2(self.conv1(y)).relu())).relu()) + shortcut

    class ResNetV2(nn.Module):
        def __init__(self, units):
            super().__init__()
            self.stem = named(conv=nn.Conv2d(3, 64, 7, 2, 3, bias=False))
            channels, stages = 64, []
            for stage, count in enumerate(units):
                blocks = []
                for unit in range(count):
                    blocks.append(PreActBottleneck(channels, 64 * 2**stage, 2 if stage and not unit else 1))
                    channels = 256 * 2**stage
                stages.append(named(blocks=nn.Sequential(*blocks)))
            self.stages, self.norm = nn.ModuleList(stages), nn.BatchNorm2d(channels)
            self.head = named(fc=nn.Conv2d(channels, NUM_CLASSES, 1))

        def forward(self, x):
            x = functional.max_pool2d(self.stem["conv"](x), 3, 2, 1)
            for stage in self.stages:
                x = stage["blocks"](x)
            return self.head["fc"](self.norm(x).relu().mean((2, 3), keepdim=True))[:, :, 0, 0]

    class DenseLayer(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, 128, 1, bias=False)
            self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, 1, 1, bias=False)

        def forward(self, x):
            return torch.cat([x, self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())], 1)

    class DenseNet(nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.features = named(conv0=nn.Conv2d(3, 64, 7, 2, 3, bias=False), norm0=nn.BatchNorm2d(64))
            channels = 64
            for block, count in enumerate(layers, start=1):
                inside = {f"denselayer{i + 1}": DenseLayer(channels + 32 * i) for i in range(count)}
                self.features[f"denseblock{block}"] = nn.ModuleDict(inside)
                channels += 32 * count
                if block < len(layers):
                    transition = named(
                        norm=nn.BatchNorm2d(channels), conv=nn.Conv2d(channels, channels // 2, 1, bias=False)
                    )
                    self.features[f"transition{block}"] = transition
                    channels //= 2
            self.features["norm5"], self.classifier = nn.BatchNorm2d(channels), nn.Linear(channels, NUM_CLASSES)

        def forward(self, x):
            x = functional.max_pool2d(self.features["norm0"](self.features["conv0"](x)).relu(), 3, 2, 1)
            for name, module in self.features.items():
                if name.startswith("denseblock"):
                    for layer in module.values():
                        x = layer(x)
                elif name.startswith("transition"):
                    x = functional.avg_pool2d(module["conv"](module["norm"](x).relu()), 2)
            return self.classifier(self.features["norm5"](x).relu().mean((2, 3)))

    class ConvNorm(nn.Module):  # torchvision.models.googlenet.BasicConv2d
        def __init__(self, channels, filters, kernel, stride=1):
            super().__init__()
            self.conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
            self.bn = nn.BatchNorm2d(filters, eps=0.001)

        def forward(self, x):
            return self.bn(self.conv(x)).relu()

    class Inception(nn.Module):
        def __init__(self, channels, a, b, c, d, e, f):
            super().__init__()
            self.branch1 = ConvNorm(channels, a, 1)
            self.branch2 = nn.Sequential(ConvNorm(channels, b, 1), ConvNorm(b, c, 3))
            self.branch3 = nn.Sequential(ConvNorm(channels, d, 1), ConvNorm(d, e, 3))
            self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), ConvNorm(channels, f, 1))

        def forward(self, x):
            return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)

    class GoogLeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = ConvNorm(3, 64, 7, 2), ConvNorm(64, 64, 1), ConvNorm(64, 192, 3)
            self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
            self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
            self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
            self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
            self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
            self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
            self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
            self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
            self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
            self.fc = nn.Linear(1024, NUM_CLASSES)

        def forward(self, x):
            def pool(x, size=3):
                return functional.max_pool2d(x, size, 2, ceil_mode=True)

            x = pool(self.conv3(self.conv2(pool(self.conv1(x)))))
            x = pool(self.inception3b(self.inception3a(x)))
            x = self.inception4d(self.inception4c(self.inception4b(self.inception4a(x))))
            x = self.inception5b(self.inception5a(pool(self.inception4e(x), 2)))
            return self.fc(x.mean((2, 3)))

    class Pair(nn.Module):  # timm's DepthwiseSeparableConv
        def __init__(self, channels, filters, stride):
            super().__init__()
            self.conv_dw = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv_pw, self.bn2 = nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters)

        def forward(self, x):
            return functional.relu6(self.bn2(self.conv_pw(functional.relu6(self.bn1(self.conv_dw(x))))))

    class MobileNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_stem, self.bn1 = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
            stages, channels = [], 32
            for stage, (filters, count) in enumerate([(64, 1), (128, 2), (256, 2), (512, 6), (1024, 2)]):
                pairs = []
                for index in range(count):
                    pairs.append(Pair(channels, filters, 2 if stage and not index else 1))
                    channels = filters
                stages.append(nn.Sequential(*pairs))
            self.blocks, self.classifier = nn.Sequential(*stages), nn.Linear(1024, NUM_CLASSES)

        def forward(self, x):
            return self.classifier(self.blocks(functional.relu6(self.bn1(self.conv_stem(x)))).mean((2, 3)))

    class InSequence(nn.Module):  # torchvision's AlexNet and VGG, at image sizes where their adaptive pool does nothing
        def __init__(self, features, inputs, dropout_first):
            super().__init__()
            self.features = nn.Sequential(*features)
            drop, relu = nn.Dropout(), nn.ReLU()
            head = [nn.Linear(inputs, 4096), relu, nn.Linear(4096, 4096), relu, nn.Linear(4096, NUM_CLASSES)]
            head = [drop, *head[:2], drop, *head[2:]] if dropout_first else [*head[:2], drop, *head[2:4], drop, head[4]]
            self.classifier = nn.Sequential(*head)

        def forward(self, x):
            return self.classifier(self.features(x).flatten(1))

    def vgg16():
        layers, channels = [], 3
        for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(channels, filters, 3, 1, 1), nn.ReLU()]
                channels = filters
            layers.append(nn.MaxPool2d(2))
        return InSequence(layers, 512 * 2 * 2, dropout_first=False)

    def alexnet():
        layers = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()]
        layers += [nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2)]
        return InSequence(layers, 256 * 2 * 2, dropout_first=True)

    return {
        "resnet18": (ResNet((2, 2, 2, 2), basic=True), 64),
        "resnet50": (ResNet((3, 4, 6, 3)), 64),
        "resnext50_32x4d": (ResNet((3, 4, 6, 3), groups=32, width_per_group=4), 64),
        "resnetv2_50": (ResNetV2((3, 4, 6, 3)), 64),
        "densenet121": (DenseNet((6, 12, 24, 16)), 64),
        "googlenet": (GoogLeNet(), 64),
        "mobilenetv1_100": (MobileNet(), 64),
        "vgg16": (vgg16(), 64),
        "alexnet": (alexnet(), 95),
    }


def main():
    import torch

    golden = {}
    for name, (module, size) in restatements().items():
        module.eval()
        shapes = {key: list(tensor.shape) for key, tensor in module.state_dict().items() if "num_batches" not in key}
        state = {key: torch.from_numpy(seeded_tensor(key, shape)) for key, shape in shapes.items()}
        module.load_state_dict(state, strict=False)
        image = torch.from_numpy(seeded_tensor("image", (2, 3, size, size)))
        with torch.no_grad():
            logits = module(image).numpy()
        golden[name] = {"size": size, "logits": np.float64(logits).round(6).tolist(), "shapes": shapes}
        print(name, np.abs(logits).max())
    GOLDEN.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
