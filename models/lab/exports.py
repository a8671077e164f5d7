"""Exports common 2-D segmentation networks to ONNX, to check what `candor-lab check` can load.

Weights are random: only the graphs matter here. Needs a virtual environment with torch, onnx, onnxscript,
monai, segmentation-models-pytorch and torchvision; no network access.

    python exports.py --out DIR                  every network; some of them in every form
    python exports.py --out DIR --only unet      only networks whose name contains "unet"

One line per file on stdout: its name and `ok`, or the exporter's error. With --reference, a seeded input and the
network's own output for it are saved beside NAME.onnx as NAME.input.npy and NAME.output.npy; then

    CANDOR_EXPORTS=DIR cargo test -p candor-lab exported_networks -- --nocapture

imports every file and compares.
"""

import argparse
import pathlib
import warnings

import numpy
import torch
from torch import nn

SIZE = 256
LEGACY_OPSET = 17
OLD_OPSET = 11
DYNAMO_OPSET = 18


class PlainConvUNet(nn.Module):
    """The 2-D network nnU-Net plans by default: Conv-InstanceNorm-LeakyReLU pairs, strided down, transposed up."""

    def __init__(self, channels_in=1, classes=2, features=(32, 64, 128, 256, 320)):
        super().__init__()

        def pair(source, target, stride):
            layers = []
            for index in range(2):
                layers += [
                    nn.Conv2d(source if index == 0 else target, target, 3, stride if index == 0 else 1, 1),
                    nn.InstanceNorm2d(target, affine=True),
                    nn.LeakyReLU(0.01, inplace=True),
                ]
            return nn.Sequential(*layers)

        sources = (channels_in, *features[:-1])
        self.down = nn.ModuleList(
            pair(source, target, 1 if index == 0 else 2)
            for index, (source, target) in enumerate(zip(sources, features))
        )
        reversed_features = features[::-1]
        self.raise_ = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, 2, 2)
            for deep, shallow in zip(reversed_features, reversed_features[1:])
        )
        self.up = nn.ModuleList(pair(2 * shallow, shallow, 1) for shallow in reversed_features[1:])
        self.head = nn.Conv2d(features[0], classes, 1)

    def forward(self, x):
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for transpose, stage in zip(self.raise_, self.up):
            x = stage(torch.cat((transpose(x), skips.pop()), dim=1))
        return self.head(x)


class FirstOutput(nn.Module):
    """Keeps only the segmentation map of torchvision's dictionary output."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)["out"]


def networks():
    """Name -> (constructor, input channels)."""
    import monai.networks.nets as monai
    import segmentation_models_pytorch as smp
    import torchvision.models.segmentation as vision

    table = {
        "monai_unet": (lambda: monai.UNet(2, 1, 2, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2), 1),
        "monai_unet_batch": (lambda: monai.UNet(2, 1, 2, (16, 32, 64, 128), (2, 2, 2), norm="BATCH"), 1),
        "monai_basicunet": (lambda: monai.BasicUNet(2, 1, 2), 1),
        "monai_basicunet_nontrainable": (lambda: monai.BasicUNet(2, 1, 2, upsample="nontrainable"), 1),
        "monai_segresnet": (lambda: monai.SegResNet(2, in_channels=1, out_channels=2), 1),
        "monai_segresnet_deconv": (lambda: monai.SegResNet(2, in_channels=1, upsample_mode="deconv"), 1),
        "monai_attentionunet": (
            lambda: monai.AttentionUnet(2, 1, 2, (16, 32, 64, 128), (2, 2, 2)),
            1,
        ),
        "monai_dynunet": (
            lambda: monai.DynUNet(2, 1, 2, [3, 3, 3, 3], [1, 2, 2, 2], [2, 2, 2]),
            1,
        ),
        "monai_dynunet_residual": (
            lambda: monai.DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], res_block=True, norm_name="batch"),
            1,
        ),
        "monai_flexibleunet": (lambda: monai.FlexibleUNet(3, 2, "efficientnet-b0", spatial_dims=2), 3),
        "torchvision_lraspp_mobilenet_v3_large": (
            lambda: FirstOutput(vision.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)),
            3,
        ),
        "torchvision_deeplabv3_resnet50": (
            lambda: FirstOutput(vision.deeplabv3_resnet50(weights=None, weights_backbone=None)),
            3,
        ),
        "torchvision_fcn_resnet50": (
            lambda: FirstOutput(vision.fcn_resnet50(weights=None, weights_backbone=None)),
            3,
        ),
        "nnunet_plainconvunet": (PlainConvUNet, 1),
    }
    encoders = {"resnet18": "resnet18", "mobilenetv2": "mobilenet_v2", "efficientnetb0": "efficientnet-b0"}
    families = ("Unet", "UnetPlusPlus", "FPN", "Linknet", "DeepLabV3Plus")
    for family in families:
        for short, encoder in encoders.items():

            def build(family=family, encoder=encoder):
                return getattr(smp, family)(encoder, encoder_weights=None, in_channels=3, classes=2)

            table[f"smp_{family.lower()}_{short}"] = (build, 3)
    others = {
        "manet_resnet18": (smp.MAnet, "resnet18"),
        "pan_resnet18": (smp.PAN, "resnet18"),
        "deeplabv3_resnet18": (smp.DeepLabV3, "resnet18"),
        "segformer_mitb0": (smp.Segformer, "mit_b0"),
        "unet_densenet121": (smp.Unet, "densenet121"),
        "unet_mobilenetv3": (smp.Unet, "timm-mobilenetv3_large_100"),
    }
    for short, (family, encoder) in others.items():

        def build_other(family=family, encoder=encoder):
            return family(encoder, encoder_weights=None, in_channels=3, classes=2)

        table[f"smp_{short}"] = (build_other, 3)
    return table


# How a network is exported: the TorchScript exporter; the same with symbolic batch, height and width; at an old
# operator set; with batch norms left unfused; the torch.export exporter.
FORMS = ("legacy", "dynamic", "old", "unfused", "dynamo")
ALL_FORMS = (
    "monai_unet",
    "monai_basicunet",
    "monai_segresnet",
    "nnunet_plainconvunet",
    "smp_unet_resnet18",
    "smp_fpn_mobilenetv2",
    "smp_deeplabv3plus_efficientnetb0",
    "torchvision_lraspp_mobilenet_v3_large",
)


def settle_statistics(network):
    """Gives batch norms the statistics of a trained network: away from 0 and 1, so that a wrong fold shows."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)


def export(name, build, channels, out, form, reference):
    """Writes one file; returns `ok` or the exporter's message."""
    torch.manual_seed(0)
    keywords = {
        "legacy": {"opset_version": LEGACY_OPSET},
        "dynamic": {
            "opset_version": LEGACY_OPSET,
            "dynamic_axes": {"image": {0: "batch", 2: "height", 3: "width"}},
        },
        "old": {"opset_version": OLD_OPSET},
        "unfused": {"opset_version": LEGACY_OPSET, "training": torch.onnx.TrainingMode.PRESERVE},
        "dynamo": {"opset_version": DYNAMO_OPSET, "external_data": False},
    }[form]
    try:
        network = build()
        settle_statistics(network)
        network.eval()
        frame = torch.randn(1, channels, SIZE, SIZE)
        path = out / f"{name}.{form}.onnx"
        torch.onnx.export(
            network,
            (frame,),
            str(path),
            dynamo=form == "dynamo",
            input_names=["image"],
            output_names=["logits"],
            **keywords,
        )
        if reference:
            with torch.no_grad():
                numpy.save(path.with_suffix(".output.npy"), network(frame).numpy())
            numpy.save(path.with_suffix(".input.npy"), frame.numpy())
        return "ok"
    except Exception as error:  # an exporter's failure is a result to report, not a reason to stop
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--only", default="", help="export only networks whose name contains this text")
    parser.add_argument("--forms", default=",".join(FORMS), help="comma list of " + ", ".join(FORMS))
    parser.add_argument("--reference", action="store_true", help="also save one input and output per network")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, (build, channels) in networks().items():
        if arguments.only not in name:
            continue
        for form in FORMS if name in ALL_FORMS else ("legacy",):
            if form in arguments.forms.split(","):
                result = export(name, build, channels, arguments.out, form, arguments.reference)
                print(f"{name}.{form}: {result}", flush=True)


if __name__ == "__main__":
    main()
